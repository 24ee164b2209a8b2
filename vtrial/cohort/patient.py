"""One virtual patient in one arm: solved, measured, with what happens during treatment."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial.cohort.adaptive import HYPOTHETICAL, follow, ledger_names, padded, prescription
from vtrial.cohort.consequence import Therapy
from vtrial.cohort.course import Treatment, Visits
from vtrial.cohort.fate import World, asked, existing, off_time, told
from vtrial.cohort.plan import Plan
from vtrial.cohort.setting import Path, Setting
from vtrial.cohort.story import tell
from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable, sampled
from vtrial.endpoint import AbstractEndpoint, Course
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.solve import ResultCode


class Rule(eqx.Module):
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


def live(
    rule: Rule,
    name: str,
    noise: Mapping[str, Array],
    key: Key[Array, ""],
    person: Key[Array, ""],
    parameters: Mapping[str, Array],
    covariates: Mapping[str, Array],
    ledger: Mapping[str, Array],
):
    """Return endpoints, the same measured again, code, true outputs, fates and ledger of a patient in an arm.

    The `key` is of the period, where there are several, `person` of all. Given a ledger, its doses are repeated.
    """
    statistical, plan, course, arm = rule.statistical, rule.plan, rule.course, rule.arms[name]
    model, time = statistical.model, _times(rule, key)
    solve = _solver(rule, key, time, {n: value * arm.factors.get(n, 1.0) for n, value in parameters.items()})

    def followed(
        therapy: Therapy, ends: Float[Array, ""], prefix: str = ""
    ) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        if arm.policy is None:
            return *solve(therapy), {}
        given = prescription(arm.policy, model, arm.regimen, prescribed, events)
        solved, seen = lambda own: solve(therapy.giving(own)), partial(_seen, rule, name, key, noise)
        return follow(given, therapy.own, solved, seen, ends, ledger, prefix)

    never = jnp.asarray(jnp.inf)
    prescribed = arm.regimen.records(model, plan.rows, covariates)
    events, hypothetical = course.taken(key, prescribed, model, person), HYPOTHETICAL if course.events else ""
    code, unhindered, decided = followed(Therapy(events), never, hypothetical)
    measure = partial(_endpoints, rule, noise, time)
    filled = partial(padded, names=ledger_names(rule.arms.values(), course), count=plan.decisions)
    fate = {f"visited_{n}": time[plan.index[n]] for n, e in rule.endpoints.items() if off_time(e, course)}
    if not course.events:
        again = measure(keys.named(key, "again"), unhindered, never)
        return measure(key, unhindered, never), again, code, unhindered, fate, filled(decided)
    plain = partial(_unsampled, model, covariates)
    visits = partial(_visited, rule, time, partial(measure, key))
    setting = Setting(course, model, rule.arms, name, time, plan.hazard, covariates, plain, followed, visits, person)
    kept = {n.removeprefix(HYPOTHETICAL): value for n, value in decided.items()}
    story = tell(key, setting, events, (code, unhindered, kept))
    death, happened = told(course, story, partial(measure, key), unhindered, time)
    known = {n: time[plan.index[n]] if e.layout == "visits" else plan.end[n] for n, e in rule.endpoints.items()}
    there, failed = lambda k, y, dies, gone: existing(rule.endpoints, measure(k, y, dies), known, gone), story.code
    actual, again = (there(k, story.true, death, death) for k in (key, keys.named(key, "again")))
    if (world := rule.world) is not None:
        less = replace(setting, course=course.without(world.without))
        other = tell(key, less, events, (code, unhindered, kept)) if world.without else story
        happened |= asked(world, less.course.events, other, partial(there, key), time)
        failed = jnp.maximum(failed, other.code)
    true = {o: jnp.where(time <= death, y, jnp.nan) for o, y in story.true.items()}
    return actual, again, failed, true, fate | happened, filled(decided | dict(story.ledger))


def _solver(
    rule: Rule, key: Key[Array, ""], time: Float[Array, " time"], p: Mapping[str, Array]
) -> Callable[[Therapy], tuple[Array, dict[str, Array]]]:
    """Return what solves a patient of these parameters under a treatment."""
    statistical = rule.statistical

    def solve(therapy: Therapy) -> tuple[Array, dict[str, Array]]:
        table, place = therapy.doses(), jnp.arange(len(time))
        if rule.course.visits is not None:
            table, place = sampled(table, time)
        table = therapy.divided(table)
        noise = keys.named(key, "system noise")
        profile = statistical.solver(statistical.model, therapy.parameters(p), table, key=noise)
        known = profile.code == ResultCode.SOLVED
        return profile.code, {o: jnp.where(known, y[place], jnp.nan) for o, y in profile.outputs.items()}

    return solve


def _times(rule: Rule, key: Key[Array, ""]) -> Float[Array, " time"]:
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
    rule: Rule, name: str, key: Key[Array, ""], noise: Mapping[str, Array], true: Mapping[str, Float[Array, " time"]]
) -> Float[Array, " decision"]:
    """Return what the policy of an arm sees on a path at the times of its decisions."""
    policy, at = rule.arms[name].policy, rule.plan.decided[name]
    assert policy is not None
    monitor = policy.monitor
    return (_measured(rule, key, true, noise) if monitor.measured else true)[monitor.output][at]


def _endpoints(
    rule: Rule,
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
    rule: Rule, time: Float[Array, " time"], measure: Callable[[Path, Float[Array, ""]], dict[str, Array]], true: Path
) -> Visits:
    """Return when the patient came to visits, and what was measured: what a trial sees of the path."""
    found = measure(true, jnp.asarray(jnp.inf))
    return {n: (time[rule.plan.index[n]], found[n]) for n, e in rule.endpoints.items() if e.layout == "visits"}


def _measured(
    rule: Rule, key: Key[Array, ""], true: Mapping[str, Float[Array, " time"]], noise: Mapping[str, Array]
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
