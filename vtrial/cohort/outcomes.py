"""Potential outcomes: every virtual patient under every arm."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.cohort.consequence import Therapy
from vtrial.cohort.course import Treatment
from vtrial.cohort.fate import existing, off_time, told
from vtrial.cohort.levels import Levels
from vtrial.cohort.recruit import Cohort
from vtrial.cohort.story import Path, Setting, tell
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, After, EventTable, rounded, sampled
from vtrial.endpoint import AbstractEndpoint, Course
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.solve import ResultCode

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


class _Plan(eqx.Module):
    """The times at which everything is solved, and where each endpoint finds its own among them."""

    time: Float[np.ndarray, " time"]
    index: Mapping[str, Int[np.ndarray, " point"]]
    rows: tuple[After | float, ...] = eqx.field(static=True)
    """The same times as the samples of an event table."""
    measured: tuple[tuple[str, Int[np.ndarray, " _"]], ...]
    """Outputs, and at which of the times an endpoint measures them."""
    hazard: Int[np.ndarray, " evaluation"]
    """Which of the times hazards are evaluated at."""
    shown: Int[np.ndarray, " shown"]
    """Which of the times an endpoint asked for: those of the courses."""
    visit: Int[np.ndarray, " visit"]
    """Which of the times are visits that may be off time."""
    end: Mapping[str, float] = eqx.field(static=True)
    """When each endpoint is over."""


def _plan(endpoints: Mapping[str, AbstractEndpoint], statistical: StatisticalModel, course: Treatment) -> _Plan:
    model = statistical.model
    wanted = {n: _samples(e, model, moving=course.visits is not None) for n, e in endpoints.items()}
    end = {name: float(e.delay(model).max()) for name, e in endpoints.items()}
    grid = [_Sample(rounded(t)) for t in course.grid(max(end.values()))]
    every = sorted({sample for samples in [*wanted.values(), grid] for sample in samples})
    index = {name: np.array([every.index(sample) for sample in samples]) for name, samples in wanted.items()}
    rows = tuple(After(sample.time) if sample.after else sample.time for sample in every)
    by_output: dict[tuple[str, bool], list[np.ndarray]] = {}
    for name, endpoint in endpoints.items():
        if endpoint.measured:
            by_output.setdefault((endpoint.window.output, wanted[name][0].visit), []).append(index[name])
    measured = tuple((output, np.unique(np.concatenate(parts))) for (output, _), parts in by_output.items())
    hazard = np.array([every.index(sample) for sample in grid], int)
    asked = np.unique(np.concatenate(list(index.values())))
    moving = np.array([sample.visit for sample in every])
    time = np.array([sample.time for sample in every])
    shown = asked[~moving[asked]] if (~moving[asked]).any() else asked
    return _Plan(time, index, rows, measured, hazard, shown, np.flatnonzero(moving), end)


class _Sample(NamedTuple):
    """A time at which outputs are asked for."""

    time: float
    after: bool = False
    """Whether it comes after the doses of its hour: a stretch's start."""
    visit: bool = False
    """Whether it is a visit that may be off time."""


