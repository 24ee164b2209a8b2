"""Measures of kidney function, from serum creatinine."""

import math
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp

from vtrial import units
from vtrial._types import Named, Scalar
from vtrial.dosing.measure import AbstractLimitedMeasure, AbstractMeasure, Limit, taken

STANDARD = "mL/min/1.73m^2"
"""Unit of a filtration rate of a body surface of 1.73 m^2."""
_ADULT, _SURFACE = 18.0, 1.73
_CREATININE = 113.12
"""Molar mass in g/mol."""


def _creatinine(covariates: Named, name: str, unit: str) -> Scalar:
    """Return serum creatinine in mg/dL, whether given as mass or as amount of substance."""
    factor = units.factor(unit, "mg/dL", where=f"Covariate {name}", molar_mass=_CREATININE)
    return covariates[name] * factor  # pyright: ignore[reportReturnType]


class CreatinineClearance(AbstractLimitedMeasure):
    """(140 - age) weight / (72 creatinine), in women times 0.85 (mL/min, years, kg, mg/dL); for adults.

    A person's own clearance, of no standard body surface.

    Source: Cockcroft and Gault 1976, doi:10.1159/000180580.
    """

    female: float = eqx.field(static=True)
    """What the covariate of sex is in women."""
    creatinine: str = eqx.field(static=True, default="SCR")
    """Covariate with the serum creatinine, in a unit of mass or of substance per volume."""
    creatinine_unit: str = eqx.field(static=True, default="mg/dL")
    age: str = eqx.field(static=True, default="AGE")
    """Covariate with the age."""
    age_unit: str = eqx.field(static=True, default="year")
    weight: str = eqx.field(static=True, default="WT")
    """Covariate with the weight: total, or ideal where the label says so."""
    weight_unit: str = eqx.field(static=True, default="kg")
    sex: str = eqx.field(static=True, default="SEX")
    """Covariate with the sex; whatever is not `female` is male."""
    floor: float = eqx.field(static=True, default=0.0)
    """Creatinine in mg/dL that lower ones count as, in people older than `floor_above`."""
    floor_above: float = eqx.field(static=True, default=0.0)
    """In years."""

    @property
    def unit(self) -> str:
        """A clearance."""
        return "mL/min"

    @property
    def limit(self) -> Limit:
        """Adults."""
        return _adults(self.age)

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name creatinine, age, weight and sex."""
        mine = {self.creatinine: self.creatinine_unit, self.age: self.age_unit}
        return mine | {self.weight: self.weight_unit, self.sex: ""}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula; 0 from an age of 140 years on."""
        age = taken(covariates, self.age, self.age_unit, "year")
        weight = taken(covariates, self.weight, self.weight_unit, "kg")
        serum = _creatinine(covariates, self.creatinine, self.creatinine_unit)
        serum = jnp.where(age > self.floor_above, jnp.maximum(serum, self.floor), serum)
        factor = jnp.where(covariates[self.sex] == self.female, 0.85, 1.0)
        return factor * jnp.maximum(140.0 - age, 0.0) * weight / (72.0 * serum)

    def describe(self) -> str:
        """Name formula and covariates."""
        floor = f"; creatinine at least {self.floor:g} mg/dL above {self.floor_above:g} years" if self.floor else ""
        return f"creatinine clearance (Cockcroft-Gault, {', '.join(self.covariates)}{floor})"


