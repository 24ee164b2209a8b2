"""What a laboratory reports of a measurement that it cannot quantify, and what is made of it."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class Assay(eqx.Module):
    """The lower limit of quantification of an output; whoever reads measurements reads what this makes of them.

    Endpoints, policies and hazards by visits all do. Noncompartmental endpoints have rules of their own for what is
    below their `lloq`, and take a value below this limit for that.

    Args:
        lloq: the limit with its unit, for example "0.1 mg/L".
        below: what a value below is taken for, as a multiple of the limit, from 0 to less than 1; null: for missing.
    """

    lloq: str = eqx.field(static=True)
    below: float | None = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        """Refuse what would be quantified."""
        if self.below is not None and not 0 <= self.below < 1:
            raise UserError(
                f"course.assays: below is a multiple of the limit, from 0 to less than 1, not {self.below}."
            )

    def check(self, output: str, model: AbstractModel) -> None:
        """Check outside `jit` that the limit is one of the output; raises `UserError`."""
        if not self.limit(output, model) > 0:
            raise UserError(f"course.assays.{output}.lloq is {self.lloq}; a limit of quantification is positive.")

    def limit(self, output: str, model: AbstractModel) -> float:
        """Return the limit in the output's unit."""
        return units.quantity(self.lloq, model.outputs[output], where=f"course.assays.{output}.lloq")

    def reported(self, measured: Float[Array, " time"], output: str, model: AbstractModel) -> Float[Array, " time"]:
        """Return measurements as they are used: those below the limit, negative ones too, replaced."""
        limit = self.limit(output, model)
        return jnp.where(measured < limit, jnp.nan if self.below is None else self.below * limit, measured)

    def describe(self) -> str:
        """Say it."""
        taken = "missing" if self.below is None else f"{self.below:g} times that"
        return f"is quantified from {self.lloq}, and less is taken for {taken}"
