"""Candidate shapes of a dose-response: guessed for the test, fitted for the estimate.

Guesses are in shares of the highest dose, so that they need no unit.
"""

from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial.errors import UserError
from vtrial.statistics import dose_response
from vtrial.statistics.dose_response import Family


class AbstractDoseShape(eqx.Module):
    """One candidate: a family of curves, and the member of it that is guessed."""

    @abstractmethod
    def family(self, top: float) -> Family:
        """Return the family, for doses up to `top`."""

    @abstractmethod
    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guessed theta, for a highest dose of 1, and the coefficients of the family's columns."""


class LinearShape(AbstractDoseShape):
    """A straight line."""

    def family(self, top: float) -> Family:
        """Return lines."""
        return dose_response.linear()

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return any: all have one shape."""
        return (), (1.0,)


class LogLinearShape(AbstractDoseShape):
    """A line in log(dose + offset)."""

    offset: float = eqx.field(static=True, default=0.01)
    """As a share of the highest dose."""

    def __check_init__(self):
        """Refuse an offset that is none."""
        _positive({"offset": self.offset})

    def family(self, top: float) -> Family:
        """Return lines in log dose."""
        return dose_response.log_linear(self.offset * top)

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return any: all have one shape."""
        return (), (1.0,)


class QuadraticShape(AbstractDoseShape):
    """A parabola."""

    curvature: float = eqx.field(static=True)
    """Guess of the coefficient of squared dose, that of dose being 1; negative for a curve that turns down."""

    def family(self, top: float) -> Family:
        """Return parabolas."""
        return dose_response.quadratic()

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guess."""
        return (), (1.0, self.curvature)


class EmaxShape(AbstractDoseShape):
    """A saturating curve."""

    ed50: float = eqx.field(static=True)
    """Guess of the dose with half the greatest effect."""

    def __check_init__(self):
        """Refuse a dose of nothing."""
        _positive({"ed50": self.ed50})

    def family(self, top: float) -> Family:
        """Return Emax curves."""
        return dose_response.emax(top)

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guess."""
        return (self.ed50,), (1.0,)


class SigmoidEmaxShape(AbstractDoseShape):
    """A saturating curve with its own steepness."""

    ed50: float = eqx.field(static=True)
    """Guess of the dose with half the greatest effect."""
    hill: float = eqx.field(static=True)
    """Guess of the exponent of dose."""

    def __check_init__(self):
        """Refuse a dose of nothing, and no steepness."""
        _positive({"ed50": self.ed50, "hill": self.hill})

    def family(self, top: float) -> Family:
        """Return sigmoid Emax curves."""
        return dose_response.sigmoid_emax(top)

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guess."""
        return (self.ed50, self.hill), (1.0,)


class ExponentialShape(AbstractDoseShape):
    """A curve that gets steeper."""

    delta: float = eqx.field(static=True)
    """Guess of the dose over which the slope grows e-fold."""

    def __check_init__(self):
        """Refuse a dose of nothing."""
        _positive({"delta": self.delta})

    def family(self, top: float) -> Family:
        """Return exponentials."""
        return dose_response.exponential(top)

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guess."""
        return (self.delta,), (1.0,)


class LogisticShape(AbstractDoseShape):
    """A step with soft shoulders."""

    ed50: float = eqx.field(static=True)
    """Guess of the dose in the middle of the step."""
    delta: float = eqx.field(static=True)
    """Guess of its width."""

    def __check_init__(self):
        """Refuse doses of nothing."""
        _positive({"ed50": self.ed50, "delta": self.delta})

    def family(self, top: float) -> Family:
        """Return logistic curves."""
        return dose_response.logistic(top)

    def guess(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the guess."""
        return (self.ed50, self.delta), (1.0,)


def guessed(
    candidates: Mapping[str, AbstractDoseShape], doses: tuple[float, ...], *, greater: bool
) -> Float[Array, "model dose"]:
    """Return the mean of each dose under each candidate's guess, in the direction that is better, in any unit."""
    share = jnp.asarray(doses) / max(doses)
    rising = jnp.stack([_mean(candidate, share) for candidate in candidates.values()])
    return rising if greater else -rising


def _mean(candidate: AbstractDoseShape, share: Float[Array, " dose"]) -> Float[Array, " dose"]:
    theta, coefficient = candidate.guess()
    return candidate.family(1.0).columns(share, jnp.asarray(theta, float)) @ jnp.asarray(coefficient)


def _positive(values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"{name} of a dose shape is a positive share of the highest dose, not {value}.")
