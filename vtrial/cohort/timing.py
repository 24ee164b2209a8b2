"""When patients really take doses and come to visits: errors of timing, doses made up for."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys, units
from vtrial.errors import UserError
from vtrial.model import AbstractModel


class DoseTiming(eqx.Module):
    """Doses taken too early or too late; a dose due at entry is on time.

    The error is normal, and less than half the way to the next dose on either side, so that their order stays. It is of
    the patient and the hour at which the dose is due: the same under every arm.

    Source: Girard et al. 1998, doi:10.1002/(SICI)1097-0258(19981030)17:20<2313::AID-SIM935>3.0.CO;2-V.

    Args:
        sd: SD of the error, for example "1 h".
        late: probability that a dose that was missed is taken late.
        within: how late at most; all delays up to it, and up to half the way to the next dose, are alike.
    """

    sd: str = eqx.field(static=True)
    late: float = eqx.field(static=True, default=0.0)
    within: str | None = eqx.field(static=True, default=None)

    def check(self, model: AbstractModel) -> None:
        """Check outside `jit` that it fits the model; raises `UserError`."""
        if units.quantity(self.sd, model.time, where="course.timing.sd") < 0:
            raise UserError(f"course.timing.sd is {self.sd}; a standard deviation is not negative.")
        if not 0 <= self.late <= 1:
            raise UserError(f"course.timing.late is a probability, not {self.late}.")
        if self.late > 0 and self.within is None:
            raise UserError("course.timing.late makes up for missed doses; say how late at most: course.timing.within.")
        if self.within is not None and units.quantity(self.within, model.time, where="course.timing.within") <= 0:
            raise UserError(f"course.timing.within is {self.within}; it must be positive.")

    def taken(
        self, key: Key[Array, ""], due: Float[np.ndarray, " dose"], taken: Bool[Array, " dose"], model: AbstractModel
    ) -> tuple[Float[Array, " dose"], Bool[Array, " dose"]]:
        """Return how much later than due each dose is taken, and which are taken at all, late ones included."""
        own = keys.each_named(key, [f"dose due at {t:.12g}" for t in due.tolist()])
        room = np.diff(due, prepend=-due[:1], append=np.inf) / 2.0  # the first not before entry
        error = self._error(own, np.where(due > 0, np.minimum(room[:-1], room[1:]), 0.0), model)
        if self.late == 0 or self.within is None:
            return error, taken
        most = np.minimum(units.quantity(self.within, model.time, where="within"), room[1:])
        lots = jax.vmap(lambda k: jax.random.uniform(keys.named(k, "late"), (2,)))(own)
        made_up = ~taken & (lots[:, 0] < self.late)
        return jnp.where(made_up, lots[:, 1] * most, error), taken | made_up

    def _error(self, own: Key[Array, " dose"], room: np.ndarray, model: AbstractModel) -> Float[Array, " dose"]:
        """Return the error of each dose, which stays within its room."""
        sd = units.quantity(self.sd, model.time, where="sd")
        if sd == 0:
            return jnp.zeros(len(room))
        bound = room / sd
        drawn = jax.vmap(lambda k, b: jax.random.truncated_normal(k, -b, b))(own, jnp.asarray(bound))
        return jnp.where(bound > 0, sd * drawn, 0.0)

    def describe(self) -> str:
        """Say it."""
        made_up = f"; {100 * self.late:g} % of missed doses are taken up to {self.within} late" if self.late else ""
        return f"doses are taken with an error of SD {self.sd}{made_up}"


class AbstractDeviation(eqx.Module):
    """How far from its time a visit happens; the visit at entry is on time."""

    early: eqx.AbstractVar[str]
    late: eqx.AbstractVar[str]

    @abstractmethod
    def draw(self, key: Key[Array, ""], low: float, high: float, model: AbstractModel) -> Float[Array, ""]:
        """Return one deviation between two, in the model's time unit."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""

    def bounds(self, model: AbstractModel) -> tuple[float, float]:
        """Return the least and the greatest deviation, in the model's time unit.

        Raises:
            UserError: there is no room between them.
        """
        low = -units.quantity(self.early, model.time, where="course.visits.early")
        high = units.quantity(self.late, model.time, where="course.visits.late")
        if low > 0 or high < 0 or low == high:
            raise UserError(
                f"course.visits opens {self.early} before a visit's time and closes {self.late} after it; neither is "
                "negative, and one is positive."
            )
        return low, high

    def check(self, visits: Float[np.ndarray, " visit"], model: AbstractModel) -> None:
        """Check outside `jit` that visits stay in order.

        Raises:
            UserError: two windows overlap, or one opens before entry.
        """
        low, high = self.bounds(model)
        opens, closes = visits + np.where(visits > 0, low, 0.0), visits + np.where(visits > 0, high, 0.0)
        if opens[0] < 0 or (opens[1:] <= closes[:-1]).any():
            raise UserError(
                f"course.visits opens {self.early} before a visit's time and closes {self.late} after it, so that "
                "visits overlap, or come before entry; make it narrower."
            )

    def times(
        self, key: Key[Array, ""], visits: Float[np.ndarray, " visit"], model: AbstractModel
    ) -> Float[Array, " visit"]:
        """Return when a patient comes to each visit: a matter of the patient and the visit's time alone."""
        own = keys.each_named(key, [f"visit at {t:.12g}" for t in visits.tolist()])
        drawn = jax.vmap(lambda k: self.draw(k, *self.bounds(model), model))(own)
        return jnp.where(visits > 0, visits + drawn, visits)


class UniformDeviation(AbstractDeviation):
    """All times of the window are alike.

    Args:
        early: how long before a visit's time its window opens.
        late: how long after it the window closes.
    """

    early: str = eqx.field(static=True)
    late: str = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], low: float, high: float, model: AbstractModel) -> Float[Array, ""]:
        """Return a uniform one."""
        return jax.random.uniform(key, minval=low, maxval=high)

    def describe(self) -> str:
        """Say it."""
        return f"visits happen up to {self.early} early or {self.late} late"


class NormalDeviation(AbstractDeviation):
    """Times near the visit's own are the most likely: a normal distribution cut at the window.

    Args:
        sd: its standard deviation before it is cut.
        early: how long before a visit's time its window opens.
        late: how long after it the window closes.
    """

    sd: str = eqx.field(static=True)
    early: str = eqx.field(static=True)
    late: str = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], low: float, high: float, model: AbstractModel) -> Float[Array, ""]:
        """Return a normal one within the bounds."""
        sd = units.quantity(self.sd, model.time, where="course.visits.sd")
        if sd <= 0:
            raise UserError(f"course.visits.sd is {self.sd}; it must be positive.")
        return sd * jax.random.truncated_normal(key, low / sd, high / sd)

    def describe(self) -> str:
        """Say it."""
        return f"visits happen with SD {self.sd}, up to {self.early} early or {self.late} late"
