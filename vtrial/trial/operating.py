"""Operating characteristics: what the trials say together, each number with its Monte-Carlo error."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from vtrial import schema
from vtrial.trial.conduct import Rules, Trials
from vtrial.trial.estimand import STRATEGIES, AbstractEstimand, Lived

type WithError = tuple[np.ndarray | np.floating, np.ndarray | np.floating]
"""A number, or one for each arm, and its Monte-Carlo error."""

INTERVAL = (0.025, 0.975)
"""Quantiles over replicates, that is over posterior draws, of what is true."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles over virtual patients of an endpoint."""


def share(hit: Shaped[np.ndarray, "replicate ..."]) -> WithError:
    """Return the share of replicates that hit, and its Monte-Carlo error; what is not a number counts for neither.

    The error is SD / sqrt(R), which for yes and no is sqrt(p (1 - p) / R); a hit may be divided among ties. Where all
    replicates agree that is 0, and the error given is that of one hit more or less, 1 / R.
    """
    value = np.asarray(hit, float)
    known = np.isfinite(value).sum(0)
    count = np.where(known > 0, known, np.nan)
    p = np.where(np.isfinite(value), value, 0.0).sum(0) / count
    spread = np.sqrt(np.where(np.isfinite(value), (value - p) ** 2, 0.0).sum(0) / count)
    return p, np.where(spread == 0, 1.0 / count, spread / np.sqrt(count))


def average(value: Float[np.ndarray, "replicate ..."]) -> WithError:
    """Return the mean over replicates, which unlike patients are independent, and its Monte-Carlo error."""
    known = np.isfinite(value).sum(0)
    return np.nanmean(value, 0), np.nanstd(value, 0, ddof=1) / np.sqrt(known)


def _best(merit: Float[np.ndarray, "replicate arm"]) -> Float[np.ndarray, "replicate arm"]:
    """Return 1 for the arm that is truly best in a replicate, divided among ties; 0 for all if none can be chosen."""
    top = (merit == merit.max(1, keepdims=True)) & np.isfinite(merit)
    return top / np.maximum(top.sum(1, keepdims=True), 1)


def _times(found: WithError, factor: np.ndarray) -> WithError:
    return found[0] * factor, found[1] * factor


class Judged(eqx.Module):
    """What the operating characteristics are worked out from."""

    trials: Trials
    """Conducted on the patients as they are."""
    null: Trials
    """Conducted on the same patients, all arms doing what the reference does."""
    merit: Float[np.ndarray, "replicate arm"]
    """True merit of each arm by the objective."""
    patients: Float[np.ndarray, "replicate arm"]
    """Patients given each arm; of designs with periods, times it was given."""
    names: tuple[str, ...]
    looks: int
    primary: str
    reference: str
    alpha: float
    units: Mapping[str, str]
    """Of the level ("level"), the effect ("effect") and time ("time")."""


def judge(trials: Trials, null: Trials, rules: Rules, *, primary: str, unit: str) -> Judged:
    """Return what operating characteristics are worked out from.

    Args:
        trials: conducted on the patients as they are.
        null: conducted without effect.
        rules: what they followed.
        primary: name of the primary endpoint.
        unit: its unit.
    """
    truth, effect = jnp.asarray(trials.truth), jnp.asarray(trials.effect)
    arms = len(rules.design.names)
    given = np.asarray(trials.arm)[..., None] == np.arange(arms)
    return Judged(
        trials=trials,
        null=null,
        merit=np.asarray(jax.vmap(rules.objective.merit)(truth, effect)),
        patients=given.reshape(len(given), -1, arms).sum(1).astype(float),
        names=rules.design.names,
        looks=len(rules.design.sizes),
        primary=primary,
        reference=rules.analysis.reference,
        alpha=rules.analysis.alpha,
        units={"level": unit, "effect": rules.analysis.unit(unit), "time": rules.unit},
    )


def operating_characteristics(
    judged: Judged,
    endpoints: Mapping[str, Float[np.ndarray, "replicate subject arm *rest"]],
    units: Mapping[str, str],
) -> xr.Dataset:
    """Return the operating characteristics by arm; each variable `x` has its Monte-Carlo error `x_mcse`.

    Args:
        judged: the trials.
        endpoints: potential outcomes of other endpoints worth a summary, by name.
        units: their units, by name.
    """
    names = list(judged.names)
    looks, reasons = np.arange(1, judged.looks + 1), list(schema.STOP_REASONS.values())
    coords = {schema.ARM: names, schema.QUANTILE: list(SPREAD), "interval": list(INTERVAL)}
    oc = xr.Dataset(coords=coords | {schema.LOOK: looks, "reason": reasons})
    oc.attrs |= {"primary": judged.primary, "reference": judged.reference, "alpha": judged.alpha}
    oc.attrs["replicates"] = len(judged.patients)
    _selection(oc, judged)
    _comparison(oc, judged)
    _errors(oc, judged)
    _course(oc, judged)
    for name, value in endpoints.items():
        _endpoint(oc, name, value, units[name])
    return oc


