"""The digital twin's prognostic score: what the model predicts of a patient under the reference, at enrolment.

The score is an average over people the patient could be: population draws of parameters and of individual deviations,
all with his baseline covariates. His own deviations, which the simulation knows and a trial does not, never enter: the
function that computes it is not given them.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def prognostic_score(
    key: Key[Array, ""],
    predict: Callable[[Key[Array, ""], Mapping[str, Float[Array, ""]]], Float[Array, ""]],
    covariates: Mapping[str, Float[Array, " patient"]],
    draws: int,
) -> Float[Array, " patient"]:
    """Return each patient's mean predicted outcome under the reference, given covariates known at enrolment.

    All patients are averaged over the same draws, so that their scores differ by covariates alone; what is left of the
    noise of few draws is the same for all and costs an adjusted analysis nothing.

    Args:
        key: random key, of no patient's and no replicate's own.
        predict: takes a key and one patient's covariates to the outcome, under the reference and without residual
            error, of one person with them: parameters and individual deviations are drawn with that key.
        covariates: of each patient.
        draws: people averaged over.
    """

    def one(patient: Mapping[str, Float[Array, ""]]) -> Float[Array, ""]:
        outcome = jax.vmap(lambda own: predict(own, patient))(jax.random.split(key, draws))
        # A person whose prediction failed says nothing.
        return jnp.nanmean(jnp.where(jnp.isfinite(outcome), outcome, jnp.nan))

    return jax.lax.map(one, dict(covariates), batch_size=64)
