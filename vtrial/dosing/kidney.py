"""Measures of kidney function, from serum creatinine."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp

from vtrial import units
from vtrial._types import Named, Scalar
from vtrial.dosing.measure import AbstractMeasure, taken

_CREATININE = 113.12
"""Molar mass in g/mol."""


def _creatinine(covariates: Named, name: str, unit: str) -> Scalar:
    """Return serum creatinine in mg/dL, whether given as mass or as amount of substance."""
    factor = units.factor(unit, "mg/dL", where=f"Covariate {name}", molar_mass=_CREATININE)
    return covariates[name] * factor  # pyright: ignore[reportReturnType]


class CreatinineClearance(AbstractMeasure):
    """(140 - age) weight / (72 creatinine), in women times 0.85 (mL/min, years, kg, mg/dL).

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

    @property
    def unit(self) -> str:
        """A clearance."""
        return "mL/min"

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
        factor = jnp.where(covariates[self.sex] == self.female, 0.85, 1.0)
        return factor * jnp.maximum(140.0 - age, 0.0) * weight / (72.0 * serum)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"creatinine clearance (Cockcroft-Gault, {', '.join(self.covariates)})"


class FiltrationRate(AbstractMeasure):
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
        return "mL/min"

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


class FiltrationRateChild(AbstractMeasure):
    """Bedside Schwartz: 0.413 height / creatinine (mL/min per 1.73 m^2, cm, mg/dL); for ages 1 to 16 years.

    Source: Schwartz et al. 2009, doi:10.1681/ASN.2008030287.
    """

    creatinine: str = eqx.field(static=True, default="SCR")
    """Covariate with the serum creatinine, in a unit of mass or of substance per volume."""
    creatinine_unit: str = eqx.field(static=True, default="mg/dL")
    height: str = eqx.field(static=True, default="HT")
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True, default="cm")

    @property
    def unit(self) -> str:
        """A clearance, of 1.73 m^2."""
        return "mL/min"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name creatinine and height."""
        return {self.creatinine: self.creatinine_unit, self.height: self.height_unit}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        height = taken(covariates, self.height, self.height_unit, "cm")
        return 0.413 * height / _creatinine(covariates, self.creatinine, self.creatinine_unit)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"filtration rate per 1.73 m^2 (bedside Schwartz, {self.creatinine} and {self.height})"
