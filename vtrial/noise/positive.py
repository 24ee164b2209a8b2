"""Residual error of values that cannot be negative."""

from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.noise.continuous import AbstractContinuous
from vtrial.noise.law import Law
from vtrial.noise.log_normal import refuse_not_positive
from vtrial.population import AbstractPrior


class Positive(AbstractContinuous):
    """An error conditional on a value above 0: Beal's method M4.

    A measured value has the density over P(Y > 0), a censored one P(0 < Y < LLOQ) / P(Y > 0). Source: Beal 2001,
    doi:10.1023/A:1012299115260.
    """

    error: AbstractContinuous
    """The error without that condition."""

    def priors(self) -> dict[str, AbstractPrior]:
        """Return those of the error."""
        return self.error.priors()

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return those of the error."""
        return self.error.units(output, time)

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return the law of the error, conditional."""
        law = self.error.law(prediction, values)
        return Law(law.location, law.scale, law.standard, law.transform, positive=True)

    def memory(self, gap: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return that of the error."""
        return self.error.memory(gap, values)

    def check_values(self, output: str, data: Dataset) -> None:
        """Refuse values that are not above 0, and check as the error given does."""
        refuse_not_positive(output, data, "an error conditional on a value above 0")
        self.error.check_values(output, data)

    def describe(self) -> str:
        """Write the formula."""
        return f"{self.error.describe()}, given a value above 0"
