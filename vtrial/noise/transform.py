"""Residual error on a transformed scale."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.noise.base import Number, estimated, known, written
from vtrial.noise.continuous import AbstractGaussian, AbstractNormal
from vtrial.noise.floor import check_floor
from vtrial.noise.law import BoxCox, Law, Normal
from vtrial.noise.log_normal import refuse_not_positive
from vtrial.population import AbstractPrior


class TransformBothSides(AbstractGaussian):
    """Normal on the Box-Cox scale (y^shape - 1) / shape of both measurement and prediction.

    A shape of 0 is the logarithm, 1 the scale of the output. With a `Power` error it is dynamic transform both sides.
    The density of a measurement has the derivative of the scale as a factor. What the normal law has below the range of
    the scale is a probability of 0 exactly, as is usual; `Positive` takes it away. Source: Carroll and Ruppert 1984,
    doi:10.1080/01621459.1984.10478052; Dosne, Bergstrand and Karlsson 2016, doi:10.1007/s10928-015-9460-y.
    """

    error: AbstractNormal
    """The error on that scale; its SD is a function of the prediction on the scale of the output."""
    shape: Number
    """The shape, often called lambda, or its prior."""
    least: float | None = eqx.field(static=True, default=None)
    """Least prediction, in the unit of the output: one of 0, as before the first dose, may have no transform. Left out,
    a thousandth of the least value of the data; without data, 1e-6."""

    def __check_init__(self):
        """Refuse a floor that is none."""
        check_floor("prediction of a transformed error", self.least)

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of the error and, if it is estimated, `shape`."""
        return self.error.priors() | estimated({"shape": self.shape})

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit: a transformed scale has none."""
        return dict.fromkeys(self.priors(), "")

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return Normal(h(f), SD(f)) on the scale h."""
        scale = BoxCox(known(self.shape, "shape", values))
        positive = jnp.maximum(prediction, self.least or 1e-6)
        return Law(scale.forward(positive), self.error.spread(prediction, values), Normal(), scale)

    def check_values(self, output: str, data: Dataset) -> None:
        """Refuse measured values that have no transform."""
        refuse_not_positive(output, data, "a Box-Cox scale")

    def describe(self) -> str:
        """Write the formula."""
        return f"{self.error.describe()}, on the Box-Cox scale of shape {written(self.shape, 'shape')}"
