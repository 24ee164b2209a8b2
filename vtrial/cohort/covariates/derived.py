"""Covariates worked out from others."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial import units
from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.data import Dataset
from vtrial.dosing import AbstractMeasure
from vtrial.errors import UserError, nearest


class Derived(AbstractCovariates):
    """Patients of another source, with covariates by formula: body surface, fat-free mass, creatinine clearance.

    Args:
        source: where all else comes from.
        formulas: by the name of the new covariate; a formula may use those before it.
    """

    source: AbstractCovariates
    names: tuple[str, ...] = eqx.field(static=True)
    formulas: tuple[AbstractMeasure, ...]

    def __init__(self, source: AbstractCovariates, formulas: Mapping[str, AbstractMeasure]):
        """Keep the formulas in order."""
        self.source, self.names, self.formulas = source, tuple(formulas), tuple(formulas.values())
        if not formulas:
            raise UserError("Derived covariates need formulas: at least one name with its formula.")

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the source's and the formulas'."""
        return self.source.units(data) | {n: f.unit for n, f in zip(self.names, self.formulas, strict=True)}

    def check(self, data: Dataset) -> None:
        """Check that each formula finds its covariates in its units."""
        self.source.check(data)
        known = self.source.units(data)
        for name, formula in zip(self.names, self.formulas, strict=True):
            if name in known:
                raise UserError(f"Derived covariate {name} is there already; call it otherwise.")
            for covariate, unit in formula.covariates.items():
                if covariate not in known:
                    raise UserError(
                        f"Derived covariate {name} needs {covariate}, which its source does not give. "
                        f"{nearest(covariate, known)}"
                    )
                if units.factor(known[covariate], unit, where=f"Covariate {covariate}") != 1.0:
                    raise UserError(
                        f"Covariate {covariate} is in '{known[covariate]}', but the formula of {name} takes it in "
                        f"'{unit}'; give the formula the unit of the source."
                    )
            known |= {name: formula.unit}

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw the source's patient and work out the formulas."""
        drawn = self.source.draw(key, data)
        for name, formula in zip(self.names, self.formulas, strict=True):
            drawn |= {name: jnp.asarray(formula.value(drawn))}
        return drawn

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell the source's."""
        return self.source.facts(key, data)

    def inputs(self) -> dict[str, str]:
        """Name the source's."""
        return self.source.inputs()

    def describe(self) -> str:
        """Say the source and the formulas."""
        each = ", ".join(f"{n} {f.describe()}" for n, f in zip(self.names, self.formulas, strict=True))
        return f"{self.source.describe()}; derived: {each}"
