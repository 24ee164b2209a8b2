"""Potential outcomes: every virtual patient under every arm."""

import sys
from collections.abc import Mapping
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from tqdm import tqdm

from vtrial import keys
from vtrial.cohort.recruit import Cohort
from vtrial.design import Arm
from vtrial.dosing import After, rounded
from vtrial.endpoint import AbstractEndpoint, Course
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.solve import ResultCode

QUANTILES = (0.05, 0.5, 0.95)
"""Quantiles over patients kept of each arm's course."""
_PROFILES = 20_000
"""Patients x arms solved at once; bounds the memory."""


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
    stretch = len(times) > 1 and endpoint.layout != "visits"
    return [(time, i == 0 and stretch) for i, time in enumerate(times)]


def simulate(
    key: Key[Array, ""],
    cohort: Cohort,
    arms: tuple[Arm, ...],
    endpoints: Mapping[str, AbstractEndpoint],
    posterior: Mapping[str, np.ndarray],
    statistical: StatisticalModel,
) -> Outcomes:
    """Simulate every patient once under every arm, in blocks of replicates.

    A patient keeps parameters, covariates, system noise and residual-error key in all arms (common random numbers), so
    that arms differ by their doses alone. Results do not depend on the size of a block, nor on the order of the arms.

    Args:
        key: random key.
        cohort: the patients.
        arms: the arms.
        endpoints: by name.
        posterior: draws of the posterior, leading axis the draw; gives the residual error of each replicate.
        statistical: the fitted model.
    """
    plan = _plan(endpoints, statistical)
    replicates, subjects, *_ = next(iter(cohort.parameters.values())).shape
    noise = {n: jnp.asarray(posterior[n])[cohort.draw] for n in statistical.noise_priors()}
    trial_keys = keys.numbered(key, replicates)
    block = jax.jit(jax.vmap(lambda k, p, c, d: _replicate(k, p, c, d, arms, plan, endpoints, statistical)))
    size = max(1, min(replicates, _PROFILES // (subjects * len(arms))))
    parts = []
    with tqdm(
        total=replicates, desc="simulating trials", unit="trial", disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        for start in range(0, replicates, size):
            # The last block is filled up with the last replicate, so that all blocks share one compilation.
            rows = np.minimum(np.arange(start, start + size), replicates - 1)
            kept = min(size, replicates - start)
            taken = (
                trial_keys[rows],
                jax.tree.map(lambda x, r=rows: x[r], cohort.parameters),
                jax.tree.map(lambda x, r=rows: x[r], cohort.covariates),
                jax.tree.map(lambda x, r=rows: x[r], noise),
            )
            parts.append(jax.tree.map(lambda x, n=kept: np.asarray(x)[:n], block(*taken)))
            bar.update(kept)
    values, code, course = jax.tree.map(lambda *p: np.concatenate(p), *parts)
    return Outcomes(values, code, plan.time, course)


def _replicate(
    key: Key[Array, ""],
    parameters: Mapping[str, Float[Array, "subject *occasion"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    arms: tuple[Arm, ...],
    plan: _Plan,
    endpoints: Mapping[str, AbstractEndpoint],
    statistical: StatisticalModel,
):
    """Return endpoints [subject arm *rest], codes [subject arm], course quantiles [arm time quantile] of a replicate.

    Several occasions are the periods of a trial: each is simulated from its start, with the washout before it complete;
    the course is that of the first.
    """
    first = next(iter(parameters.values()))
    if first.ndim == 1:
        own = keys.numbered(key, len(first))
        return _occasion(own, parameters, covariates, noise, arms, plan, endpoints, statistical)
    each = []
    for i in range(first.shape[1]):
        own = keys.numbered(keys.named(key, f"period {i}"), len(first))
        now = {name: value[:, i] for name, value in parameters.items()}
        each.append(_occasion(own, now, covariates, noise, arms, plan, endpoints, statistical))
    values, code, course = zip(*each, strict=True)
    stacked = jax.tree.map(lambda *periods: jnp.stack(periods, 2), *values)
    return stacked, jnp.stack(code).max(0), course[0]


def _occasion(
    patient_keys: Key[Array, " subject"],
    parameters: Mapping[str, Float[Array, " subject"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    arms: tuple[Arm, ...],
    plan: _Plan,
    endpoints: Mapping[str, AbstractEndpoint],
    statistical: StatisticalModel,
):
    """Return endpoints [subject arm *rest], codes [subject arm] and course quantiles of patients on one occasion."""

    def patient(key: Key[Array, ""], p: Mapping[str, Array], own: Mapping[str, Array], arm: Arm):
        p = {name: value * arm.factors.get(name, 1.0) for name, value in p.items()}
        events = arm.regimen.records(statistical.model, plan.rows, own)
        profile = statistical.solver(statistical.model, p, events, key=keys.named(key, "system noise"))
        solved = profile.code == ResultCode.SOLVED
        true = {o: jnp.where(solved, y, jnp.nan) for o, y in profile.outputs.items()}
        measured = _measured(key, true, plan, statistical, noise)
        found = {}
        for name, endpoint in endpoints.items():
            at, output = plan.index[name], endpoint.window.output
            seen = measured[output] if endpoint.measured else true[output]
            course = Course(plan.time[at], true[output][at], seen[at], keys.named(key, f"endpoint {name}"))
            found[name] = endpoint.value(course, statistical.model)
        return found, profile.code, true

    by_arm = [jax.vmap(partial(patient, arm=arm))(patient_keys, parameters, covariates) for arm in arms]
    values = jax.tree.map(lambda *arms: jnp.stack(arms, 1), *(found for found, _, _ in by_arm))
    code, true = jax.tree.map(lambda *arms: jnp.stack(arms, -1), *(rest for _, *rest in by_arm))
    quantiles = jnp.asarray(QUANTILES)
    course = {o: jnp.moveaxis(jnp.nanquantile(y, quantiles, axis=0), (0, 1, 2), (2, 1, 0)) for o, y in true.items()}
    return values, code, course


def _measured(
    key: Key[Array, ""],
    true: Mapping[str, Float[Array, " time"]],
    plan: _Plan,
    statistical: StatisticalModel,
    noise: Mapping[str, Array],
) -> dict[str, Float[Array, " time"]]:
    """Return the measured outputs at every time, not a number where nobody measures.

    Its keys are of output and time, so that other endpoints do not change it, but for errors that are correlated in
    time: these are drawn over all times at which an output is measured.
    """
    result = {}
    for output, at in plan.measured.items():
        there = {o: y[at] for o, y in true.items()}
        found = statistical.measure(key, output, plan.time[at], there, noise)
        result[output] = jnp.full(len(plan.time), jnp.nan).at[at].set(found)
    return result
