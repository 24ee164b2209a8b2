"""Potential outcomes: every virtual patient under every arm."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.cohort.adaptive import HYPOTHETICAL, follow, ledger_names, padded, prescription
from vtrial.cohort.calls import in_calls
from vtrial.cohort.consequence import Therapy
from vtrial.cohort.course import Treatment, Visits
from vtrial.cohort.fate import World, asked, existing, off_time, told
from vtrial.cohort.levels import Levels
from vtrial.cohort.plan import Plan, planned
from vtrial.cohort.recruit import Cohort
from vtrial.cohort.story import Path, Setting, tell
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable, sampled
from vtrial.endpoint import AbstractEndpoint, Course
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.solve import ResultCode
from vtrial.statistics.quantiles import quantiles

QUANTILES = (0.05, 0.5, 0.95)
"""Quantiles over patients kept of each arm's course."""
MOMENTS = ("count", "mean", "variance", "residual")
"""Moments over the patients of a replicate: how many there are, mean and variance of an endpoint, and the part of the
variance that comes of measuring (half the mean squared difference of two measurements of the same patient)."""
_PROFILES = 20_000
"""Patients x arms solved at once; bounds the memory."""
_STORED = 200_000
"""Patients x arms stored together; an interrupted run repeats at most so many."""


class Outcomes(eqx.Module):
    """What would happen to each virtual patient under each arm."""

    values: Mapping[str, Float[np.ndarray, "replicate subject arm *rest"]]
    """By endpoint, one number or several: of each period, of each visit. Not a number where the solve failed."""
    code: Int[np.ndarray, "replicate subject arm"]
    """Result code of each solve."""
    time: Float[np.ndarray, " time"]
    """Times of the courses: every time an endpoint asked for, but for visits that are off time."""
    course: Mapping[str, Float[np.ndarray, "replicate arm time quantile"]]
    """By output: quantiles over the patients of a replicate, who are alive, of the true output."""
    moments: Mapping[str, Float[np.ndarray, "replicate arm *rest moment"]]
    """By endpoint: `MOMENTS` of the patients of a replicate."""
    fate: Mapping[str, Float[np.ndarray, "replicate subject arm ..."]]
    """What may happen during treatment, by the names that `fates` says; empty where nothing may."""
    ledger: Mapping[str, Float[np.ndarray, "replicate subject arm *decision"]]
    """Where doses adapt, by the names that `ledger_names` says, of each decision; else empty."""


type Simulator = Callable[[int, Cohort], Outcomes]
"""Returns the outcomes of some replicates, given the number of the first and the patients of all of them."""


