"""Operating characteristics: what the trials say together, each number with its Monte-Carlo error."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Shaped

from vtrial import schema
from vtrial.statistics.concordance import concordance
from vtrial.trial.conduct import Rules, Trials
from vtrial.trial.contribution import Judged, contributions, information
from vtrial.trial.estimand import STRATEGIES, AbstractEstimand, Lived
from vtrial.trial.link import OutcomeLink
from vtrial.trial.per_event import PerEvent
from vtrial.trial.potential import EVENT

type WithError = tuple[np.ndarray | np.floating, np.ndarray | np.floating]
"""A number, or one for each arm, and its Monte-Carlo error."""

type Truths = tuple[np.ndarray, np.ndarray]
"""Levels and effects [replicate strategy arm]."""

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
    there = np.isfinite(value)
    known = there.sum(0)
    count, rest = np.where(known > 0, known, np.nan), np.where(known > 1, known - 1, np.nan)
    mean = np.where(there, value, 0.0).sum(0) / count
    return mean, np.sqrt(np.where(there, (value - mean) ** 2, 0.0).sum(0) / rest / count)


def operating_characteristics(
    judged: Judged,
    endpoints: Mapping[str, Float[np.ndarray, "replicate subject arm *rest"] | xr.DataArray],
    units: Mapping[str, str],
) -> xr.Dataset:
    """Return the operating characteristics by arm; each variable `x` has its Monte-Carlo error `x_mcse`.

    Args:
        judged: the trials.
        endpoints: potential outcomes of endpoints worth a summary, by name; those on disk are read arm by arm.
        units: their units, by name.
    """
    names = list(judged.names)
    looks, reasons = np.arange(1, judged.looks + 1), list(schema.STOP_REASONS.values())
    coords = {schema.ARM: names, schema.QUANTILE: list(SPREAD), "interval": list(INTERVAL)}
    oc = xr.Dataset(coords=coords | {schema.LOOK: looks, "reason": reasons})
    oc.attrs |= {"primary": judged.primary, "reference": judged.reference, "alpha": judged.alpha}
    oc.attrs["replicates"] = len(judged.patients)
    oc.attrs["caveats"] = list(judged.caveats)
    for name, one in contributions(judged).items():
        _add(oc, name, (share if one.counted else average)(one.value), one.what, one.unit)
    _spread(oc, judged)
    _configurations(oc, judged)
    _course(oc, judged)
    _information(oc, judged)
    for name, value in endpoints.items():
        _endpoint(oc, name, value, units[name])
    return oc


def _endpoint(oc: xr.Dataset, name: str, value: np.ndarray | xr.DataArray, unit: str) -> None:
    """Add mean and quantiles of an endpoint over virtual patients; memory holds one arm's at a time."""
    means, quantiles = [], []
    for arm in range(value.shape[2]):
        mine = np.array(value[:, :, arm], float).reshape(value.shape[0], -1)
        mine[~np.isfinite(mine)] = np.nan  # of those who have one: after death there is none
        there = np.isfinite(mine)
        count = there.sum(1)
        means.append(np.where(there, mine, 0.0).sum(1) / np.where(count > 0, count, np.nan))
        quantiles.append(np.nanquantile(mine, SPREAD, overwrite_input=True))
    _add(oc, f"{name}_mean", average(np.stack(means, 1)), f"Mean {name} of virtual patients", unit)
    what = f"Quantiles of {name} over all virtual patients and posterior draws"
    attrs = {"long_name": what, "units": unit}
    oc[f"{name}_quantiles"] = ((schema.QUANTILE, schema.ARM), np.stack(quantiles, 1), attrs)


def _add(oc: xr.Dataset, name: str, found: WithError, what: str, unit: str = "", dim: str = schema.ARM) -> None:
    """Add a number and its Monte-Carlo error."""
    dims = (dim,) if np.ndim(found[0]) else ()
    oc[name] = (dims, found[0], {"long_name": what, "units": unit})
    oc[f"{name}_mcse"] = (dims, found[1], {"long_name": f"Monte-Carlo error of: {what}", "units": unit})


