"""Conduct of the trials: a design reveals entries of the table of potential outcomes, look by look."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial import keys
from vtrial.design import AbstractCorrectedDesign, AbstractDesign, Comparison, Corrected, DesignState, Look
from vtrial.errors import UserError, nearest
from vtrial.trial.analyses import AbstractAnalysis, AbstractNull, Adjusted, Alike
from vtrial.trial.analyses.estimated import AbstractHazardAnalysis
from vtrial.trial.enrolment import AbstractEnrolment
from vtrial.trial.objective import AbstractObjective
from vtrial.trial.potential import Clock, Potential, progress, reveal


class Trials(eqx.Module):
    """What each virtual trial did, saw and concluded, and what is true of its patients' population."""

    arm: Int[Array, "replicate patient *period"]
    """Arm each patient was given; -1 for patients never enrolled."""
    outcome: Float[Array, "replicate patient *rest"]
    """Primary endpoint seen at the end; of events the time to event or censoring."""
    event: Bool[Array, "replicate patient *rest"]
    """Whether that is the time of an event; for other outcomes, whether it is known."""
    entered: Float[Array, "replicate patient"]
    """Calendar time of enrolment; NaN for patients never enrolled."""
    selected: Int[Array, " replicate"]
    """Arm selected; -1 for none."""
    stopped: Bool[Array, " replicate"]
    """Whether the design ended the trial."""
    rejected: Bool[Array, "replicate arm"]
    """Null hypotheses rejected."""
    reason: Int[Array, " replicate"]
    """Why the trial ended."""
    look: Int[Array, " replicate"]
    """Number of the last look, from 0."""
    duration: Float[Array, " replicate"]
    """Calendar time of the last look."""
    comparison: Comparison
    """The analysis at the last look, each entry [replicate arm]."""
    record: Any
    """What its estimates are corrected by for looks and selection; nothing of designs or analyses that have no such."""
    truth: Float[Array, "replicate arm"]
    """True level of each arm: what the analysis estimates, in the replicate's virtual patients not enrolled."""
    effect: Float[Array, "replicate arm"]
    """True effect of each arm against the reference, likewise."""
    pursued: Float[Array, "replicate arm"]
    """The same, of hazard ratios over the follow-up that the trial had: what its analysis tends to."""


class Rules(eqx.Module):
    """Everything a trial follows beside its patients."""

    design: AbstractDesign
    analysis: AbstractAnalysis
    objective: AbstractObjective
    enrolment: AbstractEnrolment
    clock: Clock
    unit: str = eqx.field(static=True)
    """Unit of time."""

    @property
    def reference(self) -> int:
        """Number of the reference arm."""
        return self.design.names.index(self.analysis.reference)

    @property
    def needed(self) -> int:
        """Most patients a trial can enrol."""
        return sum(self.design.sizes)


_ENOUGH = 4
"""Patients of a replicate for each one a trial enrols, from which on truth is known well beside what a trial sees."""

type Conductor = Callable[..., Trials]
"""Runs one trial on each replicate of a block, given key, patients, and the number of the first replicate."""


class _Running(eqx.Module):
    """A trial between two looks."""

    state: DesignState
    arm: Int[Array, "patient *period"]
    entered: Float[Array, " patient"]
    now: Float[Array, ""]
    look: Int[Array, ""]
    comparison: Comparison


def check_enrolment(design: AbstractDesign, analysis: AbstractAnalysis, subjects: int) -> None:
    """Check that a cohort of `subjects` is enough for the design, and that the analysis knows its reference arm.

    Raises:
        UserError: no patient would be left to say what is true, or there is no such arm.
    """
    needed = sum(design.sizes)
    if needed >= subjects:
        raise UserError(
            f"The design enrols {needed} patients, but cohort.subjects is {subjects} in each trial; raise it "
            f"above that, to {_ENOUGH * needed} say: the patients who are not enrolled tell what is true."
        )
    if analysis.reference not in design.names:
        raise UserError(
            f"analysis.reference is '{analysis.reference}', which is no arm of the design. "
            f"{nearest(analysis.reference, design.names)}"
        )


def truth_note(design: AbstractDesign, subjects: int) -> str:
    """Say in one sentence that few patients tell what is true, beside those a trial enrols; "" if enough do.

    Their sampling error is part of the errors of bias and coverage, which are judged against it replicate by replicate;
    it widens them, and moves the probability of being best towards chance.
    """
    needed = sum(design.sizes)
    if subjects >= _ENOUGH * needed:
        return ""
    return (
        f"Of the {subjects} patients of a replicate a trial enrols up to {needed}, so that only {subjects - needed} "
        "tell what is true, and truth, bias, coverage and the probability of being best are blurred by their number; "
        f"make cohort.subjects {_ENOUGH * needed} or more."
    )


