"""Measures of body composition and age, by formula."""

import math
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import Named, Scalar
from vtrial.dosing.measure import AbstractLimitedMeasure, AbstractMeasure, Limit, taken


class BodyMassIndex(AbstractMeasure):
    """Weight / height^2 (kg/m^2).

    Source: Keys et al. 1972, doi:10.1016/0021-9681(72)90027-6.
    """

    weight: str = eqx.field(static=True, default="WT")
    """Covariate with the weight."""
    weight_unit: str = eqx.field(static=True, default="kg")
    height: str = eqx.field(static=True, default="HT")
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True, default="cm")

    @property
    def unit(self) -> str:
        """An index."""
        return "kg/m^2"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name weight and height."""
        return {self.weight: self.weight_unit, self.height: self.height_unit}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        weight = taken(covariates, self.weight, self.weight_unit, "kg")
        return weight / taken(covariates, self.height, self.height_unit, "m") ** 2

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"body mass index ({self.weight} and {self.height})"


class IdealBodyWeight(AbstractLimitedMeasure):
    """50 kg (men) or 45.5 kg (women) + 2.3 kg for each inch of height over 60; below 60 inches, less by as much.

    It is for adults: refused below 4 feet (121.92 cm), for it soon is negative there.
    Source: Devine 1974, Drug Intell Clin Pharm 8:650; its history: Pai and Paloucek 2000, doi:10.1345/aph.19381.
    """

    female: float = eqx.field(static=True)
    """What the covariate of sex is in women."""
    height: str = eqx.field(static=True, default="HT")
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True, default="cm")
    sex: str = eqx.field(static=True, default="SEX")
    """Covariate with the sex; whatever is not `female` is male."""

    @property
    def unit(self) -> str:
        """A weight."""
        return "kg"

    @property
    def limit(self) -> Limit:
        """People of at least 4 feet."""
        return Limit(self.height, "cm", 121.92, math.inf, "take FatFreeMass, or select taller patients by Criteria")

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name height and sex."""
        return {self.height: self.height_unit, self.sex: ""}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        inches = taken(covariates, self.height, self.height_unit, "inch")
        return jnp.where(covariates[self.sex] == self.female, 45.5, 50.0) + 2.3 * (inches - 60.0)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"ideal body weight (Devine, {self.height} and {self.sex})"


class FatFreeMass(AbstractMeasure):
    """9270 W / (6680 + 216 BMI) in men, 9270 W / (8780 + 244 BMI) in women (kg, kg/m^2).

    Source: Janmahasatian et al. 2005, doi:10.2165/00003088-200544100-00004.
    """

    female: float = eqx.field(static=True)
    """What the covariate of sex is in women."""
    weight: str = eqx.field(static=True, default="WT")
    """Covariate with the weight."""
    weight_unit: str = eqx.field(static=True, default="kg")
    height: str = eqx.field(static=True, default="HT")
    """Covariate with the height."""
    height_unit: str = eqx.field(static=True, default="cm")
    sex: str = eqx.field(static=True, default="SEX")
    """Covariate with the sex; whatever is not `female` is male."""

    @property
    def unit(self) -> str:
        """A weight."""
        return "kg"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name weight, height and sex."""
        return {self.weight: self.weight_unit, self.height: self.height_unit, self.sex: ""}

    def value(self, covariates: Named) -> Scalar:
        """Return the formula."""
        weight = taken(covariates, self.weight, self.weight_unit, "kg")
        index = weight / taken(covariates, self.height, self.height_unit, "m") ** 2
        woman = covariates[self.sex] == self.female
        return 9270.0 * weight / (jnp.where(woman, 8780.0, 6680.0) + jnp.where(woman, 244.0, 216.0) * index)

    def describe(self) -> str:
        """Name formula and covariates."""
        return f"fat-free mass (Janmahasatian, {self.weight}, {self.height} and {self.sex})"


class PostmenstrualAge(AbstractMeasure):
    """Gestational age at birth + age since birth (weeks).

    Source: American Academy of Pediatrics 2004, doi:10.1542/peds.2004-1915.
    """

    age: str = eqx.field(static=True, default="AGE")
    """Covariate with the age since birth."""
    age_unit: str = eqx.field(static=True, default="year")
    gestation: str = eqx.field(static=True, default="")
    """Covariate with the gestational age at birth; left out, everybody is born at `term`."""
    gestation_unit: str = eqx.field(static=True, default="week")
    term: float = eqx.field(static=True, default=40.0)
    """Gestational age at birth, in weeks, of those of whom no covariate says it."""

    @property
    def unit(self) -> str:
        """A time."""
        return "week"

    @property
    def covariates(self) -> Mapping[str, str]:
        """Name the ages."""
        return {self.age: self.age_unit} | ({self.gestation: self.gestation_unit} if self.gestation else {})

    def value(self, covariates: Named) -> Scalar:
        """Return the sum."""
        at_birth = taken(covariates, self.gestation, self.gestation_unit, "week") if self.gestation else self.term
        return at_birth + taken(covariates, self.age, self.age_unit, "week")

    def describe(self) -> str:
        """Name the ages."""
        return f"post-menstrual age ({self.age} and {self.gestation or f'{self.term:g} weeks of gestation'})"