class FiltrationRate(AbstractLimitedMeasure):
    """CKD-EPI 2021, without race: 142 min(S/k, 1)^a max(S/k, 1)^-1.2 0.9938^age, in women times 1.012.

    In mL/min per 1.73 m^2 of body surface; S is serum creatinine in mg/dL; k and a are 0.7 and -0.241 in women, 0.9 and
    -0.302 in men. For adults.

    Source: Inker et al. 2021, doi:10.1056/NEJMoa2102953.
    """

    female: float = eqx.field(static=True)
    """What the covariate of sex is in women."""
    creatinine: str = eqx.field(static=True, default="SCR")
    """Covariate with the serum creatinine, in a unit of mass or of substance per volume."""
    creatinine_unit: str = eqx.field(static=True, default="mg/dL")
    age: str = eqx.field(static=True, default="AGE")
    """Covariate with the age."""
    age_unit: str = eqx.field(static=True, default="year")
    sex: str = eqx.field(static=True, default="SEX")
    """Covariate with the sex; whatever is not `female` is male."""

    @property
    def unit(self) -> str:
        """A clearance, of 1.73 m^2."""
        return STANDARD

    @property
    def limit(self) -> Limit:
        """Adults."""
        return _adults(self.age)

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name creatinine, age and sex."""
        return {self.creatinine: self.creatinine_unit, self.age: self.age_unit, self.sex: ""}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        woman = covariates[self.sex] == self.female
        ratio = _creatinine(covariates, self.creatinine, self.creatinine_unit) / jnp.where(woman, 0.7, 0.9)
        below = jnp.minimum(ratio, 1.0) ** jnp.where(woman, -0.241, -0.302)
        age = taken(covariates, self.age, self.age_unit, "year")
        return 142.0 * below * jnp.maximum(ratio, 1.0) ** -1.2 * 0.9938**age * jnp.where(woman, 1.012, 1.0)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"filtration rate per 1.73 m^2 (CKD-EPI 2021, {', '.join(self.covariates)})"


class FiltrationRateChild(AbstractLimitedMeasure):
    """Bedside Schwartz: 0.413 height / creatinine (mL/min per 1.73 m^2, cm, mg/dL); for ages 1 to 18 years.

    The age is not in the formula: it says for whom it holds. The source had children of 1 to 16 years.
    Source: Schwartz et al. 2009, doi:10.1681/ASN.2008030287.
    """

    creatinine: str = eqx.field(static=True, default="SCR")
    """Covariate with the serum creatinine, in a unit of mass or of substance per volume."""
    creatinine_unit: str = eqx.field(static=True, default="mg/dL")
    height: str = eqx.field(static=True, default="HT")
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True, default="cm")
    age: str = eqx.field(static=True, default="AGE")
    """Covariate with the age."""
    age_unit: str = eqx.field(static=True, default="year")

    @property
    def unit(self) -> str:
        """A clearance, of 1.73 m^2."""
        return STANDARD

    @property
    def limit(self) -> Limit:
        """Children."""
        return Limit(self.age, "year", 1.0, _ADULT, "adults have FiltrationRate, infants neither: select by Criteria")

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name creatinine, height and age."""
        return {self.creatinine: self.creatinine_unit, self.height: self.height_unit, self.age: self.age_unit}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        height = taken(covariates, self.height, self.height_unit, "cm")
        return 0.413 * height / _creatinine(covariates, self.creatinine, self.creatinine_unit)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"filtration rate per 1.73 m^2 (bedside Schwartz, {self.creatinine} and {self.height})"


class AbsoluteFiltrationRate(AbstractMeasure):
    """A person's own filtration rate: that of 1.73 m^2 times the person's body surface over 1.73 m^2.

    What doses and clearances go by, such as Calvert's formula: in small and large people it is far from the rate of
    1.73 m^2. Source: Du Bois and Du Bois 1916 for the surface, McIntosh et al. 1928, J Clin Invest 6:467, for 1.73.
    """

    indexed: AbstractMeasure
    """The rate of 1.73 m^2: `FiltrationRate`, or `PerCovariate` with the unit "mL/min/1.73m^2"."""
    surface: AbstractMeasure
    """The body surface: `Mosteller`, `DuBois` or `PerCovariate`."""

    def __check_init__(self):
        """Refuse what is no such rate or no surface."""
        units.factor(self.indexed.unit, STANDARD, where=f"The indexed rate, {self.indexed.describe()},")
        units.factor(self.surface.unit, "m^2", where=f"The surface, {self.surface.describe()},")

    @property
    def unit(self) -> str:
        """A clearance."""
        return "mL/min"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name those of both."""
        return {**self.indexed.covariates, **self.surface.covariates}

    def value(self, covariates: Named) -> Scalar:
        """Return the product."""
        rate = self.indexed.value(covariates) * units.factor(self.indexed.unit, STANDARD, where="The indexed rate")
        surface = self.surface.value(covariates) * units.factor(self.surface.unit, "m^2", where="The surface")
        return rate * surface / _SURFACE

    def describe(self) -> str:
        """Name both."""
        return f"{self.indexed.describe()} times {self.surface.describe()} / 1.73 m^2"


def _adults(age: str) -> Limit:
    return Limit(age, "year", _ADULT, math.inf, "children have FiltrationRateChild: take it, or select by Criteria")
