"""Amounts: how much a patient is given at a time, the same for everybody or by a measure of the patient."""

from abc import abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import equinox as eqx
import jax.numpy as jnp

from vtrial import units
from vtrial._types import Named, Scalar, texts
from vtrial.dosing.measure import AbstractMeasure
from vtrial.errors import UserError

_NOISE = 1e-5
"""Part of a tablet that is an error of arithmetic: three tablets must not become four."""


class AbstractRounding(eqx.Module):
    """From the amount that was worked out to one that can be given: whole tablets, whole vials."""

    to: eqx.AbstractVar[str]
    """Amount of one tablet or vial, for example "25 mg"."""

    @abstractmethod
    def count(self, count: Scalar) -> Scalar:
        """Return the whole number of tablets for a number that is not whole."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class RoundNearest(AbstractRounding):
    """To the nearest whole number of tablets; from a half upwards."""

    to: str = eqx.field(static=True)

    def count(self, count: Scalar) -> Scalar:
        """Round."""
        return jnp.floor(count + 0.5 + _NOISE)

    def describe(self) -> str:
        """Say it."""
        return f"rounded to the nearest {self.to}"


class RoundUp(AbstractRounding):
    """To the next whole number of tablets upwards."""

    to: str = eqx.field(static=True)

    def count(self, count: Scalar) -> Scalar:
        """Round up."""
        return jnp.ceil(count - _NOISE)

    def describe(self) -> str:
        """Say it."""
        return f"rounded up to whole {self.to}"


class RoundDown(AbstractRounding):
    """To the next whole number of tablets downwards."""

    to: str = eqx.field(static=True)

    def count(self, count: Scalar) -> Scalar:
        """Round down."""
        return jnp.floor(count + _NOISE)

    def describe(self) -> str:
        """Say it."""
        return f"rounded down to whole {self.to}"


class AbstractAmount(eqx.Module):
    """How much one dose is."""

    @property
    @abstractmethod
    def covariates(self) -> Mapping[str, str]:
        """Covariates it goes by, each with the unit it is taken in; none if it is the same for everybody."""

    @abstractmethod
    def check(self, unit: str) -> None:
        """Check that it can be given into a state of this unit; raises `UserError`."""

    @abstractmethod
    def value(self, unit: str, covariates: Named) -> Scalar:
        """Return the amount for one patient, in `unit`."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class Fixed(AbstractAmount):
    """The same amount for everybody: what a `dose` written as text is."""

    dose: str = eqx.field(static=True)
    """For example "300 mg"; "0 mg" is a placebo."""

    @property
    def covariates(self) -> Mapping[str, str]:
        """None."""
        return MappingProxyType({})

    def check(self, unit: str) -> None:
        """Refuse a negative amount, and one of another kind than the state's."""
        if self.value(unit, {}) < 0:
            raise UserError(f"Regimen gives {self.dose}; the dose must not be negative.")

    def value(self, unit: str, covariates: Named) -> float:
        """Return the amount."""
        try:
            return units.quantity(self.dose, unit, where="Regimen's dose")
        except UserError as error:
            if "/" not in self.dose:
                raise
            raise UserError(
                f"{error} A dose by weight or body surface is written as vtrial.dosing.Scaled, with the covariate it "
                "goes by."
            ) from error

    def describe(self) -> str:
        """Say it as written."""
        return self.dose