def _spread(oc: xr.Dataset, judged: Judged) -> None:
    """Add what is no mean over trials: intervals, root mean squares, counts."""
    truth, unit = np.asarray(judged.trials.truth), judged.units["level"]
    what = f"95 % interval of the true level of {judged.primary} over posterior draws"
    interval = np.nanquantile(truth, INTERVAL, axis=0)
    oc["truth_interval"] = (("interval", schema.ARM), interval, {"long_name": what, "units": unit})
    found, unit = contributions(judged), judged.units["effect"]
    for name, of in (("", "estimated"), ("_corrected", "corrected")):
        if f"bias{name}" in found:
            square = average(found[f"bias{name}"].value ** 2)
            _add(oc, f"rmse{name}", _root(square), f"Root mean squared error of the {of} effect", unit)
    what = {"long_name": f"Trials in which the arm could be compared with {judged.reference}", "units": ""}
    oc["analysed"] = (schema.ARM, (np.asarray(judged.trials.comparison.code) == 0).sum(0), what)


def _information(oc: xr.Dataset, judged: Judged) -> None:
    """Add the value of information; that of a trial is not below 0, for who decides may leave it aside."""
    for name, one in information(judged).items():
        value, error = average(one.value)
        _add(oc, name, (np.maximum(value, 0.0) if name == "value_of_trial" else value, error), one.what, one.unit)
        oc[name].attrs["worth"] = judged.counted


def _configurations(oc: xr.Dataset, judged: Judged) -> None:
    """Add the probability of a false claim by which null hypotheses are true."""
    if not judged.partial:
        return
    oc.coords[schema.CONFIGURATION] = [" and ".join(judged.names[arm] for arm in among) for among in judged.partial]
    found = share(np.stack(list(judged.partial.values()), 1))
    what = "Probability of a false claim, were these arms at the edge of the null hypothesis and the others as they are"
    _add(oc, "type_one_error_partial", found, what, dim=schema.CONFIGURATION)


def _course(oc: xr.Dataset, judged: Judged) -> None:
    """Add where and why the trials end."""
    trials = judged.trials
    look = np.asarray(trials.look)[:, None] == np.arange(judged.looks)
    _add(oc, "probability_ended", share(look), "Probability that a trial ends at the look", dim=schema.LOOK)
    reason = np.asarray(trials.reason)[:, None] == np.array(list(schema.STOP_REASONS))
    _add(oc, "probability_reason", share(reason), "Probability that a trial ends for the reason", dim="reason")
    if np.ndim(trials.arm) > 2:
        oc.coords[schema.PERIOD] = np.arange(1, np.shape(trials.arm)[2] + 1)
        what = "Share of enrolled patients whose outcome of the period is known"
        _add(oc, "known", average(_known(trials)), what, dim=schema.PERIOD)


def _known(trials: Trials) -> Float[np.ndarray, "replicate period"]:
    """Return the share of enrolled patients whose outcome of each period is known."""
    there = np.asarray(trials.arm) >= 0
    known = np.isfinite(np.asarray(trials.outcome)).reshape(*there.shape, -1).all(-1)
    return (known & there).sum(1) / np.maximum(there.sum(1), 1)


def estimand_truths(lived: Lived, rules: Rules, own: AbstractEstimand) -> Truths:
    """Return the true level and effect of the primary endpoint by every strategy, [replicate strategy arm].

    Args:
        lived: the primary endpoint with and without what happened.
        rules: what the trials follow; the patients they enrol are left out.
        own: the study's strategy, with its settings; the others are as they come. One that says nothing of what counts
            after death has no value where patients may die.
    """
    judge_all = jax.jit(jax.vmap(lambda table: rules.analysis.target(table, rules.reference)))
    found = [judge_all(jnp.asarray(_target(strategy, lived)[:, rules.needed :])) for strategy in _strategies(own)]
    level, effect = (np.stack([np.asarray(both[part]) for both in found], axis=1) for part in (0, 1))
    return level, effect


