"""An estimand with a strategy of its own for each intercurrent event."""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float

from vtrial.cohort import World
from vtrial.errors import UserError, nearest
from vtrial.trial.estimand import (
    AbstractEstimand,
    Composite,
    Hypothetical,
    Lived,
    PrincipalStratum,
    WhileAlive,
    WhileOnTreatment,
    like,
)


class PerEvent(AbstractEstimand):
    """A strategy for each intercurrent event, as ICH E9(R1) has it: treatment policy for one, hypothetical for another.

    Its truth is of the same patients with the hypothetical events switched off, and no others. Of events that are
    composite or end what is asked for, the first decides.

    Args:
        strategies: by name of the event; every intercurrent event of the course has one.
    """

    strategies: Mapping[str, AbstractEstimand]

    def __check_init__(self):
        """Refuse a strategy that names events itself."""
        for name, own in self.strategies.items():
            if isinstance(own, PerEvent) or (isinstance(own, Composite) and own.only):
                raise UserError(
                    f"estimand.strategies.{name} names events itself; give it one plain strategy, without `only`."
                )

    def world(self, deadly: Collection[str]) -> World:
        """Return the world it asks of; `deadly` are the events that are death."""
        ending = [n for n in self._of(WhileAlive) if n in deadly]
        return World(without=self._of(Hypothetical), until=(*self._of(WhileOnTreatment), *ending))

    def observed(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it in that world, which is as things happened until what is set aside."""
        value = self._valued(lived)
        return np.where(value < like(self._aside(lived), value), value, np.inf) if lived.timed else value

    def until(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when observation ends or the first event comes after which it is set aside.

        Who has an event by then that decides the endpoint is known.
        """
        end = np.minimum(lived.until, self._aside(lived))
        decided = _first(lived, self.world(lived.deadly).until)
        if not lived.timed:
            decided = np.minimum(decided, _first(lived, self._of(Composite)))
        return np.where(decided <= end, np.inf, end)

    def target(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return it in that world, not a number of who is not in the population meant."""
        value, there = self._valued(lived), np.ones(lived.until.shape, bool)
        for name, own in self.strategies.items():
            if isinstance(own, PrincipalStratum):
                spared = np.isinf(lived.asked_events[name])
                mine = spared if own.arm is None else spared[:, :, [lived.arms.index(own.arm)]]
                there &= mine.all(2, keepdims=True)
        return np.where(like(there, value), value, np.nan)

    def beyond(self, deadly: Collection[str]) -> tuple[str, ...]:
        """Return the deaths whose own strategy has no value after them."""
        return tuple(name for name in deadly if name in self.strategies and self.strategies[name].beyond((name,)))

    def check(self, events: Collection[str], arms: Collection[str]) -> None:
        """Refuse a strategy of no event, and an event without a strategy."""
        for name, own in self.strategies.items():
            if name not in events:
                raise UserError(
                    f"estimand.strategies has '{name}', which is no intercurrent event of course.events. "
                    f"{nearest(name, events)}"
                )
            own.check(events, arms)
        if missing := [name for name in events if name not in self.strategies]:
            raise UserError(f"estimand.strategies says nothing of the intercurrent event '{missing[0]}'; add it.")

    def describe(self) -> str:
        """Say it."""
        each = (f"{name}: {own.describe().partition(':')[0]}" for name, own in self.strategies.items())
        return f"by event: {', '.join(each)}"

    def _of(self, kind: type[AbstractEstimand]) -> tuple[str, ...]:
        """Return the events that a kind of strategy is for."""
        return tuple(name for name, own in self.strategies.items() if isinstance(own, kind))

    def _aside(self, lived: Lived) -> Float[np.ndarray, "replicate subject arm *period"]:
        """Return when the first thing happens after which nothing seen is of that world."""
        times = [lived.events[name] for name in (*self._of(Hypothetical), *self._of(PrincipalStratum))]
        return np.min([np.full(lived.until.shape, np.inf), *times], axis=0)

    def _valued(self, lived: Lived) -> Float[np.ndarray, "..."]:
        """Return the endpoint in that world, with the value of a failure where one comes first."""
        assert lived.asked is not None  # whoever has such an estimand has simulated its world
        value = lived.asked
        ends = _first(lived, self.world(lived.deadly).until)
        failed = _first(lived, self._of(Composite))
        fails = np.isfinite(failed) & (failed <= ends)
        if lived.timed:
            return np.minimum(value, like(np.where(fails, failed, np.inf), value))
        for name, own in self.strategies.items():
            if isinstance(own, Composite):
                mine = fails & (lived.asked_events[name] == failed)
                value = np.where(like(mine, value), own.failure, value)
        return value


def world_of(estimand: AbstractEstimand, deadly: Collection[str] = ()) -> World | None:
    """Return the world an estimand asks of, beside those with all events and with none; None for no other."""
    return estimand.world(deadly) if isinstance(estimand, PerEvent) else None


def _first(lived: Lived, names: Collection[str]) -> Float[np.ndarray, "replicate subject arm *period"]:
    """Return when the first of some events happens in that world; infinity for none."""
    times = [lived.asked_events[name] for name in names]
    return np.min([np.full(lived.until.shape, np.inf), *times], axis=0)