class Scaled(AbstractAmount):
    """An amount proportional to a measure of the patient at baseline, within limits, in whole tablets or vials.

    Args:
        dose: amount for each unit of the measure, for example "15 mg/kg".
        by: the measure.
        least: what everybody gets at least, for example "500 mg".
        most: what nobody gets more than.
        rounding: to what can be given. The limits must then be whole tablets themselves.
    """

    dose: str = eqx.field(static=True)
    by: AbstractMeasure
    least: str | None = eqx.field(static=True, default=None)
    most: str | None = eqx.field(static=True, default=None)
    rounding: AbstractRounding | None = None

    @property
    def covariates(self) -> Mapping[str, str]:
        """Those of the measure."""
        return self.by.covariates

    def check(self, unit: str) -> None:
        """Refuse amounts that nobody could be given."""
        self.by.value(dict.fromkeys(self.covariates, 1.0))  # refuses covariates of a unit that its formula cannot take
        if self._each(unit) <= 0:
            raise UserError(f"Regimen gives {self.dose}; a dose by {self.by.describe()} must be positive.")
        least, most = self._limits(unit)
        if least < 0 or most <= 0 or least > most:
            raise UserError(f"Regimen's dose is at least {self.least} and at most {self.most}; correct these limits.")
        if self.rounding is None:
            return
        tablet = self._tablet(unit, self.rounding)
        for text, limit in ((self.least, least), (self.most, most)):
            if text is not None and abs(limit / tablet - round(limit / tablet)) > _NOISE:
                raise UserError(
                    f"Regimen's limit {text} is no whole number of {self.rounding.to}, to which the dose is rounded; "
                    "correct one of them."
                )

    def value(self, unit: str, covariates: Named) -> Scalar:
        """Return the amount for one patient; not a number where the measure is not positive."""
        least, most = self._limits(unit)
        measure = self.by.value(covariates)
        amount = jnp.clip(self._each(unit) * measure, least, most)
        if self.rounding is not None:
            tablet = self._tablet(unit, self.rounding)
            amount = tablet * self.rounding.count(amount / tablet)
        return jnp.where(measure > 0, amount, jnp.nan)

    def describe(self) -> str:
        """Say dose, measure, limits and rounding."""
        more = [f"at least {self.least}"] if self.least else []
        more += [f"at most {self.most}"] if self.most else []
        more += [self.rounding.describe()] if self.rounding else []
        return f"{self.dose} by {self.by.describe()}" + (f" ({', '.join(more)})" if more else "")

    def _each(self, unit: str) -> float:
        """Return the amount for one unit of the measure."""
        return units.quantity(self.dose, f"({unit or '1'})/({self.by.unit or '1'})", where="Regimen's dose")

    def _limits(self, unit: str) -> tuple[float, float]:
        least = units.quantity(self.least, unit, where="Regimen's least") if self.least is not None else 0.0
        most = units.quantity(self.most, unit, where="Regimen's most") if self.most is not None else float("inf")
        return least, most

    def _tablet(self, unit: str, rounding: AbstractRounding) -> float:
        tablet = units.quantity(rounding.to, unit, where="Regimen's rounding")
        if tablet <= 0:
            raise UserError(f"Regimen's dose is rounded to {rounding.to}; that must be positive.")
        return tablet


class Banded(AbstractAmount):
    """An amount by bands of a measure of the patient, as a label gives doses by bands of weight.

    Args:
        by: the measure.
        bounds: where one band ends and the next begins, ascending, each with its unit, for example ["15 kg", "25 kg"];
            who is at a bound belongs to the band above it.
        doses: amount in each band, one more than there are bounds.
    """

    by: AbstractMeasure
    bounds: tuple[str, ...] = eqx.field(static=True, converter=texts)
    doses: tuple[str, ...] = eqx.field(static=True, converter=texts)

    @property
    def covariates(self) -> Mapping[str, str]:
        """Those of the measure."""
        return self.by.covariates

    def check(self, unit: str) -> None:
        """Refuse bands that do not follow one another, and amounts that nobody could be given."""
        bounds, doses = self._bounds(), self._doses(unit)
        if len(doses) != len(bounds) + 1:
            raise UserError(
                f"Regimen has {len(doses)} doses for {len(bounds)} bounds of {self.by.describe()}; give one dose more "
                "than there are bounds."
            )
        if any(b <= a for a, b in pairwise(bounds)):
            raise UserError(f"Regimen's bounds must go up; got {', '.join(self.bounds)}.")
        if min(doses) <= 0:
            raise UserError(f"Regimen's doses by {self.by.describe()} must be positive; got {', '.join(self.doses)}.")

    def value(self, unit: str, covariates: Named) -> Scalar:
        """Return the amount for one patient; not a number where the measure is not positive."""
        measure = jnp.asarray(self.by.value(covariates))
        band = (measure[..., None] >= jnp.asarray(self._bounds())).sum(-1) if self.bounds else 0
        return jnp.where(measure > 0, jnp.asarray(self._doses(unit))[band], jnp.nan)

    def describe(self) -> str:
        """Say the doses and where they change."""
        steps = [f"from {bound} {dose}" for bound, dose in zip(self.bounds, self.doses[1:], strict=False)]
        return f"{', '.join([self.doses[0], *steps])} by {self.by.describe()}"

    def _bounds(self) -> list[float]:
        return [units.quantity(bound, self.by.unit, where="Regimen's bounds") for bound in self.bounds]

    def _doses(self, unit: str) -> list[float]:
        return [units.quantity(dose, unit, where="Regimen's doses") for dose in self.doses]


def amount(dose: str | AbstractAmount) -> AbstractAmount:
    """Return a dose as an amount; text is the same for everybody."""
    return Fixed(dose) if isinstance(dose, str) else dose