def _endpoint(oc: xr.Dataset, name: str, value: np.ndarray, unit: str) -> None:
    """Add mean and quantiles of an endpoint over virtual patients."""
    # Of those who have one: after death there is none.
    finite = np.where(np.isfinite(value), value, np.nan)
    flat = np.moveaxis(finite, 2, -1).reshape(len(value), -1, value.shape[2])
    _add(oc, f"{name}_mean", average(np.nanmean(flat, 1)), f"Mean {name} of virtual patients", unit)
    quantiles = np.nanquantile(flat.reshape(-1, value.shape[2]), SPREAD, axis=0)
    what = f"Quantiles of {name} over all virtual patients and posterior draws"
    oc[f"{name}_quantiles"] = ((schema.QUANTILE, schema.ARM), quantiles, {"long_name": what, "units": unit})


def _add(oc: xr.Dataset, name: str, found: WithError, what: str, unit: str = "", dim: str = schema.ARM) -> None:
    """Add a number and its Monte-Carlo error."""
    dims = (dim,) if np.ndim(found[0]) else ()
    oc[name] = (dims, found[0], {"long_name": what, "units": unit})
    oc[f"{name}_mcse"] = (dims, found[1], {"long_name": f"Monte-Carlo error of: {what}", "units": unit})


def _selection(oc: xr.Dataset, judged: Judged) -> None:
    """Add what is true of each arm, and which one the trials select."""
    truth, selected = np.asarray(judged.trials.truth), np.asarray(judged.trials.selected)
    best, picked = _best(judged.merit), selected[:, None] == np.arange(truth.shape[1])
    primary, unit = judged.primary, judged.units["level"]
    _add(oc, "probability_best", share(best), f"Probability that the arm is truly best in {primary}")
    _add(oc, "probability_selected", share(picked), "Probability that a trial selects the arm")
    none = (best.sum(1) == 0) & (selected < 0)
    correct = share((best * picked).sum(1) + none)
    what = "Probability that a trial selects the truly best arm, or none where none is good enough"
    _add(oc, "probability_correct", correct, what)
    _add(oc, "truth", average(truth), f"True level of {primary}, in virtual patients who are in no trial", unit)
    what = f"95 % interval of the true level of {primary} over posterior draws"
    interval = np.nanquantile(truth, INTERVAL, axis=0)
    oc["truth_interval"] = (("interval", schema.ARM), interval, {"long_name": what, "units": unit})
    effect = average(np.asarray(judged.trials.effect))
    _add(oc, "effect", effect, f"True effect against {judged.reference}", judged.units["effect"])


def _comparison(oc: xr.Dataset, judged: Judged) -> None:
    """Add how the analysis does: bias, coverage. Against itself the reference has no interval."""
    compared, effect = judged.trials.comparison, np.asarray(judged.trials.effect)
    lower, upper, difference = (np.asarray(getattr(compared, n)) for n in ("lower", "upper", "difference"))
    other = np.where(np.array(judged.names) == judged.reference, np.nan, 1.0)
    unit = judged.units["effect"]
    error = np.where(np.isfinite(difference), difference, np.nan) - effect
    _add(oc, "bias", _times(average(error), other), "Mean error of the estimated effect", unit)
    _add(oc, "rmse", _times(_root(average(error**2)), other), "Root mean squared error of the estimated effect", unit)
    covered = np.where(np.isfinite(lower + upper + effect), (lower <= effect) & (effect <= upper), np.nan)
    what = f"Probability that the interval of the effect against {judged.reference} covers the truth"
    _add(oc, "coverage", _times(share(covered), other), what)
    code = np.asarray(compared.code)
    what = {"long_name": f"Trials in which the arm could be compared with {judged.reference}", "units": ""}
    oc["analysed"] = (schema.ARM, (code == 0).sum(0), what)


def _errors(oc: xr.Dataset, judged: Judged) -> None:
    """Add how often nulls are rejected: with the effects there are (power, assurance), and with none (type I error)."""
    other = np.array(judged.names) != judged.reference
    blank = np.where(other, 1.0, np.nan)
    against = f"against {judged.reference}"
    for prefix, trials, said in (
        ("power", judged.trials, "that the trial claims the arm, with the effects there are"),
        ("type_one_error", judged.null, "that the trial claims the arm, were it like the reference"),
    ):
        rejected = np.asarray(trials.rejected).astype(float)
        _add(oc, prefix, _times(share(rejected), blank), f"Probability {said} ({against})")
        claimed = rejected[:, other].any(1) if other.any() else np.full(len(rejected), np.nan)
        any_ = share(claimed)
        _add(oc, f"{prefix}_any", any_, f"Probability {said.replace('the arm', 'any arm')} ({against})")