def _samples(endpoint: AbstractEndpoint, model: AbstractModel, *, moving: bool) -> list[_Sample]:
    """Return an endpoint's samples; visits may be `moving`."""
    times = [rounded(time) for time in endpoint.window.times(model).tolist()]
    visits = endpoint.layout == "visits"
    stretch = len(times) > 1 and not visits and endpoint.window.after_dose
    return [_Sample(time, i == 0 and stretch, visits and moving) for i, time in enumerate(times)]


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
    """
    course, levels = course or Treatment(), levels or Levels()
    plan = _plan(endpoints, statistical, course)
    known = levels.posterior(posterior, statistical)
    named = dict(zip(names or map(str, range(len(arms))), arms, strict=True))
    rule = _Rule(named, plan, endpoints, statistical, course, levels.residual)
    block = jax.jit(jax.vmap(partial(_replicate, rule)))

    def simulates(start: int, cohort: Cohort) -> Outcomes:
        count, subjects, *_ = next(iter(cohort.parameters.values())).shape
        noise = {n: jnp.asarray(known[n])[cohort.draw] for n in statistical.noise_priors()}
        given = (keys.numbered(key, count, start), cohort.parameters, cohort.covariates, noise)
        size, parts = _together(replicates, subjects, len(arms)), []
        for first in range(0, count, size):
            # The last call is filled up with the last replicate, so that all calls share one compilation.
            rows = np.minimum(np.arange(first, first + size), count - 1)
            found = block(*jax.tree.map(lambda x, r=rows: x[r], given))
            kept = min(size, count - first)
            parts.append(jax.tree.map(lambda x, n=kept: np.asarray(x)[:n], found))
        values, code, courses, moments, fate = jax.tree.map(lambda *p: np.concatenate(p), *parts)
        return Outcomes(values, code, plan.time[plan.shown], courses, moments, fate)

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
) -> Outcomes:
    """Simulate every patient once under every arm, all at once; arguments are those of `simulator`."""
    return simulator(key, len(cohort.draw), arms, endpoints, posterior, statistical, levels, course, names)(0, cohort)


class _Rule(eqx.Module):
    """What is the same for all patients."""

    arms: Mapping[str, Arm]
    plan: _Plan
    endpoints: Mapping[str, AbstractEndpoint]
    statistical: StatisticalModel
    course: Treatment
    residual: bool = eqx.field(static=True)
    """Whether measurements have their error."""


def _replicate(
    rule: _Rule,
    key: Key[Array, ""],
    parameters: Mapping[str, Float[Array, "subject *occasion"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
):
    """Return endpoints [subject arm *rest], codes [subject arm], course quantiles [arm time quantile], moments, fates.

    Several occasions are the periods of a trial: each is simulated from its start, with the washout before it complete;
    the course is that of the first.
    """
    first = next(iter(parameters.values()))
    if first.ndim == 1:
        own = keys.numbered(key, len(first))
        return _occasion(rule, own, parameters, covariates, noise)
    each = []
    for i in range(first.shape[1]):
        own = keys.numbered(keys.named(key, f"period {i}"), len(first))
        now = {name: value[:, i] for name, value in parameters.items()}
        each.append(_occasion(rule, own, now, covariates, noise))
    values, code, course, moments, fate = zip(*each, strict=True)
    stacked, summed, fated = (jax.tree.map(lambda *p: jnp.stack(p, 2), *of) for of in (values, moments, fate))
    return stacked, jnp.stack(code).max(0), course[0], summed, fated


def _occasion(
    rule: _Rule,
    patient_keys: Key[Array, " subject"],
    parameters: Mapping[str, Float[Array, " subject"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
):
    """Return endpoints [subject arm *rest], codes [subject arm], course quantiles, moments, fates of an occasion."""
    patients = (patient_keys, dict(parameters), dict(covariates))
    by_arm = [_each(partial(_patient, rule, arm, noise), patients, _PROFILES // len(rule.arms)) for arm in rule.arms]
    values, again, fate = (jax.tree.map(lambda *a: jnp.stack(a, 1), *(found[i] for found in by_arm)) for i in (0, 1, 4))
    code, true = (jax.tree.map(lambda *a: jnp.stack(a, -1), *(found[i] for found in by_arm)) for i in (2, 3))
    quantiles, shown = jnp.asarray(QUANTILES), rule.plan.shown
    course = {o: jnp.nanquantile(y[:, shown], quantiles, axis=0).T for o, y in true.items()}
    return values, code, course, {name: _moments(value, again[name]) for name, value in values.items()}, fate


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
):
    """Return endpoints, the same with other measurement errors, code, true outputs and fates of a patient in an arm."""
    statistical, plan, course, arm = rule.statistical, rule.plan, rule.course, rule.arms[name]
    model, time = statistical.model, jnp.asarray(plan.time)
    p = {name: value * arm.factors.get(name, 1.0) for name, value in parameters.items()}
    if course.visits is not None:
        visits = course.visits.times(keys.named(key, "visits"), plan.time[plan.visit], model)
        time = time.at[plan.visit].set(visits)

    def solve(therapy: Therapy, at: Float[Array, ""]) -> tuple[Array, dict[str, Array]]:
        table, place = therapy.events(at), jnp.arange(len(plan.time))
        if course.visits is not None:
            table, place = sampled(table, time)
        profile = statistical.solver(model, therapy.parameters(p), table, key=keys.named(key, "system noise"))
        known = profile.code == ResultCode.SOLVED
        return profile.code, {o: jnp.where(known, y[place], jnp.nan) for o, y in profile.outputs.items()}

    events = course.taken(key, arm.regimen.records(model, plan.rows, covariates), model)
    code, unhindered = solve(Therapy(events), jnp.asarray(0.0))
    never, measure = jnp.asarray(jnp.inf), partial(_endpoints, rule, noise, time)
    fate = {f"visited_{n}": time[plan.index[n]] for n, e in rule.endpoints.items() if off_time(e, course)}
    if not course.events:
        again = measure(keys.named(key, "again"), unhindered, never)
        return measure(key, unhindered, never), again, code, unhindered, fate

    def plain(regimen: AbstractRegimen) -> EventTable:
        return regimen.records(model, (), covariates)

    setting = Setting(course, model, rule.arms, name, time, plan.hazard, covariates, plain, solve)
    story = tell(key, setting, events, unhindered, code)
    death, happened = told(course, story, partial(measure, key), unhindered, time)
    known = {n: time[plan.index[n]] if e.layout == "visits" else plan.end[n] for n, e in rule.endpoints.items()}
    actual, again = (
        existing(rule.endpoints, measure(k, story.true, death), known, death) for k in (key, keys.named(key, "again"))
    )
    true = {o: jnp.where(time <= death, y, jnp.nan) for o, y in story.true.items()}
    return actual, again, story.code, true, fate | happened


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
        result[output] = result.get(output, nothing).at[at].set(found)
    return result
