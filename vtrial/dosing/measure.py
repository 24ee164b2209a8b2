"""Measures: what of a patient a dose goes by, worked out from baseline covariates."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from vtrial import units
from vtrial._types import Named, Scalar, Values
from vtrial.errors import UserError


class AbstractMeasure(eqx.Module):
    """A number of each patient that a dose is proportional to: weight, body surface, a clearance."""

    unit: eqx.AbstractVar[str]
    """Unit of the measure."""

    @property
    @abstractmethod
    def covariates(self) -> Mapping[str, str]:
        """Unit in which each covariate is taken; the dataset must have it in the same unit."""

    @abstractmethod
    def value(self, covariates: Named) -> Scalar:
        """Return the measure of one patient."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class Limit(eqx.Module):
    """What a formula holds for: a range of one covariate."""

    covariate: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    """Of the limits."""
    least: float = eqx.field(static=True)
    most: float = eqx.field(static=True)
    remedy: str = eqx.field(static=True)
    """What to do for people outside."""


class AbstractLimitedMeasure(AbstractMeasure):
    """A formula that holds for some people only; others are refused before a trial."""

    @property
    @abstractmethod
    def limit(self) -> Limit:
        """The people it holds for."""


def check_limits(formulas: Any, covariates: Values, given: Mapping[str, str]) -> None:
    """Check that formulas hold for people.

    Args:
        formulas: measures, or anything that is made of them: regimens, sources of covariates.
        covariates: of the people [patient].
        given: unit of each covariate.

    Raises:
        UserError: somebody is outside the limits of a formula.
    """

    def limited(x: Any) -> bool:
        return isinstance(x, AbstractLimitedMeasure)

    for formula in filter(limited, jax.tree.leaves(formulas, is_leaf=limited)):
        limit = formula.limit
        if limit.covariate not in covariates:
            continue
        where = f"Covariate {limit.covariate}"
        value = np.asarray(covariates[limit.covariate]) * units.factor(given[limit.covariate], limit.unit, where=where)
        outside = np.flatnonzero((value < limit.least) | (value > limit.most))
        if len(outside):
            most = f" and at most {limit.most:g}" if np.isfinite(limit.most) else ""
            raise UserError(
                f"{formula.describe()} holds for {limit.covariate} of at least {limit.least:g}{most} {limit.unit}, but "
                f"a virtual patient has {value[outside[0]]:.4g}; {limit.remedy}."
            )


class PerCovariate(AbstractMeasure):
    """A covariate itself: body weight for a dose in mg/kg, a body surface that the data have for one in mg/m^2."""

    covariate: str = eqx.field(static=True)
    """Its name, as in the dataset."""
    unit: str = eqx.field(static=True)
    """Unit in which it is taken."""

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name the covariate."""
        return {self.covariate: self.unit}

    def value(self, covariates: Named) -> Scalar:
        """Return the covariate."""
        return taken(covariates, self.covariate, self.unit, self.unit)

    def describe(self) -> str:
        """Name it."""
        return self.covariate


class PerCategory(AbstractMeasure):
    """A product of factors by category: of genotypes, for a dose that goes by them.

    Args:
        factors: by covariate, one without unit, the factor of each of its values, for example
            {"VKORC1": {0: 1.0, 1: 0.66, 2: 0.48}}. A patient of another value cannot be given the dose.
    """

    factors: Mapping[str, Mapping[int, float]] = eqx.field(static=True)

    def __check_init__(self):
        """Refuse factors of nothing."""
        for name, own in self.factors.items():
            if not own or min(own.values()) <= 0:
                raise UserError(f"The factors of {name} must be positive, and there is at least one.")

    @property
    def unit(self) -> str:
        """None."""
        return ""

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name the covariates."""
        return dict.fromkeys(self.factors, "")

    def value(self, covariates: Named) -> Scalar:
        """Return the product; not a number where a value has no factor."""
        product = jnp.ones(())
        for name, own in self.factors.items():
            here = [jnp.where(covariates[name] == category, factor, 0.0) for category, factor in own.items()]
            total = sum(here, start=jnp.zeros(()))
            product = product * jnp.where(total > 0, total, jnp.nan)
        return product

    def describe(self) -> str:
        """Name the covariates."""
        return " and ".join(self.factors)


class AbstractBodySurface(AbstractMeasure):
    """Body surface by a formula of weight and height."""

    weight: eqx.AbstractVar[str]
    """Covariate with the weight."""
    weight_unit: eqx.AbstractVar[str]
    height: eqx.AbstractVar[str]
    """Covariate with the height."""
    height_unit: eqx.AbstractVar[str]

    @property
    def unit(self) -> str:
        """A surface."""
        return "m^2"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name weight and height."""
        return {self.weight: self.weight_unit, self.height: self.height_unit}

    def taken(self, covariates: Named) -> tuple[Scalar, Scalar]:
        """Return weight (kg) and height (cm)."""
        weight = taken(covariates, self.weight, self.weight_unit, "kg")
        return weight, taken(covariates, self.height, self.height_unit, "cm")


class DuBois(AbstractBodySurface):
    """Body surface 0.007184 weight^0.425 height^0.725 (m^2, kg, cm).

    Source: Du Bois and Du Bois 1916, doi:10.1001/archinte.1916.00080130010002.
    """

    weight: str = eqx.field(static=True)
    """Covariate with the weight."""
    weight_unit: str = eqx.field(static=True)
    height: str = eqx.field(static=True)
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True)

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        weight, height = self.taken(covariates)
        return 0.007184 * weight**0.425 * height**0.725

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"body surface (Du Bois, {self.weight} and {self.height})"


class Mosteller(AbstractBodySurface):
    """Body surface sqrt(weight height / 3600) (m^2, kg, cm).

    Source: Mosteller 1987, doi:10.1056/NEJM198710223171717.
    """

    weight: str = eqx.field(static=True)
    """Covariate with the weight."""
    weight_unit: str = eqx.field(static=True)
    height: str = eqx.field(static=True)
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True)

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        weight, height = self.taken(covariates)
        return jnp.sqrt(weight * height / 3600)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"body surface (Mosteller, {self.weight} and {self.height})"


class Calvert(AbstractMeasure):
    """Glomerular filtration rate + 25 mL/min: carboplatin's clearance, for a dose written as an area under the curve.

    Source: Calvert et al. 1989, doi:10.1200/JCO.1989.7.11.1748.
    """

    filtration: str = eqx.field(static=True)
    """Covariate with the filtration rate, not per 1.73 m^2."""
    filtration_unit: str = eqx.field(static=True)

    def __check_init__(self):
        """Refuse a rate per 1.73 m^2."""
        units.factor(self.filtration_unit, self.unit, where=f"Covariate {self.filtration}")

    @property
    def unit(self) -> str:
        """A clearance."""
        return "mL/min"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name the filtration rate."""
        return {self.filtration: self.filtration_unit}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        return taken(covariates, self.filtration, self.filtration_unit, self.unit) + 25.0

    def describe(self) -> str:
        """Name the covariate."""
        return f"({self.filtration} + 25 mL/min)"


def taken(covariates: Named, name: str, given: str, wanted: str) -> Scalar:
    """Return a covariate in the unit a formula takes it in."""
    return covariates[name] * units.factor(given, wanted, where=f"Covariate {name}")  # pyright: ignore[reportReturnType]
