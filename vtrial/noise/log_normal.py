"""Log-normal residual error."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.errors import UserError
from vtrial.noise.base import refuse
from vtrial.noise.continuous import AbstractGaussian
from vtrial.noise.law import BoxCox, Law, Normal
from vtrial.population import AbstractPrior


class LogNormal(AbstractGaussian):
    """Additive on the scale of the logarithm: the prediction is the median of the measurement."""

    logarithmic: AbstractPrior
    """Prior of the standard deviation of the logarithm, without unit."""
    least: float = eqx.field(static=True, default=1e-6)
    """Least prediction, in the unit of the output: one of 0, as before the first dose, has no logarithm."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        if not self.least > 0:
            raise UserError(f"The least prediction of a log-normal error must be positive, not {self.least}.")

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of `sigma_log`."""
        return {"sigma_log": self.logarithmic}

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit."""
        return {"sigma_log": ""}

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return LogNormal(log f, sigma_log)."""
        scale = jnp.broadcast_to(jnp.asarray(values["sigma_log"]), prediction.shape)
        logarithm = BoxCox(jnp.zeros((), prediction.dtype))
        return Law(jnp.log(jnp.maximum(prediction, self.least)), scale, Normal(), logarithm)

    def check_values(self, output: str, data: Dataset) -> None:
        """Refuse measured values that have no logarithm."""
        refuse_not_positive(output, data, "a log-normal error")

    def describe(self) -> str:
        """Write the formula."""
        return "sigma_log, of the logarithm"


def refuse_not_positive(output: str, data: Dataset, error: str) -> None:
    """Refuse values of 0 or less, measured or as a limit; raises `UserError` at the first."""
    seen = data.observations[output]
    with np.errstate(invalid="ignore"):
        wrong = np.where(seen.censored, seen.upper <= 0, seen.value <= 0)
    reason = (
        f"{error} has positive values only; mark what is below the limit of quantification by CENS, leave the row out "
        "by MDV 1, or choose another error"
    )
    refuse(wrong, output, data, reason)
