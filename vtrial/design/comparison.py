"""Comparison: what the statistician of a trial reports at a look."""

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int


class Comparison(eqx.Module):
    """The analysis of one trial: each arm, and each arm against the reference arm.

    Against itself the reference has difference 0, an interval of length 0, p 1 and statistic 0. What could not be
    analysed is not a number, and `code` says why.
    """

    count: Int[Array, " arm"]
    """Patients used."""
    estimate: Float[Array, " arm"]
    """Level of the arm, in the scale the analysis says: a mean, a share, a restricted mean ..."""
    error: Float[Array, " arm"]
    """Its standard error."""
    difference: Float[Array, " arm"]
    """Estimated effect against the reference arm, in the scale the analysis says."""
    lower: Float[Array, " arm"]
    """Lower confidence limit of the effect."""
    upper: Float[Array, " arm"]
    """Upper confidence limit of the effect."""
    p: Float[Array, " arm"]
    """Two-sided p-value of no effect."""
    statistic: Float[Array, " arm"]
    """Standard-normal quantile of the one-sided p-value; positive where outcomes, or times to an event, are greater
    than in the reference arm."""
    information: Float[Array, " arm"]
    """1 / variance of the estimated effect."""
    code: Int[Array, " arm"]
    """Why an arm could not be analysed; 0: it was. See `vtrial.schema.ANALYSIS_CODES`."""


def judged(
    reference: int,
    *,
    count: Int[Array, " arm"],
    estimate: Float[Array, " arm"],
    error: Float[Array, " arm"],
    difference: Float[Array, " arm"],
    spread: Float[Array, " arm"],
    lower: Float[Array, " arm"],
    upper: Float[Array, " arm"],
    p: Float[Array, " arm"],
    code: Int[Array, " arm"],
    sign: float = 1.0,
) -> Comparison:
    """Return the comparison with what follows from the rest: statistic, information, the reference against itself.

    Args:
        reference: number of the reference arm.
        count: as in `Comparison`; likewise the others.
        estimate: likewise.
        error: likewise.
        difference: likewise.
        spread: standard error of the effect.
        lower: likewise.
        upper: likewise.
        p: likewise.
        code: likewise; where it is not 0 an arm's effect is set to not a number.
        sign: -1 where a greater effect means smaller outcomes or earlier events, as with hazard ratios.
    """
    arm = jnp.arange(len(count))
    own = (arm == reference) & (code == 0)
    # An effect needs both arms; a reference that cannot be analysed is everybody's reason.
    code = jnp.where(code == 0, code[reference], code)
    known = code == 0

    def shown(value: Float[Array, " arm"], itself: float) -> Float[Array, " arm"]:
        return jnp.where(own, itself, jnp.where(known, value, jnp.nan))

    statistic = sign * jnp.sign(difference) * -ndtri(jnp.clip(p / 2, 1e-300, 0.5))
    return Comparison(
        count=count,
        estimate=estimate,
        error=error,
        difference=shown(difference, 0.0),
        lower=shown(lower, 0.0),
        upper=shown(upper, 0.0),
        p=shown(p, 1.0),
        statistic=shown(statistic, 0.0),
        information=shown(1.0 / spread**2, jnp.inf),
        code=code,
    )
