"""When the looks of a trial happen, in calendar time."""

from abc import abstractmethod
from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import numbers, whole_numbers
from vtrial.errors import UserError
from vtrial.statistics.ordered import nth


class Progress(eqx.Module):
    """What the calendar knows of the patients allocated so far; those not allocated are at infinity."""

    entered: Float[Array, " patient"]
    """Calendar time of enrolment."""
    known: Float[Array, " patient"]
    """Calendar time at which the last of their outcome is in: the end of follow-up, or what ended it before."""
    event: Float[Array, " patient"]
    """Calendar time of their event, in designs on times to an event; infinity for none."""


class AbstractTiming(eqx.Module):
    """When each look happens; enrolment goes on meanwhile, as far as patients are allocated."""

    @abstractmethod
    def check(self, looks: int) -> None:
        """Check outside `jit` that it fits a design with so many looks; raises `UserError`."""

    @abstractmethod
    def time(self, number: Int[Array, ""], progress: Progress) -> Float[Array, ""]:
        """Return the calendar time of look `number`, counted from 0."""

    @abstractmethod
    def shares_of(self, sizes: tuple[int, ...]) -> tuple[float, ...]:
        """Return the share of the final information planned at each look.

        Args:
            sizes: most patients allocated before each look.
        """

    @abstractmethod
    def total(self, sizes: tuple[int, ...]) -> int:
        """Return the information planned at the end, in patients or events."""

    @abstractmethod
    def counted(self, events: Int[Array, " arm"], used: Int[Array, " arm"]) -> Int[Array, " arm"]:
        """Return the information there is of each arm, in the same unit.

        Args:
            events: seen.
            used: patients that the analysis used.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class AfterEach(AbstractTiming):
    """A look comes once the outcomes of all patients allocated so far are in; who comes next waits for it."""

    def check(self, looks: int) -> None:
        """Nothing can be wrong."""

    def time(self, number: Int[Array, ""], progress: Progress) -> Float[Array, ""]:
        """Return when the last outcome is in."""
        return _last(progress.known, jnp.isfinite(progress.entered))

    def shares_of(self, sizes: tuple[int, ...]) -> tuple[float, ...]:
        """Return the shares of patients allocated by then."""
        return tuple(sum(sizes[: k + 1]) / sum(sizes) for k in range(len(sizes)))

    def total(self, sizes: tuple[int, ...]) -> int:
        """Return all patients."""
        return sum(sizes)

    def counted(self, events: Int[Array, " arm"], used: Int[Array, " arm"]) -> Int[Array, " arm"]:
        """Return patients."""
        return used

    def describe(self) -> str:
        """Say it."""
        return "each look after the outcomes of all patients before it"


class Information(AbstractTiming):
    """A look comes once a share of the patients allocated have their outcome; enrolment does not wait.

    Args:
        shares: of the patients, ascending, the last one 1.
    """

    shares: tuple[float, ...] = eqx.field(static=True, converter=numbers)

    def check(self, looks: int) -> None:
        """Check number and order."""
        _ascending("shares", self.shares, looks)
        if self.shares[-1] != 1.0 or self.shares[0] <= 0:
            raise UserError(f"design.timing.shares go up from above 0 to 1, not {self.shares}.")

    def time(self, number: Int[Array, ""], progress: Progress) -> Float[Array, ""]:
        """Return when enough outcomes are in."""
        there = jnp.isfinite(progress.entered)
        wanted = jnp.ceil(jnp.asarray(self.shares)[number] * there.sum() - 1e-9).astype(int)
        return _nth(progress.known, there, wanted)

    def shares_of(self, sizes: tuple[int, ...]) -> tuple[float, ...]:
        """Return the shares."""
        return self.shares

    def total(self, sizes: tuple[int, ...]) -> int:
        """Return all patients."""
        return sum(sizes)

    def counted(self, events: Int[Array, " arm"], used: Int[Array, " arm"]) -> Int[Array, " arm"]:
        """Return patients."""
        return used

    def describe(self) -> str:
        """Say it."""
        return "looks when " + ", ".join(f"{100 * s:g} %" for s in self.shares) + " of the patients have their outcome"


class Events(AbstractTiming):
    """A look comes with a number of events; if there are never so many, at the end of everybody's follow-up.

    Args:
        numbers: of events, over all arms, ascending.
    """

    numbers: tuple[int, ...] = eqx.field(static=True, converter=whole_numbers)

    def check(self, looks: int) -> None:
        """Check number and order."""
        _ascending("numbers", self.numbers, looks)
        if self.numbers[0] < 1:
            raise UserError(f"design.timing.numbers of events are 1 or more, not {self.numbers}.")

    def time(self, number: Int[Array, ""], progress: Progress) -> Float[Array, ""]:
        """Return when enough events have happened."""
        found = _nth(progress.event, jnp.isfinite(progress.event), jnp.asarray(self.numbers)[number])
        return jnp.where(jnp.isfinite(found), found, _last(progress.known, jnp.isfinite(progress.entered)))

    def shares_of(self, sizes: tuple[int, ...]) -> tuple[float, ...]:
        """Return the shares of events."""
        return tuple(n / self.numbers[-1] for n in self.numbers)

    def total(self, sizes: tuple[int, ...]) -> int:
        """Return the last number of events."""
        return self.numbers[-1]

    def counted(self, events: Int[Array, " arm"], used: Int[Array, " arm"]) -> Int[Array, " arm"]:
        """Return events."""
        return events

    def describe(self) -> str:
        """Say it."""
        return "looks at " + ", ".join(map(str, self.numbers)) + " events"


def _ascending(name: str, values: tuple[float, ...], looks: int) -> None:
    if len(values) != looks:
        raise UserError(f"design.timing.{name} has {len(values)} entries, but the design has {looks} looks.")
    if any(b <= a for a, b in pairwise(values)):
        raise UserError(f"design.timing.{name} must go up from look to look, not {values}.")


def _last(time: Float[Array, " patient"], there: Bool[Array, " patient"]) -> Float[Array, ""]:
    """Return the greatest of the times that are there; 0 if none is."""
    return jnp.max(jnp.where(there, time, 0.0))


def _nth(time: Float[Array, " patient"], there: Bool[Array, " patient"], n: Int[Array, ""]) -> Float[Array, ""]:
    """Return the n-th smallest of the times that are there; infinity if there are fewer, 0 if none is wanted."""
    found = nth(jnp.where(there, time, jnp.inf), jnp.clip(n, 1, len(time)))
    return jnp.where(n > len(time), jnp.inf, jnp.where(n < 1, 0.0, found))
