"""What may happen to a patient during treatment: doses missed or mistimed, visits off time, events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys, units
from vtrial.cohort.assay import Assay
from vtrial.cohort.consequence import AbstractConsequence, Stop
from vtrial.cohort.timing import AbstractDeviation, DoseTiming
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable, given_only, moved
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

type Visits = Mapping[str, tuple[Float[Array | np.ndarray, "..."], Float[Array, "..."]]]
"""When a patient came to the visits of endpoints, and what was measured, by name."""

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

    def taken(self, key: Key[Array, ""], doses: int, person: Key[Array, ""] | None = None) -> Bool[Array, " {doses}"]:
        """Return which of a patient's doses are taken; the first is as likely as any in the long run.

        Args:
            key: of the patient, in the period.
            doses: how many there are.
            person: key of the patient in all periods, whose level is one; left out, there is one period.
        """
        own = self.variation * jax.random.normal(keys.named(key if person is None else person, "patient"))
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


def _several(then: AbstractConsequence | Sequence[AbstractConsequence]) -> tuple[AbstractConsequence, ...]:
    return (then,) if isinstance(then, AbstractConsequence) else tuple(then)


class Event(eqx.Module):
    """Something that may happen to a patient, with a hazard that reads the past and present of the patient's own path.

    The hazard is `rate` exp(`slope` x output + sum of coefficients x covariates). With an endpoint in place of the
    output, it reads the last value measured at a visit, and none before the first: who leaves by it leaves outcomes
    missing at random (MAR); by an output, which nobody sees, not at random (MNAR).

    Args:
        rate: hazard at 0 of everything, with its unit, for example "0.01 1/day".
        output: model output that drives it; left out, none.
        slope: log hazard ratio for one unit of the output, or of the endpoint.
        covariates: log hazard ratio for one unit of each covariate.
        endpoint: endpoint with visits whose last measured value drives it, in place of an output.
        then: what it does to the patient: one consequence, or several; left out, treatment stops.
    """

    rate: str = eqx.field(static=True)
    output: str | None = eqx.field(static=True, default=None)
    slope: float = eqx.field(static=True, default=0.0)
    covariates: Mapping[str, float] = eqx.field(static=True, default_factory=dict)
    then: tuple[AbstractConsequence, ...] = eqx.field(converter=_several, default=Stop())
    endpoint: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        """Refuse an event that does nothing, one that does something beside death, and one driven by two things."""
        if self.output is not None and self.endpoint is not None:
            raise UserError(
                "An event of course.events is driven by an output or by an endpoint; leave one of them out."
            )
        if not self.then:
            raise UserError("An event of course.events has consequences; name one in `then`.")
        if sum(c.ends for c in self.then) > 1:
            raise UserError(
                "An event of course.events stops or switches treatment once; leave one Stop or Switch in `then`."
            )
        if self.dies and len(self.then) > 1:
            raise UserError(
                "An event of course.events that is death has no other consequence; leave only Die in `then`."
            )

    @property
    def changes(self) -> bool:
        """Whether it changes the treatment."""
        return any(c.changes for c in self.then)

    @property
    def ends(self) -> bool:
        """Whether the arm's own doses end."""
        return any(c.ends for c in self.then)

    @property
    def stops(self) -> bool:
        """Whether it ends the doses of an arm and does nothing else."""
        return all(c.ends and c.arm is None for c in self.then)

    @property
    def arm(self) -> str | None:
        """The arm that the patient is treated as from then on; None: as before."""
        return next((c.arm for c in self.then if c.arm is not None), None)

    @property
    def intercurrent(self) -> bool:
        """Whether it is an intercurrent event, and not only an end of observation."""
        return any(c.intercurrent for c in self.then)

    @property
    def leaves(self) -> bool:
        """Whether it ends observation."""
        return any(c.leaves for c in self.then)

    @property
    def dies(self) -> bool:
        """Whether it is death."""
        return any(c.dies for c in self.then)

    @property
    def finishes(self) -> bool:
        """Whether the patient begins no later period."""
        return any(c.finishes for c in self.then)

    def applies(self, arm: str) -> bool:
        """Return whether it may happen in an arm."""
        return all(c.applies(arm) for c in self.then)

    def check(self, name: str, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Check outside `jit` that it fits model, arms and the population's parameters.

        Raises:
            UserError: the output is unknown, the rate is no rate, or a consequence does not fit.
        """
        if self.output is not None and self.output not in model.outputs:
            raise UserError(
                f"course.events.{name} reads '{self.output}', which is no output of the model. "
                f"{nearest(self.output, model.outputs)}"
            )
        if units.quantity(self.rate, f"1/({model.time})", where=f"course.events.{name}.rate") < 0:
            raise UserError(f"course.events.{name}.rate is {self.rate}; a hazard is not negative.")
        for consequence in self.then:
            consequence.check(f"course.events.{name}.then", model, arms, parameters)

    def hazard(
        self,
        grid: Float[Array | np.ndarray, " time"],
        true: Mapping[str, Float[Array, " time"]],
        covariates: Mapping[str, Array],
        model: AbstractModel,
        visits: Visits = MappingProxyType({}),
    ) -> "Hazard":
        """Return its cumulative hazard in a patient, by the trapezoidal rule on the grid.

        By what is seen at `visits`, the hazard is constant between them.
        """
        rate = units.quantity(self.rate, f"1/({model.time})", where="rate")
        log_ratio = sum((b * covariates[n] for n, b in self.covariates.items()), start=jnp.zeros(()))
        if self.endpoint is not None:
            time, seen = visits[self.endpoint]
            ends = (jnp.asarray(grid)[:1], jnp.asarray(grid)[-1:])
            at = jnp.clip(jnp.concatenate([ends[0], time, ends[1]]), ends[0], ends[1])
            hazard = rate * jnp.exp(self.slope * jnp.concatenate([jnp.zeros(1), seen]) + log_ratio)
            steps = hazard * jnp.diff(at)
        else:
            at = jnp.asarray(grid)
            driven = self.slope * true[self.output] if self.output is not None else jnp.zeros(len(grid))
            hazard = rate * jnp.exp(driven + log_ratio)
            steps = 0.5 * (hazard[1:] + hazard[:-1]) * jnp.diff(at)
        return Hazard(at, jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)]))

    def describe(self) -> str:
        """Say it."""
        does = " and ".join(c.describe() for c in self.then)
        by = "" if self.output is None else f", times exp({self.slope:g} x {self.output})"
        by += "" if self.endpoint is None else f", times exp({self.slope:g} x {self.endpoint} at the last visit)"
        by += "".join(f", times exp({b:g} x {n})" for n, b in self.covariates.items())
        return f"{does}, hazard {self.rate}{by}"


class Hazard(eqx.Module):
    """A cumulative hazard from the start on, linear between times."""

    time: Float[Array, " time"]
    total: Float[Array, " time"]

    def until(self, time: Float[Array, ""]) -> Float[Array, ""]:
        """Return what of it is met until a time."""
        return jnp.interp(time, self.time, self.total)

    def reaches(self, wanted: Float[Array, ""]) -> Float[Array, ""]:
        """Return when it reaches a value; infinity if not by the end."""
        found, last = jnp.interp(wanted, self.total, self.time), self.total[-1]
        return jnp.where(jnp.isfinite(last) & (wanted <= last), found, jnp.inf)


def draw(key: Key[Array, ""], event: str) -> Float[Array, ""]:
    """Return the cumulative hazard at which an event happens to a patient: a standard exponential draw.

    It is the patient's own, and the same under every arm.
    """
    return jax.random.exponential(keys.named(key, f"event {event}"))


class Treatment(eqx.Module):
    """What may happen to patients during treatment.

    Events that change the treatment happen one after the other, each at most once: rescue and then a stop, a switch
    and then rescue. To who takes no more doses of an arm an event does not happen that only stops them; others may, a
    switch to another arm among them. Death and leaving may come before and after. Of what has happened a hazard knows
    by the path alone.

    In a design with periods hazards run on from one period to the next, the time between them included, and each event
    may happen again in each. What a consequence does to later periods it says itself.

    Args:
        adherence: whether doses are taken; left out, all are.
        events: what may happen, by name.
        points: times at which hazards are evaluated, equally spaced from the start to the end of what is observed, and
            as many from there to the start of the next period.
        timing: when doses are taken; left out, when they are due.
        visits: when patients come to the visits of endpoints with visits; left out, at their times.
        assays: limits of quantification, by output that is measured.
        changes: the most changes of treatment that happen to a patient (in a period), each of which costs one more
            solve; left out, as many as events change treatment. With 1 the first of them happens, and no other.
    """

    adherence: Adherence | None = None
    events: Mapping[str, Event] = eqx.field(default_factory=dict)
    points: int = eqx.field(static=True, default=50)
    timing: DoseTiming | None = None
    visits: AbstractDeviation | None = None
    assays: Mapping[str, Assay] = eqx.field(default_factory=dict)
    changes: int | None = eqx.field(static=True, default=None)

    def check(self, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Check outside `jit` that it fits model, arms and the population's parameters; raises `UserError`."""
        for name, event in self.events.items():
            event.check(name, model, arms, parameters)
        if self.timing is not None:
            self.timing.check(model)
        for output, assay in self.assays.items():
            if output not in model.outputs:
                raise UserError(
                    f"course.assays has '{output}', which is no output of the model. {nearest(output, model.outputs)}"
                )
            assay.check(output, model)
        if self.points < 2:
            raise UserError(f"course.points must be 2 or more, not {self.points}.")
        if self.changes is not None and self.changes < 1:
            raise UserError(
                f"course.changes must be 1 or more, not {self.changes}; where treatment does not change, leave out the "
                "events that change it."
            )

    @property
    def deadly(self) -> tuple[str, ...]:
        """The events that are death."""
        return tuple(name for name, event in self.events.items() if event.dies)

    def without(self, names: Collection[str]) -> "Treatment":
        """Return it with some events switched off."""
        kept = {name: event for name, event in self.events.items() if name not in names}
        return replace(self, events=kept)

    def regimens(self) -> dict[str, AbstractRegimen]:
        """Return the regimens that events add, by the key of their consequence."""
        return {
            f"course.events.{name}.then[{i}]": regimen
            for name, event in self.events.items()
            for i, consequence in enumerate(event.then)
            for regimen in consequence.regimens()
        }

    def taken(
        self, key: Key[Array, ""], table: EventTable, model: AbstractModel, person: Key[Array, ""] | None = None
    ) -> EventTable:
        """Return the event table of a patient's prescribed doses as they are taken.

        Args:
            key: of the patient, in the period.
            table: the doses.
            model: whose time unit is meant.
            person: key of the patient in all periods; left out, there is one.
        """
        if self.adherence is None and self.timing is None:
            return table
        which, doses = doses_of(table)
        taken = jnp.ones(doses, bool)
        if self.adherence is not None:
            level = None if person is None else keys.named(person, "adherence")
            taken = self.adherence.taken(keys.named(key, "adherence"), doses, level)
        if self.timing is not None:
            due = np.unique(np.asarray(table.start))
            later, taken = self.timing.taken(keys.named(key, "timing"), due, taken, model)
            table = moved(table, later[which])
        return table if self.adherence is None else given_only(table, taken[which].astype(float))

    def check_covariates(self, known: Collection[str]) -> None:
        """Check that the covariates that hazards read are known.

        Raises:
            UserError: one is not.
        """
        for name, event in self.events.items():
            for covariate in event.covariates:
                if covariate not in known:
                    raise UserError(
                        f"course.events.{name}.covariates has '{covariate}', which is no covariate of the patients. "
                        f"{nearest(covariate, known)}"
                    )

    def grid(self, end: float, until: float = 0.0) -> tuple[float, ...]:
        """Return the times at which hazards are evaluated; none where nothing may happen.

        Args:
            end: of what is observed.
            until: when the next period begins: as many times again lie between.
        """
        if not self.events:
            return ()
        after = np.linspace(end, until, self.points)[1:] if until > end else np.zeros(0)
        return (*np.linspace(0.0, end, self.points).tolist(), *after.tolist())

    def describe(self) -> str:
        """Say it."""
        said = [part.describe() for part in (self.adherence, self.timing, self.visits) if part is not None]
        said += [f"{output} {assay.describe()}" for output, assay in self.assays.items()]
        said += [f"{name} {event.describe()}" for name, event in self.events.items()]
        said += [] if self.changes is None else [f"changes of a patient's treatment: at most {self.changes}"]
        return "; ".join(said) if said else "complete adherence, nobody leaves"


def doses_of(table: EventTable) -> tuple[np.ndarray, int]:
    """Return the number of the dose each entry belongs to, by the time of its record, and how many doses there are.

    A regimen's times are numbers, whatever the patient, so that this is worked out once.
    """
    start = np.asarray(table.start)
    times = np.unique(start)
    return np.searchsorted(times, start), len(times)


def _shifted(p: float, own: Float[Array, ""]) -> Float[Array, ""]:
    """Return a probability with its logit shifted; 1 stays 1."""
    return jnp.ones(()) if p >= 1 else jax.nn.sigmoid(np.log(p / (1 - p)) + own)