def add_estimands(oc: xr.Dataset, truths: Truths, rules: Rules, own: AbstractEstimand, unit: str) -> None:
    """Add the true level and effect of the primary endpoint by every strategy for what happens during treatment.

    Args:
        oc: the operating characteristics.
        truths: of `estimand_truths`.
        rules: what the trials follow.
        own: the study's strategy.
        unit: unit of the endpoint.
    """
    oc.coords["strategy"] = [type(strategy).__name__ for strategy in _strategies(own)]
    for name, value, what, its in (
        ("estimand", truths[0], "True level", unit),
        ("estimand_effect", truths[1], "True effect against the reference", rules.analysis.unit(unit)),
    ):
        mean, error = (np.stack(parts) for parts in zip(*map(_known_average, np.moveaxis(value, 1, 0)), strict=True))
        attrs = {"long_name": f"{what} by the strategy", "units": its}
        oc[name] = (("strategy", schema.ARM), mean, attrs)
        oc[f"{name}_mcse"] = (("strategy", schema.ARM), error, attrs | {"long_name": "Monte-Carlo error of the same"})


def add_links(oc: xr.Dataset, links: Mapping[str, OutcomeLink], ratios: xr.Dataset) -> None:
    """Add what the effect on an endpoint says of outcomes that a larger trial would count, by arm.

    Args:
        oc: the operating characteristics.
        links: by name.
        ratios: of `log_risk_ratios`.
    """
    for name, link in links.items():
        value = ratios[f"{name}_log_ratio"].to_numpy()
        ratio = np.exp(value)
        what = f"Risk ratio of {link.outcome} against the reference"
        _add(oc, f"{name}_ratio", average(ratio), what)
        attrs = {"long_name": f"95 % interval of it over what is not known: {what}", "units": ""}
        oc[f"{name}_ratio_interval"] = (("interval", schema.ARM), np.quantile(ratio, INTERVAL, axis=0), attrs)
        _add(oc, f"{name}_risk", average(np.minimum(link.risk * ratio, 1.0)), f"Share of patients with {link.outcome}")
        _add(oc, f"{name}_prevented", share(value < 0), f"Probability that {link.outcome} is prevented at all")
        # Half of infinity has no middle: a quantile is one of the replicates.
        size = np.quantile(link.size(value), SPREAD, axis=0, method="inverted_cdf")
        attrs = {"long_name": f"Patients that a trial of {link.outcome} needs; infinity: none shows it", "units": ""}
        oc[f"{name}_size_quantiles"] = ((schema.QUANTILE, schema.ARM), size, attrs)
        if link.patients is not None:
            what = f"Probability that a trial of {link.patients} patients shows that {link.outcome} is prevented"
            _add(oc, f"{name}_success", average(link.success(value)), what)
    oc.attrs["links"] = [f"{name}: {link.outcome}" for name, link in links.items()]


def add_prognosis(
    oc: xr.Dataset, trials: Trials, score: Shaped[Array | np.ndarray, "replicate subject"], rules: Rules
) -> None:
    """Add how the twin's score correlates with the outcome within arms, and what it is worth in patients.

    An analysis adjusted for it has the precision of patients / (1 - r^2) without; see `statistics.prognosis`. Of times
    to an event, which are censored, it is how often the greater score has the later event.

    Args:
        oc: the operating characteristics.
        trials: what was seen.
        score: of each patient.
        rules: what the trials follow.
    """
    if rules.clock.layout == EVENT:
        found = average(_ordered(trials, np.asarray(score)[:, : rules.needed], len(rules.design.names)))
        what = "Mean probability that of two patients of the arm the one with the greater score has the later event"
        _add(oc, "prognosis_concordance", found, what)
        return
    outcome = np.asarray(trials.outcome, float)
    outcome, score = outcome.reshape(*outcome.shape[:2], -1)[..., -1], np.asarray(score)[:, : rules.needed]
    r = np.full((len(outcome), len(rules.design.names)), np.nan)
    for i, j in np.ndindex(r.shape):
        mine = (np.asarray(trials.arm)[i] == j) & np.isfinite(outcome[i]) & np.isfinite(score[i])
        if mine.sum() > 2 and np.ptp(outcome[i, mine]) > 0 and np.ptp(score[i, mine]) > 0:
            r[i, j] = np.corrcoef(outcome[i, mine], score[i, mine])[0, 1]
    found = average(r)
    _add(oc, "prognosis_correlation", found, "Mean correlation of the twin's score with the outcome in the arm")
    patients = oc["patients"].to_numpy()
    worth = patients / (1 - found[0] ** 2)
    error = worth * 2 * np.abs(found[0]) / (1 - found[0] ** 2) * found[1]
    _add(oc, "effective_patients", (worth, error), "Patients that would give the arm's precision without the score")


