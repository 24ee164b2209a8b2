"""What each trial adds to the operating characteristics: their mean over trials is the characteristic."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vtrial.design import AbstractCorrectedDesign, Corrected
from vtrial.statistics.information_value import chosen_after, gain_of_all, gain_of_choice
from vtrial.trial.conduct import Rules, Trials, corrected

_NONE: Mapping[tuple[int, ...], np.ndarray] = MappingProxyType({})


_NAIVE = (
    "Estimates and intervals are the analysis's own at the last look, not adjusted for the looks before it: bias and "
    "coverage show what stopping early costs them."
)
_CORRECTED = (
    "Estimates and intervals are the analysis's own at the last look; bias and coverage show what stopping early and "
    "selection cost them."
)


class Judged(eqx.Module):
    """What the operating characteristics are worked out from."""

    trials: Trials
    """Conducted on the patients as they are."""
    null: Trials
    """Conducted on the same patients at the edge of the null hypothesis."""
    corrected: Corrected | None
    """Estimates of the first, corrected for looks and selection."""
    merit: Float[np.ndarray, "replicate arm"]
    """True merit of each arm by the objective."""
    worth: Float[np.ndarray, "replicate arm"]
    """What choosing the arm is worth in truth."""
    patients: Float[np.ndarray, "replicate arm"]
    """Patients given each arm; of designs with periods, times it was given."""
    names: tuple[str, ...]
    looks: int
    toxicity: bool
    """Whether outcomes are toxicities and arms doses in ascending order."""
    primary: str
    reference: str
    alpha: float
    units: Mapping[str, str]
    """Of the level ("level"), the effect ("effect"), time ("time") and the worth of a choice ("worth")."""
    errs: Bool[np.ndarray, "replicate arm"]
    """Whether a claim of the arm is an error in the trials under the null."""
    caveats: tuple[str, ...]
    """What must be known to read bias and coverage."""
    partial: Mapping[tuple[int, ...], Bool[np.ndarray, " replicate"]]
    """By the arms whose null hypothesis is true, the others having their effects: whether one of them is claimed."""
    counted: str
    """What the worth of a choice is, in words."""


class Contribution(NamedTuple):
    """One characteristic, trial by trial."""

    value: np.ndarray
    """[replicate], or [replicate arm]; not a number where a trial adds nothing."""
    counted: bool
    """Whether it is a yes or no."""
    what: str
    """What the mean is."""
    unit: str = ""


def false_claims(trials: Trials, rules: Rules, among: Sequence[int]) -> Bool[np.ndarray, " replicate"]:
    """Return whether each trial claims one of the arms `among` which the null hypothesis is true."""
    errs = np.asarray(rules.analysis.null.errs(np.asarray(trials.effect)))
    return (np.asarray(trials.rejected) & errs)[:, list(among)].any(1)


def judge(
    trials: Trials,
    null: Trials,
    rules: Rules,
    *,
    primary: str,
    unit: str,
    partial: Mapping[tuple[int, ...], Bool[np.ndarray, " replicate"]] = _NONE,
) -> Judged:
    """Return what operating characteristics are worked out from.

    Args:
        trials: conducted on the patients as they are.
        null: conducted without effect.
        rules: what they followed.
        primary: name of the primary endpoint.
        unit: its unit.
        partial: false claims where some null hypotheses are true, by the arms they are of; see `false_claims`.
    """
    truth, effect, found = jnp.asarray(trials.truth), jnp.asarray(trials.effect), corrected(trials, rules)
    arms = len(rules.design.names)
    given = np.asarray(trials.arm)[..., None] == np.arange(arms)
    units = {"level": unit, "effect": rules.analysis.unit(unit), "time": rules.unit}
    return Judged(
        trials=trials,
        null=null,
        corrected=found,
        merit=np.asarray(jax.vmap(rules.objective.merit)(truth, effect)),
        worth=np.asarray(jax.vmap(rules.objective.worth)(truth, effect)),
        patients=given.reshape(len(given), -1, arms).sum(1).astype(float),
        errs=rules.analysis.null.errs(np.asarray(null.effect)),
        names=rules.design.names,
        looks=len(rules.design.sizes),
        toxicity=rules.design.toxicity,
        primary=primary,
        reference=rules.analysis.reference,
        alpha=rules.analysis.alpha,
        caveats=tuple(said for said in (rules.analysis.caveat, _of_looks(found, rules)) if said),
        partial=partial,
        units=units | {"worth": rules.objective.unit(unit)},
        counted=rules.objective.counted,
    )


def _of_looks(found: Corrected | None, rules: Rules) -> str:
    """Return what must be known of estimates after looks; "" without."""
    if found is not None and isinstance(rules.design, AbstractCorrectedDesign):
        return f"{_CORRECTED} {rules.design.correction}"
    return _NAIVE if len(rules.design.sizes) > 1 else ""


def contributions(judged: Judged) -> dict[str, Contribution]:
    """Return what each trial adds to each characteristic that is a mean over trials, by its name."""
    return (
        _selection(judged)
        | _comparison(judged)
        | _claims(judged)
        | _family(judged)
        | _sizes(judged)
        | _toxicities(judged)
    )


def best(merit: Float[np.ndarray, "replicate arm"]) -> Float[np.ndarray, "replicate arm"]:
    """Return 1 for the arm that is truly best in a replicate, divided among ties; 0 for all if none can be chosen."""
    top = (merit == merit.max(1, keepdims=True)) & np.isfinite(merit)
    return top / np.maximum(top.sum(1, keepdims=True), 1)


def _selection(judged: Judged) -> dict[str, Contribution]:
    """Return what is true of each arm, and which one the trials select."""
    truth, selected = np.asarray(judged.trials.truth), np.asarray(judged.trials.selected)
    right, picked = best(judged.merit), (selected[:, None] == np.arange(truth.shape[1])).astype(float)
    none = (right.sum(1) == 0) & (selected < 0)
    primary, units = judged.primary, judged.units
    correct = "Probability that a trial selects the truly best arm, or none where none is good enough"
    level = f"True level of {primary}, in virtual patients who are in no trial"
    return {
        "probability_best": Contribution(right, True, f"Probability that the arm is truly best in {primary}"),
        "probability_selected": Contribution(picked, True, "Probability that a trial selects the arm"),
        "probability_correct": Contribution((right * picked).sum(1) + none, True, correct),
        "truth": Contribution(truth, False, level, units["level"]),
        "effect": Contribution(
            np.asarray(judged.trials.effect), False, f"True effect against {judged.reference}", units["effect"]
        ),
    }


def _comparison(judged: Judged) -> dict[str, Contribution]:
    """Return how the analysis does. Against itself the reference has no interval."""
    compared, better = judged.trials.comparison, judged.corrected
    against = f"against {judged.reference}"
    error, covered = _errors(judged, compared.difference, compared.lower, compared.upper)
    found = {
        "bias": Contribution(error, False, "Mean error of the estimated effect", judged.units["effect"]),
        "coverage": Contribution(
            covered, True, f"Probability that the interval of the effect {against} covers the truth"
        ),
    }
    if better is None:
        return found
    error, covered = _errors(judged, better.difference, better.lower, better.upper)
    above = np.where(np.isfinite(error), error > 0, np.nan)
    return found | {
        "bias_corrected": Contribution(error, False, "Mean error of the corrected effect", judged.units["effect"]),
        "coverage_corrected": Contribution(
            covered, True, f"Probability that the corrected interval of the effect {against} covers the truth"
        ),
        "above_corrected": Contribution(above, True, "Probability that the corrected effect is above the truth"),
    }


def _errors(judged: Judged, difference, lower, upper) -> tuple[np.ndarray, np.ndarray]:
    """Return what estimates are off the truth, and whether intervals hold it; not a number where there is none."""
    effect = np.asarray(judged.trials.pursued)
    lower, upper, difference = (np.asarray(x) for x in (lower, upper, difference))
    other = np.where(np.array(judged.names) == judged.reference, np.nan, 1.0)
    error = (np.where(np.isfinite(difference), difference, np.nan) - effect) * other
    known = np.isfinite(lower + upper + effect)
    return error, np.where(known, (lower <= effect) & (effect <= upper), np.nan) * other


def _claims(judged: Judged) -> dict[str, Contribution]:
    """Return which nulls are rejected: with the effects there are (power, assurance), and without (type I error)."""
    other = np.array(judged.names) != judged.reference
    against, found = f"against {judged.reference}", {}
    # A trial that could not be analysed claims nothing, and counts as one.
    for prefix, trials, counts, said in (
        ("power", judged.trials, other, "that the trial claims the arm, with the effects there are"),
        (
            "type_one_error",
            judged.null,
            other & judged.errs,
            "that the trial claims the arm, were it at the edge of the null hypothesis",
        ),
    ):
        rejected = np.asarray(trials.rejected).astype(float)
        claimed = np.where(counts, rejected, 0.0).any(1).astype(float)
        claimed = claimed if other.any() else np.full(len(rejected), np.nan)
        found[prefix] = Contribution(np.where(counts, rejected, np.nan), True, f"Probability {said} ({against})")
        any_ = f"Probability {said.replace('the arm', 'any arm')} ({against})"
        found[f"{prefix}_any"] = Contribution(claimed, True, any_)
    return found


def worst(judged: Judged) -> tuple[int, ...]:
    """Return the arms whose nulls are true in the configuration of the most false claims; of equals the first."""
    found = judged.partial
    return max(found, key=lambda among: (float(np.mean(found[among])), -list(found).index(among)))


def _family(judged: Judged) -> dict[str, Contribution]:
    """Return the family-wise error in the strong sense; {} of trials with one hypothesis, or of toxicities."""
    if not judged.partial:
        return {}
    among = worst(judged)
    what = (
        f"Family-wise error rate: probability of a false claim, at the true nulls where it is greatest "
        f"({', '.join(judged.names[arm] for arm in among)}; the other arms have their effects)"
    )
    return {"family_wise_error": Contribution(judged.partial[among].astype(float), True, what)}


def _sizes(judged: Judged) -> dict[str, Contribution]:
    """Return how large and long the trials are."""
    trials = judged.trials
    entered = np.isfinite(np.asarray(trials.entered)).sum(1).astype(float)
    duration = np.asarray(trials.duration)
    return {
        "patients": Contribution(judged.patients, False, "Mean number of patients given the arm"),
        "patients_analysed": Contribution(
            np.asarray(trials.comparison.count, float), False, "Mean number of patients who count for the arm"
        ),
        "enrolled": Contribution(entered, False, "Mean number of patients enrolled"),
        "duration": Contribution(duration, False, "Mean duration of a trial", judged.units["time"]),
    }


def _toxicities(judged: Judged) -> dict[str, Contribution]:
    """Return toxicities by dose, and who was given more than the dose to be found; {} of other trials."""
    if not judged.toxicity:
        return {}
    toxic = np.asarray(judged.trials.outcome) > 0.5
    given = np.asarray(judged.trials.arm)[..., None] == np.arange(len(judged.names))
    found = np.isfinite(judged.merit).any(1)
    limit = np.where(found, judged.merit.argmax(1), -1)
    above = np.arange(len(judged.names)) > limit[:, None]
    total = judged.patients.sum(1)
    over = np.where(total > 0, (judged.patients * above).sum(1) / np.maximum(total, 1), np.nan)
    count = (toxic[..., None] & given).sum(1).astype(float)
    return {
        "toxicities": Contribution(count, False, "Mean number of toxicities at the dose"),
        "toxicities_all": Contribution(count.sum(1), False, "Mean number of toxicities in a trial"),
        "overdosed": Contribution(over, False, "Mean share of patients given a dose above the one to be found"),
    }


def information(judged: Judged) -> dict[str, Contribution]:
    """Return the expected value of information: what a decision between arms gains, against deciding now.

    Without knowledge of a single world one would choose the arm of greatest expected worth. `chosen_after` says what a
    trial is worth whose estimates are put together with what was known before; who does as the design selects may
    gain less, or lose.
    """
    worth, trials = judged.worth, judged.trials
    usable = np.isfinite(worth).all(1)
    selected = np.asarray(trials.selected)
    kept = np.where(selected < 0, judged.names.index(judged.reference), selected)
    blank = np.full(len(worth), np.nan)
    if usable.sum() < 2:
        gains = [blank] * 3
    else:
        after = chosen_after(worth, np.asarray(trials.comparison.estimate))
        gains = [gain_of_all(worth), gain_of_choice(worth, after), gain_of_choice(worth, kept)]
    said = (
        ("value_of_knowing", "Expected gain of deciding with perfect information, against deciding now (EVPI)"),
        ("value_of_trial", "Expected gain of deciding after the trial, against deciding now (EVSI)"),
        ("value_of_selection", "Expected gain of doing what the trial selects, against deciding now"),
    )
    unit = judged.units["worth"]
    each = zip(said, gains, strict=True)
    return {name: Contribution(np.where(usable, gain, np.nan), False, what, unit) for (name, what), gain in each}