def conductor(rules: Rules) -> Conductor:
    """Return the function that runs one trial on each replicate, compiled once for tables of one shape.

    Args:
        rules: what the trials follow.

    Raises:
        UserError: something of the enrolment does not fit; the function, if there are too few patients.
    """
    rules.enrolment.arrivals(jax.random.key(0), 1, rules.unit)  # says what is wrong with it outside `jit`
    many = jax.jit(jax.vmap(lambda key, given: _one(key, rules, given)))

    def run(key: Key[Array, ""], potential: Potential, start: int = 0) -> Trials:
        replicates, subjects = potential.value.shape[:2]
        check_enrolment(rules.design, rules.analysis, subjects)
        return Trials(**many(keys.numbered(key, replicates, start), jax.tree.map(jnp.asarray, potential)))

    return run


def conduct(key: Key[Array, ""], rules: Rules, potential: Potential) -> Trials:
    """Run one trial on each replicate.

    Patients enrol in the order of the cohort; of each only the outcome under the given arm is seen, once it is known.

    Args:
        key: random key.
        rules: what the trials follow.
        potential: the patients, each under every arm.

    Raises:
        UserError: the design needs more patients than there are, or the reference arm is unknown.
    """
    return conductor(rules)(key, potential)


def corrected(trials: Trials, rules: Rules) -> Corrected | None:
    """Return each trial's estimates corrected for its looks and its selection, each entry [replicate arm]; or nothing.

    Args:
        trials: that are over.
        rules: what they followed.
    """
    design, alpha = rules.design, rules.analysis.alpha
    if trials.record is None or not isinstance(design, AbstractCorrectedDesign):
        return None
    return jax.jit(jax.vmap(lambda record: design.corrected(record, alpha)))(trials.record)


def configurations(arms: int, reference: int) -> tuple[tuple[int, ...], ...]:
    """Return sets of arms whose null hypotheses may be true while the other arms have an effect, the whole set first.

    All sets of two or three arms beside the reference; of more the whole, single arms, and all but one. Nothing of one
    arm, which is no family.
    """
    others = [arm for arm in range(arms) if arm != reference]
    kinds = {tuple(a for a in others if a != arm) for arm in others} | {(arm,) for arm in others}
    return (tuple(others), *sorted(kinds, key=lambda kind: (len(kind), kind))) if len(others) > 1 else ()


def without_effect(
    potential: Potential, reference: int, null: AbstractNull | None = None, among: Sequence[int] | None = None
) -> Potential:
    """Return the patients in a world at the edge of the null hypothesis.

    Args:
        potential: the patients as they are.
        reference: number of the reference arm.
        null: the hypothesis; left out, every arm does what the reference arm does.
        among: arms of which it is true; the others are as they are. Left out, all.
    """
    arms = np.arange(potential.value.shape[2])
    chosen = np.isin(arms, arms if among is None else among)

    def mixed(edge: np.ndarray, table: Array | np.ndarray) -> np.ndarray:
        return np.where(chosen.reshape(-1, *[1] * (edge.ndim - 3)), edge, np.asarray(table))

    def same(table: Array | np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(table)[:, :, reference][:, :, None], table.shape)

    if null is None or isinstance(null, Alike):
        value, target = same(potential.value), same(potential.target)
    else:
        edge = jax.jit(jax.vmap(lambda table: null.edge(table, reference)))
        value, target = (np.asarray(edge(jnp.asarray(table))) for table in (potential.value, potential.target))
    value, target = mixed(value, potential.value), mixed(target, potential.target)
    until = mixed(same(potential.until), potential.until)
    time, ended = (None if x is None else mixed(same(x), x) for x in (potential.time, potential.ended))
    return Potential(value, until, target, potential.covariates, time, ended)


def _one(key: Key[Array, ""], rules: Rules, given: Potential) -> dict[str, Any]:
    """Run one trial; return the entries of `Trials`."""
    needed = rules.needed
    mine = jax.tree.map(lambda x: x[:needed], given)
    end = _looks(key, rules, mine)
    entered = jnp.where(end.entered <= end.now, end.entered, jnp.inf)
    seen = reveal(mine, rules.clock, end.arm, entered, end.now, jnp.asarray(needed))
    compared = end.comparison
    if not rules.design.analysed:
        compared = rules.analysis.compare(seen, len(rules.design.arms), rules.reference)
    truth, effect = rules.analysis.target(jnp.asarray(given.target)[needed:], rules.reference)
    return dict(
        arm=seen.arm,
        outcome=seen.outcome,
        event=seen.event,
        entered=seen.entered,
        selected=end.state.selected,
        stopped=end.state.stopped,
        rejected=end.state.rejected,
        reason=end.state.reason,
        look=end.look,
        duration=end.now,
        comparison=compared,
        record=_record(rules, end.state),
        truth=truth,
        effect=effect,
        pursued=_pursued(rules, jnp.asarray(given.target)[needed:], end, effect),
    )


