"""Residual error with heavy tails."""

import equinox as eqx
from jaxtyping import Array, Float

from vtrial._types import Values
from vtrial.data.dataset import Dataset
from vtrial.errors import UserError
from vtrial.noise.base import Number, estimated, known, written
from vtrial.noise.continuous import AbstractContinuous, AbstractGaussian
from vtrial.noise.law import Law, StudentT
from vtrial.population import AbstractPrior


class Student(AbstractContinuous):
    """Student's t in place of the normal law: outlying measurements pull less.

    The SD of the error given becomes the scale; the SD of a measurement is that times sqrt(df / (df - 2)). Source:
    Lange, Little and Taylor 1989, doi:10.1080/01621459.1989.10478852.
    """

    error: AbstractGaussian
    """Whose SD is the scale."""
    df: Number
    """Degrees of freedom, or their prior; 3 or 4 is usual, and 30 nearly normal."""

    def __check_init__(self):
        """Refuse what is no number of degrees of freedom."""
        if isinstance(self.df, float | int) and not self.df > 0:
            raise UserError(f"Degrees of freedom must be positive, not {self.df}.")

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of the scale and, if they are estimated, `df`."""
        return self.error.priors() | estimated({"df": self.df})

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of each."""
        return self.error.units(output, time) | dict.fromkeys(estimated({"df": self.df}), "")

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return the law of the error with t in place of normal."""
        law = self.error.law(prediction, values)
        return eqx.tree_at(lambda w: w.standard, law, StudentT(known(self.df, "df", values)))

    def memory(self, gap: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Say that errors are independent."""
        return None

    def check_values(self, output: str, data: Dataset) -> None:
        """Check as the error given does."""
        self.error.check_values(output, data)

    def describe(self) -> str:
        """Write the formula."""
        return f"scale {self.error.describe()}, Student's t with {written(self.df, 'df')} degrees of freedom"
