"""Conduct of the trials: a design reveals entries of the table of potential outcomes, look by look."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial import keys
from vtrial.design import AbstractDesign, Seen
from vtrial.errors import UserError, nearest
from vtrial.trial.analyses import AbstractAnalysis, Comparison


class Trials(eqx.Module):
    """What each virtual trial did, saw and concluded, and what is true of its patients' population."""

    arm: Int[Array, "replicate patient"]
    """Arm each patient was given; -1 for patients never enrolled."""
    outcome: Float[Array, "replicate patient"]
    """Primary endpoint seen."""
    selected: Int[Array, " replicate"]
    """Arm selected; -1 for none."""
    stopped: Bool[Array, " replicate"]
    """Whether the design ended the trial."""
    comparison: Comparison
    """The analysis, each entry [replicate arm]."""
    truth: Float[Array, "replicate arm"]
    """Mean potential outcome under each arm of the replicate's virtual patients that the trial did not enrol."""


def check_enrolment(design: AbstractDesign, analysis: AbstractAnalysis, subjects: int) -> None:
    """Check that a cohort of `subjects` is enough for the design, and that the analysis knows its reference arm.

    Raises:
        UserError: no patient would be left to say what is true, or there is no such arm.
    """
    needed = design.enrolled() * design.looks
    if needed >= subjects:
        raise UserError(
            f"The design enrols {needed} patients, but cohort.subjects is {subjects} in each trial; raise it "
            f"above that, to {4 * needed} say: the patients who are not enrolled tell what is true."
        )
    if analysis.reference not in design.names:
        raise UserError(
            f"analysis.reference is '{analysis.reference}', which is no arm of the design. "
            f"{nearest(analysis.reference, design.names)}"
        )


def conduct(
    key: Key[Array, ""],
    design: AbstractDesign,
    analysis: AbstractAnalysis,
    potential: Float[np.ndarray, "replicate subject arm"],
) -> Trials:
    """Run one trial on each replicate.

    Patients enrol in the order of the cohort, as many at each look as the design says; of each only the outcome under
    the given arm is seen.

    Args:
        key: random key.
        design: the design.
        analysis: the analysis at the end.
        potential: primary endpoint of each patient under each arm; not a number where the solve failed.

    Raises:
        UserError: the design needs more patients than there are, or the reference arm is unknown.
    """
    replicates, subjects, arms = potential.shape
    check_enrolment(design, analysis, subjects)
    needed = design.enrolled() * design.looks
    reference = design.names.index(analysis.reference)

    def one(key: Key[Array, ""], table: Float[Array, "subject arm"]):
        seen, state = _enrol(key, design, table[:needed])
        return seen, state, analysis.compare(seen, arms, reference), jnp.nanmean(table[needed:], axis=0)

    trial_keys = keys.numbered(key, replicates)
    seen, state, comparison, truth = jax.jit(jax.vmap(one))(trial_keys, jnp.asarray(potential))
    return Trials(seen.arm, seen.outcome, state.selected, state.stopped, comparison, truth)


def _enrol(key: Key[Array, ""], design: AbstractDesign, table: Float[Array, "patient arm"]):
    """Scan the design over its looks; return all it has seen and its last state."""
    each = design.enrolled()

    def look(carry, number: Int[Array, ""]):
        state, arm = carry
        mine = design.allocate(keys.named(jax.random.fold_in(key, number), "allocate"), state, each)
        arm = jax.lax.dynamic_update_slice(arm, jnp.where(state.stopped, -1, mine), (number * each,))
        decided = design.decide(keys.named(jax.random.fold_in(key, number), "decide"), state, _seen(arm, table))
        return (decided, arm), None

    start = (design.init(), jnp.full(table.shape[0], -1))
    (state, arm), _ = jax.lax.scan(look, start, jnp.arange(design.looks))
    return _seen(arm, table), state


def _seen(arm: Int[Array, " patient"], table: Float[Array, "patient arm"]) -> Seen:
    """Reveal each enrolled patient's outcome under the arm given."""
    shown = jnp.take_along_axis(table, jnp.maximum(arm, 0)[:, None], axis=1)[:, 0]
    return Seen(arm, jnp.where(arm >= 0, shown, jnp.nan))
