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
from vtrial.cohort.calls import in_calls
from vtrial.cohort.course import Treatment
from vtrial.cohort.fate import World
from vtrial.cohort.levels import Levels
from vtrial.cohort.patient import Rule, live
from vtrial.cohort.plan import planned
from vtrial.cohort.recruit import Cohort
from vtrial.design import Arm
from vtrial.endpoint import AbstractEndpoint
from vtrial.likelihood import StatisticalModel
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
    spacing: float = 0.0,
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
        alike: whether all replicates have the keys of the first: the same people, but for parameters.
        world: another one in which patients are simulated too, for an estimand; with a ledger, whose doses are not of
            that world, there is none.
        spacing: time from the start of one period to the next, in the model's unit: events happen all that time.
    """
    course, levels = course or Treatment(), levels or Levels()
    known = levels.posterior(posterior, statistical)
    named = dict(zip(names or map(str, range(len(arms))), arms, strict=True))
    plan = planned(named, endpoints, statistical.model, course)
    last = Rule(named, plan, endpoints, statistical, course, levels.residual, None if ledger else world)
    rules = replace(last, plan=planned(named, endpoints, statistical.model, course, spacing)), last
    block = jax.jit(jax.vmap(lambda number, *given: _replicate(rules, jax.random.fold_in(key, number), *given)))

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
    spacing: float = 0.0,
) -> Outcomes:
    """Simulate every patient once under every arm, all at once; arguments are those of `simulator`."""
    count, rest = len(cohort.draw), (levels, course, names)
    made = simulator(key, count, arms, endpoints, posterior, statistical, *rest, world=world, spacing=spacing)
    return made(0, cohort)


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
    spacing: float = 0.0,
) -> Outcomes:
    """Give every patient the doses of a ledger as a fixed table, and return the outcomes: those it is of, bit for bit.

    No policy is asked; the ledger returned is the one given. Of a patient in whom a solve failed on the way the result
    may differ.
    """
    count, rest = len(cohort.draw), (levels, course, names, ledger)
    return simulator(key, count, arms, endpoints, posterior, statistical, *rest, spacing=spacing)(0, cohort)


def _replicate(
    rules: tuple[Rule, Rule],
    key: Key[Array, ""],
    parameters: Mapping[str, Float[Array, "subject *occasion"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    ledger: Mapping[str, Float[Array, "subject arm *rest"]],
):
    """Return endpoints [subject arm *rest], codes, course quantiles [arm time quantile], moments, fates and ledger.

    Several occasions are the periods of a trial: each is simulated from its start, with the washout before it complete,
    and of whoever begins it, whatever happened in those before; the course is that of the first. Of the `rules` the
    first is that of periods which are followed by another.
    """
    first = next(iter(parameters.values()))
    person = keys.numbered(key, len(first))
    if first.ndim == 1:
        return _occasion(rules[1], person, person, parameters, covariates, noise, ledger)
    each = []
    for i in range(first.shape[1]):
        own = keys.numbered(keys.named(key, f"period {i}"), len(first))
        now = {name: value[:, i] for name, value in parameters.items()}
        repeated = {name: value[:, :, i] for name, value in ledger.items()}
        rule = rules[i + 1 == first.shape[1]]
        each.append(_occasion(rule, own, person, now, covariates, noise, repeated))
    values, code, course, moments, fate, decided = zip(*each, strict=True)
    stacked, fated, kept = (jax.tree.map(lambda *p: jnp.stack(p, 2), *of) for of in (values, fate, decided))
    summed = jax.tree.map(lambda *p: jnp.stack(p, 1), *moments)
    return stacked, jnp.stack(code).max(0), course[0], summed, fated, kept


def _occasion(
    rule: Rule,
    patient_keys: Key[Array, " subject"],
    person_keys: Key[Array, " subject"],
    parameters: Mapping[str, Float[Array, " subject"]],
    covariates: Mapping[str, Float[Array, " subject"]],
    noise: Mapping[str, Array],
    ledger: Mapping[str, Float[Array, "subject arm decision"]],
):
    """Return what `_replicate` does of one occasion."""
    by_arm = []
    for number, name in enumerate(rule.arms):
        own = {n: value[:, number] for n, value in ledger.items()}
        patients = (patient_keys, person_keys, dict(parameters), dict(covariates), own)
        by_arm.append(_each(partial(live, rule, name, noise), patients, _PROFILES // len(rule.arms)))
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
