"""What happens to a patient during treatment: doses missed, treatment stopped, observation ended."""

from collections.abc import Mapping
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys, units
from vtrial.dosing import EventTable
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Adherence(eqx.Module):
    """Doses taken or missed: a two-state Markov chain over a patient's doses, with a level of each patient's own.

    Source: Girard et al. 1998, doi:10.1002/(SICI)1097-0258(19981030)17:20<2313::AID-SIM935>3.0.CO;2-V.

    Args:
        after_taken: probability that a typical patient takes the dose after one that was taken.
        after_missed: the same after one that was missed.
        variation: SD of a patient's own effect on the logit of both.
    """

    after_taken: float = eqx.field(static=True)
    after_missed: float = eqx.field(static=True)
    variation: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        """Refuse what is no probability."""
        for name, value in (("after_taken", self.after_taken), ("after_missed", self.after_missed)):
            if not 0 < value <= 1:
                raise UserError(f"course.adherence.{name} is a probability above 0, not {value}.")
        if self.variation < 0:
            raise UserError(f"course.adherence.variation is a standard deviation, not {self.variation}.")

    def taken(self, key: Key[Array, ""], doses: int) -> Bool[Array, " {doses}"]:
        """Return which of a patient's doses are taken; the first is as likely as any in the long run."""
        own = self.variation * jax.random.normal(keys.named(key, "patient"))
        after = jnp.stack([_shifted(p, own) for p in (self.after_missed, self.after_taken)])
        stationary = after[0] / (after[0] + 1.0 - after[1])
        lots = jax.random.uniform(keys.named(key, "dose"), (doses,))
        first = lots[0] < stationary

        def next_one(before: Bool[Array, ""], lot: Float[Array, ""]):
            now = lot < jnp.where(before, after[1], after[0])
            return now, now

        return jnp.concatenate([first[None], jax.lax.scan(next_one, first, lots[1:])[1]])

    def describe(self) -> str:
        """Say it."""
        long_run = self.after_missed / (self.after_missed + 1.0 - self.after_taken)
        return f"a typical patient takes {100 * long_run:.3g} % of the doses"


class Event(eqx.Module):
    """Something that may happen to a patient, with a hazard that reads the past and present of the patient's own path.

    The hazard is `rate` exp(`slope` x output + sum of coefficients x covariates).

    Args:
        rate: hazard at 0 of everything, with its unit, for example "0.01 1/day".
        output: model output that drives it; left out, none.
        slope: log hazard ratio for one unit of the output.
        covariates: log hazard ratio for one unit of each covariate.
        treatment: whether the patient takes no dose from then on.
        observation: whether nothing is observed from then on.
    """

    rate: str = eqx.field(static=True)
    output: str | None = eqx.field(static=True, default=None)
    slope: float = eqx.field(static=True, default=0.0)
    covariates: Mapping[str, float] = eqx.field(static=True, default_factory=dict)
    treatment: bool = eqx.field(static=True, default=True)
    observation: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        """Refuse an event that does nothing."""
        if not (self.treatment or self.observation):
            raise UserError("An event of course.events ends treatment, observation or both; set one of them to true.")

    def check(self, name: str, model: AbstractModel) -> None:
        """Check outside `jit` that it fits the model.

        Raises:
            UserError: the output is unknown, or the rate is no rate.
        """
        if self.output is not None and self.output not in model.outputs:
            raise UserError(
                f"course.events.{name} reads '{self.output}', which is no output of the model. "
                f"{nearest(self.output, model.outputs)}"
            )
        if units.quantity(self.rate, f"1/({model.time})", where=f"course.events.{name}.rate") < 0:
            raise UserError(f"course.events.{name}.rate is {self.rate}; a hazard is not negative.")

    def time(
        self,
        key: Key[Array, ""],
        grid: Float[np.ndarray, " time"],
        true: Mapping[str, Float[Array, " time"]],
        covariates: Mapping[str, Array],
        model: AbstractModel,
    ) -> Float[Array, ""]:
        """Return when it happens to a patient; infinity if not by the end of the grid.

        The cumulative hazard, by the trapezoidal rule on the grid, reaches a standard exponential draw of the
        patient's own, which is the same under every arm.
        """
        rate = units.quantity(self.rate, f"1/({model.time})", where="rate")
        log_ratio = sum((b * covariates[n] for n, b in self.covariates.items()), start=jnp.zeros(()))
        driven = self.slope * true[self.output] if self.output is not None else jnp.zeros(len(grid))
        hazard = rate * jnp.exp(driven + log_ratio)
        steps = 0.5 * (hazard[1:] + hazard[:-1]) * jnp.diff(jnp.asarray(grid))
        total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
        wanted = jax.random.exponential(key)
        found = jnp.interp(wanted, total, jnp.asarray(grid))
        return jnp.where(jnp.isfinite(total[-1]) & (wanted <= total[-1]), found, jnp.inf)

    def describe(self) -> str:
        """Say it."""
        ends = " and ".join(w for w, on in (("treatment", self.treatment), ("observation", self.observation)) if on)
        by = "" if self.output is None else f", times exp({self.slope:g} x {self.output})"
        by += "".join(f", times exp({b:g} x {n})" for n, b in self.covariates.items())
        return f"ends {ends}, hazard {self.rate}{by}"