def _pursued(
    rules: Rules, table: Float[Array, "subject arm *rest"], end: _Running, effect: Float[Array, " arm"]
) -> Float[Array, " arm"]:
    """Return what the analysis tends to: of hazard ratios with the times for which the trial followed its patients.

    Patients who are not enrolled are followed as long as those who were, in turn.
    """
    analysis = rules.analysis.analysis if isinstance(rules.analysis, Adjusted) else rules.analysis
    if not isinstance(analysis, AbstractHazardAnalysis):
        return effect
    since = jnp.sort(jnp.where(end.entered <= end.now, end.now - end.entered, jnp.inf))
    count = jnp.maximum(jnp.isfinite(since).sum(), 1)
    return analysis.followed(table, since[jnp.arange(table.shape[0]) % count], rules.reference)[1]


def _record(rules: Rules, state: DesignState) -> Any:
    """Return what estimates are corrected by: of effects whose absence is the null hypothesis."""
    if isinstance(rules.design, AbstractCorrectedDesign) and isinstance(rules.analysis.null, Alike):
        return rules.design.record(state)
    return None


def _looks(key: Key[Array, ""], rules: Rules, mine: Potential) -> _Running:
    """Go through the looks: those of equal size in a scan, so that they are compiled once."""
    sizes, needed = rules.design.sizes, rules.needed
    arrivals = rules.enrolment.arrivals(keys.named(key, "enrolment"), needed, rules.unit)
    shape = (needed,) if rules.design.periods == 1 else (needed, rules.design.periods)
    nobody = jnp.full(shape, -1)
    state, zero = rules.design.init(), jnp.asarray(0.0)
    look = _looker(key, rules, mine, arrivals)
    nothing = _nothing(len(state.rejected))
    running = _Running(state, nobody, jnp.full(needed, jnp.inf), zero, jnp.asarray(-1), nothing)
    first = 0 if len(set(sizes)) == 1 else 1 if len(set(sizes[1:])) == 1 and len(sizes) > 2 else len(sizes)
    offset = 0
    for number in range(first):
        running = look(running, jnp.asarray(number), jnp.asarray(offset), sizes[number])
        offset += sizes[number]
    if first < len(sizes):
        each, start = sizes[len(sizes) - 1], jnp.asarray(offset)

        def again(running: _Running, number: Int[Array, ""]):
            return look(running, number, start + (number - first) * each, each), None

        running, _ = jax.lax.scan(again, running, jnp.arange(first, len(sizes)))
    return running


def _nothing(arms: int) -> Comparison:
    """Return the comparison before the first look, of the shapes that all others have."""
    blank, none = jnp.full(arms, jnp.nan), jnp.zeros(arms, int)
    return Comparison(none, blank, blank, blank, blank, blank, blank, blank, blank, none)


def _looker(key: Key[Array, ""], rules: Rules, mine: Potential, arrivals: Float[Array, " patient"]) -> Callable:
    """Return the function that takes a trial from one look to the next."""
    design, clock = rules.design, rules.clock

    def look(running: _Running, number: Int[Array, ""], offset: Int[Array, ""], size: int) -> _Running:
        own, state = jax.random.fold_in(key, number), running.state
        arm, entered = running.arm, running.entered
        if size:
            seen = reveal(mine, clock, arm, entered, running.now, offset)
            new = design.allocate(keys.named(own, "allocate"), state, seen, size)
            new = jnp.where(state.stopped, -1, new)
            arm = jax.lax.dynamic_update_slice(arm, new.astype(arm.dtype), (offset,) + (0,) * (arm.ndim - 1))
            entry = _entry(running.now, arrivals, offset, size)
            entry = jnp.where((new if new.ndim == 1 else new[:, 0]) >= 0, entry, jnp.inf)
            entered = jax.lax.dynamic_update_slice(entered, entry, (offset,))
        when = design.timing.time(number, progress(mine, clock, arm, entered))
        now = jnp.maximum(running.now, when)
        seen = reveal(mine, clock, arm, entered, now, offset + size)
        compared = rules.analysis.compare(seen, len(design.arms), rules.reference)
        decided = design.decide(keys.named(own, "decide"), state, _look(rules, number, now, seen, compared))
        kept = compared if design.analysed else running.comparison
        after = _Running(decided, arm, entered, now, number, kept)
        return jax.tree.map(lambda old, new: jnp.where(state.stopped, old, new), running, after)

    return look


def _look(rules: Rules, number: Int[Array, ""], now: Float[Array, ""], seen, compared: Comparison) -> Look:
    merit = rules.objective.merit(compared.estimate, compared.difference)
    benefit = rules.analysis.null.benefit(compared.statistic, rules.objective.sign)
    return Look(number, now, seen, compared, benefit, rules.analysis.alpha, merit)


def _entry(
    now: Float[Array, ""], arrivals: Float[Array, " patient"], offset: Int[Array, ""], size: int
) -> Float[Array, " {size}"]:
    """Return when the next patients enter: as they arrive, but enrolment starts again at the last look."""
    before = jnp.where(offset > 0, arrivals[jnp.maximum(offset - 1, 0)], 0.0)
    return now + jax.lax.dynamic_slice(arrivals, (offset,), (size,)) - before
