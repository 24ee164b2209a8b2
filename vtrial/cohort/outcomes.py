"""Potential outcomes: every virtual patient under every arm."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial.cohort.levels import Levels
from vtrial.cohort.recruit import Cohort
from vtrial.design import Arm
from vtrial.dosing import After, rounded
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
    """Times of the courses: every time an endpoint asked for."""
    course: Mapping[str, Float[np.ndarray, "replicate arm time quantile"]]
    """By output: quantiles over the patients of a replicate of the true output."""
    moments: Mapping[str, Float[np.ndarray, "replicate arm *rest moment"]]
    """By endpoint: `MOMENTS` of the patients of a replicate."""


class _Plan(eqx.Module):
    """The times at which everything is solved, and where each endpoint finds its own among them."""

    time: Float[np.ndarray, " time"]
    index: Mapping[str, Int[np.ndarray, " point"]]
    rows: tuple[After | float, ...] = eqx.field(static=True)
    """The same times as the samples of an event table."""
    measured: Mapping[str, Int[np.ndarray, " sample"]]
    """By output: which of the times an endpoint measures it at."""


def _plan(endpoints: Mapping[str, AbstractEndpoint], statistical: StatisticalModel) -> _Plan:
    model = statistical.model
    wanted = {name: _samples(e, model) for name, e in endpoints.items()}
    every = sorted({sample for samples in wanted.values() for sample in samples})
    index = {name: np.array([every.index(sample) for sample in samples]) for name, samples in wanted.items()}
    rows = tuple(After(time) if after else time for time, after in every)
    by_output: dict[str, list[np.ndarray]] = {}
    for name, endpoint in endpoints.items():
        if endpoint.measured:
            by_output.setdefault(endpoint.window.output, []).append(index[name])
    measured = {output: np.unique(np.concatenate(parts)) for output, parts in by_output.items()}
    return _Plan(np.array([time for time, _ in every]), index, rows, measured)


def _samples(endpoint: AbstractEndpoint, model: AbstractModel) -> list[tuple[float, bool]]:
    """Return an endpoint's sample times, and which comes after the doses of its hour: a stretch's start."""
    times = [rounded(time) for time in endpoint.window.times(model).tolist()]
    stretch = len(times) > 1 and endpoint.layout != "visits" and endpoint.window.after_dose
    return [(time, i == 0 and stretch) for i, time in enumerate(times)]


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
    """
    plan, levels = _plan(endpoints, statistical), levels or Levels()
    known = levels.posterior(posterior, statistical)
    rule = _Rule(arms, plan, endpoints, statistical, levels.residual)
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
        values, code, course, moments = jax.tree.map(lambda *p: np.concatenate(p), *parts)
        return Outcomes(values, code, plan.time, course, moments)

    return simulates


def simulate(
    key: Key[Array, ""],
    cohort: Cohort,
    arms: tuple[Arm, ...],
    endpoints: Mapping[str, AbstractEndpoint],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
    levels: Levels | None = None,
) -> Outcomes:
    """Simulate every patient once under every arm, all at once; arguments are those of `simulator`."""
    return simulator(key, len(cohort.draw), arms, endpoints, posterior, statistical, levels)(0, cohort)


class _Rule(eqx.Module):
    """What is the same for all patients."""

    arms: tuple[Arm, ...]
    plan: _Plan
    endpoints: Mapping[str, AbstractEndpoint]
    statistical: StatisticalModel
    residual: bool = eqx.field(static=True)
    """Whether measurements have their error."""


def _replicate(
    rule: _Rule,
    key: Key[Array, ""],
    parameters: Mapping[str, Float[Array, "subject *occasion"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
):
    """Return endpoints [subject arm *rest], codes [subject arm], course quantiles [arm time quantile], and moments.

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
    values, code, course, moments = zip(*each, strict=True)
    stacked, summed = (jax.tree.map(lambda *periods: jnp.stack(periods, 2), *of) for of in (values, moments))
    return stacked, jnp.stack(code).max(0), course[0], summed


def _occasion(
    rule: _Rule,
    patient_keys: Key[Array, " subject"],
    parameters: Mapping[str, Float[Array, " subject"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
):
    """Return endpoints [subject arm *rest], codes [subject arm], course quantiles and moments of one occasion."""
    patients = (patient_keys, dict(parameters), dict(covariates))
    by_arm = [_each(partial(_patient, rule, arm, noise), patients, _PROFILES // len(rule.arms)) for arm in rule.arms]
    values, again = (jax.tree.map(lambda *a: jnp.stack(a, 1), *(found[i] for found in by_arm)) for i in (0, 1))
    code, true = (jax.tree.map(lambda *a: jnp.stack(a, -1), *(found[i] for found in by_arm)) for i in (2, 3))
    quantiles = jnp.asarray(QUANTILES)
    course = {o: jnp.moveaxis(jnp.nanquantile(y, quantiles, axis=0), (0, 1, 2), (2, 1, 0)) for o, y in true.items()}
    return values, code, course, {name: _moments(value, again[name]) for name, value in values.items()}


def _each(one: Callable[..., Any], patients: tuple[Any, ...], limit: int) -> Any:
    """Return what `one` gives of each patient; beyond a limit, of so many at once, to bound the memory."""
    if len(patients[0]) <= limit:
        return jax.vmap(one)(*patients)
    return jax.lax.map(lambda own: one(*own), patients, batch_size=limit)


def _patient(
    rule: _Rule,
    arm: Arm,
    noise: Mapping[str, Array],
    key: Key[Array, ""],
    parameters: Mapping[str, Array],
    covariates: Mapping[str, Array],
):
    """Return endpoints, the same with other measurement errors, code and true outputs of a patient under an arm."""
    statistical, plan = rule.statistical, rule.plan
    p = {name: value * arm.factors.get(name, 1.0) for name, value in parameters.items()}
    events = arm.regimen.records(statistical.model, plan.rows, covariates)
    profile = statistical.solver(statistical.model, p, events, key=keys.named(key, "system noise"))
    solved = profile.code == ResultCode.SOLVED
    true = {o: jnp.where(solved, y, jnp.nan) for o, y in profile.outputs.items()}

    def endpoints(key: Key[Array, ""]) -> dict[str, Array]:
        measured, found = _measured(rule, key, true, noise), {}
        for name, endpoint in rule.endpoints.items():
            at, output = plan.index[name], endpoint.window.output
            seen = measured[output] if endpoint.measured else true[output]
            course = Course(plan.time[at], true[output][at], seen[at], keys.named(key, f"endpoint {name}"))
            found[name] = endpoint.value(course, statistical.model)
        return found

    return endpoints(key), endpoints(keys.named(key, "again")), profile.code, true


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
    result = {}
    for output, at in rule.plan.measured.items():
        found = true[output][at]
        if rule.residual:
            there = {o: y[at] for o, y in true.items()}
            found = rule.statistical.measure(key, output, rule.plan.time[at], there, noise)
        result[output] = jnp.full(len(rule.plan.time), jnp.nan).at[at].set(found)
    return result