def _ordered(trials: Trials, score: Shaped[np.ndarray, "replicate patient"], arms: int) -> np.ndarray:
    """Return the concordance of the score with the time to the event in each trial and arm."""
    arm, time, event = (np.asarray(a) for a in (trials.arm, trials.outcome, trials.event))
    each = [[arm[i] == j for j in range(arms)] for i in range(len(arm))]
    return np.array([[concordance(time[i][m], event[i][m], score[i][m]) for m in row] for i, row in enumerate(each)])


def _strategies(own: AbstractEstimand) -> list[AbstractEstimand]:
    """Return one of each strategy, the study's own with its settings, and its own mixture of them."""
    each: list[AbstractEstimand] = [own if type(own) is type(strategy) else strategy for strategy in STRATEGIES]
    return [*each, own] if isinstance(own, PerEvent) else each


def _known_average(value: Float[np.ndarray, "replicate arm"]) -> WithError:
    """Return the mean over replicates and its error; not a number where a strategy has no value."""
    if np.isnan(value).all():
        return np.full(value.shape[1:], np.nan), np.full(value.shape[1:], np.nan)
    return average(value)


def _target(strategy: AbstractEstimand, lived: Lived) -> np.ndarray:
    """Return what is true by a strategy; not a number of anybody where it has no value for those who may die.

    Whether somebody does in these replicates does not matter: others are judged beside them.
    """
    undefined = not lived.timed and strategy.beyond(lived.deadly)
    return np.full_like(lived.actual, np.nan) if undefined else strategy.target(lived)


def add_events(oc: xr.Dataset, outcomes: xr.Dataset) -> None:
    """Add the share of virtual patients to whom each event happens by the end of what is observed, and who leave.

    In a design with periods it is the share of those who begin a period, to whom it happens before the next one starts.

    Args:
        oc: the operating characteristics.
        outcomes: the table of potential outcomes; it is left alone where nothing may happen.
    """
    events = sorted(str(name) for name in outcomes if str(name).startswith("event_"))
    if not events:
        return
    periods = schema.PERIOD in outcomes[events[0]].dims
    over = (1, 3) if periods else 1
    shares = [average(np.isfinite(outcomes[name].to_numpy()).mean(over)) for name in events]
    oc.coords[schema.HAPPENING] = [name.removeprefix("event_") for name in events]
    what = "Share of virtual patients to whom it happens by the end of what is observed"
    what += " or the start of the next period, of those who begin one" if periods else ""
    dims = (schema.HAPPENING, schema.ARM)
    oc["happened"] = (dims, np.stack([s[0] for s in shares]), {"long_name": what, "units": ""})
    error = {"long_name": f"Monte-Carlo error of: {what}", "units": ""}
    oc["happened_mcse"] = (dims, np.stack([s[1] for s in shares]), error)


def _root(found: WithError) -> WithError:
    """Return the square root of a number, and its error by the delta method."""
    value = np.sqrt(found[0])
    return value, found[1] / np.where(value > 0, 2 * value, np.nan)