def block_size(replicates: int, subjects: int, arms: int) -> int:
    """Return how many replicates are simulated and stored together; of a run it depends on these numbers alone."""
    solved = _together(replicates, subjects, arms)
    return min(replicates, solved * max(1, _STORED // (solved * subjects * arms)))


def _together(replicates: int, subjects: int, arms: int) -> int:
    """Return how many replicates are solved in one call."""
    return max(1, min(replicates, _PROFILES // (subjects * arms)))


def simulator(
    key: Key[Array, ""],
    replicates: int,
    arms: tuple[Arm, ...],
    endpoints: Mapping[str, AbstractEndpoint],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    levels: Levels | None = None,
    course: Treatment | None = None,
    names: tuple[str, ...] = (),
    ledger: Mapping[str, np.ndarray] | None = None,
    *,
    alike: bool = False,
    world: World | None = None,
) -> Simulator:
    """Return what simulates patients once under every arm, block by block of replicates.

    A patient keeps parameters, covariates, system noise and residual-error key in all arms (common random numbers), so
    that arms differ by their doses alone. Results do not depend on the size of a block, nor on the order of the arms.

    Args:
        key: random key.
        replicates: how many there are in all.
        arms: the arms.
        endpoints: by name.
        posterior: draws of the posterior, leading axis the draw; gives the residual error of each replicate.
        statistical: the fitted model.
        levels: which levels vary; left out, all.
        course: what may happen during treatment; left out, nothing.
        names: the arms' names, by which patients switch to them.
        ledger: that of earlier outcomes, whose doses are then repeated as they were, and nothing is decided.
        alike: whether all replicates have the keys of the first: the same people, but for their parameters.
        world: another one in which patients are simulated too, for an estimand; with a ledger, whose doses are not of
            that world, there is none.
    """
    course, levels = course or Treatment(), levels or Levels()
    known = levels.posterior(posterior, statistical)
    named = dict(zip(names or map(str, range(len(arms))), arms, strict=True))
    plan = planned(named, endpoints, statistical.model, course)
    other = world if course.events and not ledger else None
    rule = _Rule(named, plan, endpoints, statistical, course, levels.residual, other)
    block = jax.jit(jax.vmap(lambda number, *given: _replicate(rule, jax.random.fold_in(key, number), *given)))

    def simulates(start: int, cohort: Cohort) -> Outcomes:
        count, subjects, *_ = next(iter(cohort.parameters.values())).shape
        noise = {n: known[n][np.asarray(cohort.draw)] for n in statistical.noise_priors()}
        repeated = {n: value[start : start + count] for n, value in (ledger or {}).items()}
        own = np.zeros(count, int) if alike else np.arange(start, start + count)
        given = jax.tree.map(np.asarray, (own, cohort.parameters, cohort.covariates, noise, repeated))
        size = _together(replicates, subjects, len(arms))
        found = in_calls(count, size, lambda rows: block(*jax.tree.map(lambda x: x[rows], given)))
        values, code, courses, moments, fate, decided = found
        return Outcomes(values, code, plan.time[plan.shown], courses, moments, fate, decided)

    return simulates


def simulate(
    key: Key[Array, ""],
    cohort: Cohort,
    arms: tuple[Arm, ...],
    endpoints: Mapping[str, AbstractEndpoint],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    levels: Levels | None = None,
    course: Treatment | None = None,
    names: tuple[str, ...] = (),
    world: World | None = None,
) -> Outcomes:
    """Simulate every patient once under every arm, all at once; arguments are those of `simulator`."""
    count, rest = len(cohort.draw), (levels, course, names)
    return simulator(key, count, arms, endpoints, posterior, statistical, *rest, world=world)(0, cohort)


def replay(
    key: Key[Array, ""],
    cohort: Cohort,
    arms: tuple[Arm, ...],
    endpoints: Mapping[str, AbstractEndpoint],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    ledger: Mapping[str, np.ndarray],
    levels: Levels | None = None,
    course: Treatment | None = None,
    names: tuple[str, ...] = (),
) -> Outcomes:
    """Give every patient the doses of a ledger as a fixed table, and return the outcomes: those it is of, bit for bit.

    No policy is asked; the ledger returned is the one given. Of a patient in whom a solve failed on the way the result
    may differ.
    """
    count, rest = len(cohort.draw), (levels, course, names, ledger)
    return simulator(key, count, arms, endpoints, posterior, statistical, *rest)(0, cohort)


class _Rule(eqx.Module):
    """What is the same for all patients."""

    arms: Mapping[str, Arm]
    plan: Plan
    endpoints: Mapping[str, AbstractEndpoint]
    statistical: StatisticalModel
    course: Treatment
    residual: bool = eqx.field(static=True)
    """Whether measurements have their error."""
    world: World | None = None
    """In which patients are simulated too."""


def _replicate(
    rule: _Rule,
    key: Key[Array, ""],
    parameters: Mapping[str, Float[Array, "subject *occasion"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    ledger: Mapping[str, Float[Array, "subject arm *rest"]],
):
    """Return endpoints [subject arm *rest], codes, course quantiles [arm time quantile], moments, fates and ledger.

    Several occasions are the periods of a trial: each is simulated from its start, with the washout before it complete;
    the course is that of the first.
    """
    first = next(iter(parameters.values()))
    if first.ndim == 1:
        own = keys.numbered(key, len(first))
        return _occasion(rule, own, parameters, covariates, noise, ledger)
    each = []
    for i in range(first.shape[1]):
        own = keys.numbered(keys.named(key, f"period {i}"), len(first))
        now = {name: value[:, i] for name, value in parameters.items()}
        repeated = {name: value[:, :, i] for name, value in ledger.items()}
        each.append(_occasion(rule, own, now, covariates, noise, repeated))
    values, code, course, moments, fate, decided = zip(*each, strict=True)
    stacked, fated, kept = (jax.tree.map(lambda *p: jnp.stack(p, 2), *of) for of in (values, fate, decided))
    summed = jax.tree.map(lambda *p: jnp.stack(p, 1), *moments)
    return stacked, jnp.stack(code).max(0), course[0], summed, fated, kept


def _occasion(
    rule: _Rule,
    patient_keys: Key[Array, " subject"],
    parameters: Mapping[str, Float[Array, " subject"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    ledger: Mapping[str, Float[Array, "subject arm decision"]],
):
    """Return what `_replicate` does of one occasion."""
    by_arm = []
    for number, name in enumerate(rule.arms):
        own = {n: value[:, number] for n, value in ledger.items()}
        patients = (patient_keys, dict(parameters), dict(covariates), own)
        by_arm.append(_each(partial(_patient, rule, name, noise), patients, _PROFILES // len(rule.arms)))
    joined = (jax.tree.map(lambda *a: jnp.stack(a, 1), *(found[i] for found in by_arm)) for i in (0, 1, 4, 5))
    values, again, fate, decided = joined
    code, true = (jax.tree.map(lambda *a: jnp.stack(a, -1), *(found[i] for found in by_arm)) for i in (2, 3))
    shown, wanted = rule.plan.shown, jnp.asarray(QUANTILES)
    over = jax.vmap(lambda y: quantiles(y, wanted).T, in_axes=2)
    course = {o: over(y[:, shown]) for o, y in true.items()}
    moments = {name: _moments(value, again[name]) for name, value in values.items()}
    return values, code, course, moments, fate, decided


def _each(one: Callable[..., Any], patients: tuple[Any, ...], limit: int) -> Any:
    """Return what `one` gives of each patient; beyond a limit, of so many at once, to bound the memory."""
    if len(patients[0]) <= limit:
        return jax.vmap(one)(*patients)
    return jax.lax.map(lambda own: one(*own), patients, batch_size=limit)


def _patient(
    rule: _Rule,
    name: str,
    noise: Mapping[str, Array],
    key: Key[Array, ""],
    parameters: Mapping[str, Array],
    covariates: Mapping[str, Array],
    ledger: Mapping[str, Array],
):
    """Return endpoints, the same measured again, code, true outputs, fates and ledger of a patient in an arm.

    Given a ledger, its doses are repeated.
    """
    statistical, plan, course, arm = rule.statistical, rule.plan, rule.course, rule.arms[name]
    model, time = statistical.model, _times(rule, key)
    p = {name: value * arm.factors.get(name, 1.0) for name, value in parameters.items()}

    def solve(therapy: Therapy, at: Float[Array, ""]) -> tuple[Array, dict[str, Array]]:
        table, place = therapy.events(at), jnp.arange(len(plan.time))
        if course.visits is not None:
            table, place = sampled(table, time)
        profile = statistical.solver(model, therapy.parameters(p), table, key=keys.named(key, "system noise"))
        known = profile.code == ResultCode.SOLVED
        return profile.code, {o: jnp.where(known, y[place], jnp.nan) for o, y in profile.outputs.items()}

    def followed(
        therapy: Therapy, at: Float[Array, ""], ends: Float[Array, ""], prefix: str = ""
    ) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        if arm.policy is None:
            return *solve(therapy, at), {}
        given = prescription(arm.policy, model, arm.regimen, prescribed, events)
        solved, seen = lambda own: solve(therapy.giving(own), at), partial(_seen, rule, name, key, noise)
        return follow(given, therapy.own, solved, seen, ends, ledger, prefix)

    never = jnp.asarray(jnp.inf)
    prescribed = arm.regimen.records(model, plan.rows, covariates)
    events, hypothetical = course.taken(key, prescribed, model), HYPOTHETICAL if course.events else ""
    code, unhindered, decided = followed(Therapy(events), jnp.asarray(0.0), never, hypothetical)
    measure = partial(_endpoints, rule, noise, time)
    filled = partial(padded, names=ledger_names(rule.arms.values(), course), count=plan.decisions)
    fate = {f"visited_{n}": time[plan.index[n]] for n, e in rule.endpoints.items() if off_time(e, course)}
    if not course.events:
        again = measure(keys.named(key, "again"), unhindered, never)
        return measure(key, unhindered, never), again, code, unhindered, fate, filled(decided)
    plain = partial(_unsampled, model, covariates)
    visits = partial(_visited, rule, time, partial(measure, key))
    setting = Setting(course, model, rule.arms, name, time, plan.hazard, covariates, plain, followed, visits)
    kept = {n.removeprefix(HYPOTHETICAL): value for n, value in decided.items()}
    story = tell(key, setting, events, unhindered, code, kept)
    death, happened = told(course, story, partial(measure, key), unhindered, time)
    known = {n: time[plan.index[n]] if e.layout == "visits" else plan.end[n] for n, e in rule.endpoints.items()}
    there, failed = lambda k, y, dies, gone: existing(rule.endpoints, measure(k, y, dies), known, gone), story.code
    actual, again = (there(k, story.true, death, death) for k in (key, keys.named(key, "again")))
    if (world := rule.world) is not None:
        less = replace(setting, course=course.without(world.without))
        other = tell(key, less, events, unhindered, code, kept) if world.without else story
        happened |= asked(world, less.course.events, other, partial(there, key), time)
        failed = jnp.maximum(failed, other.code)
    true = {o: jnp.where(time <= death, y, jnp.nan) for o, y in story.true.items()}
    return actual, again, failed, true, fate | happened, filled(decided | dict(story.ledger))


def _times(rule: _Rule, key: Key[Array, ""]) -> Float[Array, " time"]:
    """Return the times at which a patient is solved: those of visits are the patient's own, where they may be off."""
    plan, visits, time = rule.plan, rule.course.visits, jnp.asarray(rule.plan.time)
    if visits is None:
        return time
    own = visits.times(keys.named(key, "visits"), plan.time[plan.visit], rule.statistical.model)
    return time.at[plan.visit].set(own)


def _unsampled(model: AbstractModel, covariates: Mapping[str, Array], regimen: AbstractRegimen) -> EventTable:
    """Return a patient's doses of a regimen, without samples."""
    return regimen.records(model, (), covariates)


def _seen(
    rule: _Rule, name: str, key: Key[Array, ""], noise: Mapping[str, Array], true: Mapping[str, Float[Array, " time"]]
) -> Float[Array, " decision"]:
    """Return what the policy of an arm sees on a path at the times of its decisions."""
    policy, at = rule.arms[name].policy, rule.plan.decided[name]
    assert policy is not None
    monitor = policy.monitor
    return (_measured(rule, key, true, noise) if monitor.measured else true)[monitor.output][at]


def _endpoints(
    rule: _Rule,
    noise: Mapping[str, Array],
    time: Float[Array, " time"],
    key: Key[Array, ""],
    true: Path,
    death: Float[Array, ""],
) -> dict[str, Array]:
    """Return the endpoints of a patient whose true outputs are these, and who dies then."""
    measured, found, plan = _measured(rule, key, true, noise), {}, rule.plan
    for name, endpoint in rule.endpoints.items():
        at, output = plan.index[name], endpoint.window.output
        seen = measured[output] if endpoint.measured else true[output]
        when = time[at] if off_time(endpoint, rule.course) else plan.time[at]
        course = Course(when, true[output][at], seen[at], keys.named(key, f"endpoint {name}"), death)
        found[name] = endpoint.value(course, rule.statistical.model)
    return found


def _visited(
    rule: _Rule, time: Float[Array, " time"], measure: Callable[[Path, Float[Array, ""]], dict[str, Array]], true: Path
) -> Visits:
    """Return when the patient came to visits, and what was measured: what a trial sees of the path."""
    found = measure(true, jnp.asarray(jnp.inf))
    return {n: (time[rule.plan.index[n]], found[n]) for n, e in rule.endpoints.items() if e.layout == "visits"}


def _moments(
    value: Float[Array, "subject arm *rest"], again: Float[Array, "subject arm *rest"]
) -> Float[Array, "arm *rest moment"]:
    """Return the moments of patients of whom the endpoint is a finite number: once, and measured again."""
    known = jnp.isfinite(value) & jnp.isfinite(again)
    count = known.sum(0)
    mean = jnp.where(known, value, 0.0).sum(0) / count
    spread = jnp.where(known, value - mean[None], 0.0)
    change = jnp.where(known, value - again, 0.0)
    return jnp.stack(
        [count.astype(float), mean, (spread**2).sum(0) / (count - 1), (change**2).sum(0) / (2 * count)], axis=-1
    )


def _measured(
    rule: _Rule, key: Key[Array, ""], true: Mapping[str, Float[Array, " time"]], noise: Mapping[str, Array]
) -> dict[str, Float[Array, " time"]]:
    """Return the measured outputs at every time, not a number where nobody measures.

    Its keys are of output and time, so that other endpoints do not change it, but for errors that are correlated in
    time: these are drawn over all times at which an output is measured.
    """
    result, nothing = {}, jnp.full(len(rule.plan.time), jnp.nan)
    for output, at in rule.plan.measured:
        found = true[output][at]
        if rule.residual:
            there = {o: y[at] for o, y in true.items()}
            # By the time they are due: a visit off time has the error that it would have had on time.
            found = rule.statistical.measure(key, output, rule.plan.time[at], there, noise)
        if (assay := rule.course.assays.get(output)) is not None:
            found = assay.reported(found, output, rule.statistical.model)
        result[output] = result.get(output, nothing).at[at].set(found)
    return result