class Treatment(eqx.Module):
    """What may happen to patients during treatment.

    Args:
        adherence: whether doses are taken; left out, all are.
        events: what may happen, by name; what happens first ends treatment or observation.
        points: times at which hazards are evaluated, equally spaced from the start to the end of what is observed.
    """

    adherence: Adherence | None = None
    events: Mapping[str, Event] = eqx.field(default_factory=dict)
    points: int = eqx.field(static=True, default=50)

    def check(self, model: AbstractModel) -> None:
        """Check outside `jit` that it fits the model; raises `UserError`."""
        for name, event in self.events.items():
            event.check(name, model)
        if self.points < 2:
            raise UserError(f"course.points must be 2 or more, not {self.points}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates that hazards read."""
        return tuple(dict.fromkeys(n for event in self.events.values() for n in event.covariates))

    def grid(self, end: float) -> tuple[float, ...]:
        """Return the times at which hazards are evaluated; none where nothing may happen."""
        return tuple(np.linspace(0.0, end, self.points).tolist()) if self.events else ()

    def describe(self) -> str:
        """Say it."""
        said = [] if self.adherence is None else [self.adherence.describe()]
        said += [f"{name} {event.describe()}" for name, event in self.events.items()]
        return "; ".join(said) if said else "complete adherence, nobody leaves"


def doses_of(table: EventTable) -> tuple[np.ndarray, int]:
    """Return the number of the dose each entry belongs to, by the time of its record, and how many doses there are.

    A regimen's times are numbers, whatever the patient, so that this is worked out once.
    """
    start = np.asarray(table.start)
    times = np.unique(start)
    return np.searchsorted(times, start), len(times)


def given_only(table: EventTable, part: Float[Array, " record"]) -> EventTable:
    """Return the table with each entry's dose times `part`: 0 for a dose that is not taken.

    Infusions keep their duration: those of given rate have it times `part` too.
    """
    rate = jnp.where(jnp.asarray(table.given_rate) > 0, table.given_rate * part, table.given_rate)
    return eqx.tree_at(
        lambda t: (t.amount, t.rate, t.given_amount, t.given_rate),
        table,
        (table.amount * part, table.rate * part, table.given_amount * part, rate),
    )


def _shifted(p: float, own: Float[Array, ""]) -> Float[Array, ""]:
    """Return a probability with its logit shifted; 1 stays 1."""
    return jnp.ones(()) if p >= 1 else jax.nn.sigmoid(np.log(p / (1 - p)) + own)
