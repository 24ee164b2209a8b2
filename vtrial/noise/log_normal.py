"""Log-normal residual error."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.noise.base import refuse
from vtrial.noise.continuous import AbstractGaussian
from vtrial.noise.floor import check_floor
from vtrial.noise.law import BoxCox, Law, Normal
from vtrial.population import AbstractPrior


class LogNormal(AbstractGaussian):
    """Additive on the scale of the logarithm: the prediction is the median of the measurement."""

    logarithmic: AbstractPrior
    """Prior of the standard deviation of the logarithm, without unit."""
    least: float | None = eqx.field(static=True, default=None)
    """Least prediction, in the unit of the output: one of 0, as before the first dose, has no logarithm. Left out, a
    thousandth of the least value of the data; without data, 1e-6."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        check_floor("prediction of a log-normal error", self.least)

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
        return Law(jnp.log(jnp.maximum(prediction, self.least or 1e-6)), scale, Normal(), logarithm)

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