def _course(oc: xr.Dataset, judged: Judged) -> None:
    """Add how large and long the trials are, and where and why they end."""
    trials = judged.trials
    _add(oc, "patients", average(judged.patients), "Mean number of patients given the arm")
    entered = np.isfinite(np.asarray(trials.entered)).sum(1).astype(float)
    _add(oc, "enrolled", average(entered), "Mean number of patients enrolled")
    _add(oc, "duration", average(np.asarray(trials.duration)), "Mean duration of a trial", judged.units["time"])
    look = np.asarray(trials.look)[:, None] == np.arange(judged.looks)
    _add(oc, "probability_ended", share(look), "Probability that a trial ends at the look", dim=schema.LOOK)
    reason = np.asarray(trials.reason)[:, None] == np.array(list(schema.STOP_REASONS))
    _add(oc, "probability_reason", share(reason), "Probability that a trial ends for the reason", dim="reason")


def add_estimands(oc: xr.Dataset, lived: Lived, rules: Rules, own: AbstractEstimand, unit: str) -> None:
    """Add the true level and effect of the primary endpoint by every strategy for what happens during treatment.

    Args:
        oc: the operating characteristics.
        lived: the primary endpoint with and without what happened.
        rules: what the trials follow; the patients they enrol are left out.
        own: the study's strategy, with its settings; the others are as they come. One that says nothing of what counts
            after death has no value where patients die.
        unit: unit of the endpoint.
    """
    if np.isinf(lived.first()).all():
        return
    strategies = [own if type(own) is type(strategy) else strategy for strategy in STRATEGIES]
    names = [type(strategy).__name__ for strategy in strategies]
    judge_all = jax.jit(jax.vmap(lambda table: rules.analysis.target(table, rules.reference)))
    found = [judge_all(jnp.asarray(_target(strategy, lived)[:, rules.needed :])) for strategy in strategies]
    oc.coords["strategy"] = names
    for name, part, what in (
        ("estimand", 0, "True level"),
        ("estimand_effect", 1, "True effect against the reference"),
    ):
        each = [_known_average(np.asarray(both[part])) for both in found]
        value, error = np.stack([e[0] for e in each]), np.stack([e[1] for e in each])
        attrs = {"long_name": f"{what} by the strategy", "units": unit if part == 0 else rules.analysis.unit(unit)}
        oc[name] = (("strategy", schema.ARM), value, attrs)
        oc[f"{name}_mcse"] = (("strategy", schema.ARM), error, attrs | {"long_name": "Monte-Carlo error of the same"})


def _known_average(value: Float[np.ndarray, "replicate arm"]) -> WithError:
    """Return the mean over replicates and its error; not a number where a strategy has no value."""
    if np.isnan(value).all():
        return np.full(value.shape[1:], np.nan), np.full(value.shape[1:], np.nan)
    return average(value)


def _target(strategy: AbstractEstimand, lived: Lived) -> np.ndarray:
    """Return what is true by a strategy; not a number of anybody where it has no value for some."""
    died = [name for name in lived.deadly if np.isfinite(lived.events[name]).any()]
    undefined = not lived.timed and strategy.beyond(died)
    return np.full_like(lived.actual, np.nan) if undefined else strategy.target(lived)


def add_events(oc: xr.Dataset, outcomes: xr.Dataset) -> None:
    """Add the share of virtual patients to whom each event happens by the end of what is observed, and who leave.

    Args:
        oc: the operating characteristics.
        outcomes: the table of potential outcomes; it is left alone where nothing may happen.
    """
    events = sorted(str(name) for name in outcomes if str(name).startswith("event_"))
    if not events:
        return
    shares = [average(np.isfinite(outcomes[name].to_numpy()).mean(1)) for name in events]
    oc.coords[schema.HAPPENING] = [name.removeprefix("event_") for name in events]
    what = "Share of virtual patients to whom it happens by the end of what is observed"
    dims = (schema.HAPPENING, schema.ARM)
    oc["happened"] = (dims, np.stack([s[0] for s in shares]), {"long_name": what, "units": ""})
    error = {"long_name": f"Monte-Carlo error of: {what}", "units": ""}
    oc["happened_mcse"] = (dims, np.stack([s[1] for s in shares]), error)


def _root(found: WithError) -> WithError:
    """Return the square root of a number, and its error by the delta method."""
    value = np.sqrt(found[0])
    return value, found[1] / np.where(value > 0, 2 * value, np.nan)
