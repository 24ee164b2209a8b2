"""Tables of the report, as rows of text."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.diagnose import failed_solves
from vtrial.report.numbers import interval, known, percent, probability, significant, with_error

_LEVEL = 0.05
"""Below it a test rejects."""
_LONG = 72.0
"""Hours from which a time is said in days as well."""


class Table(NamedTuple):
    """A table: header cells, rows of cells, and which rows are alarming."""

    header: list[str]
    rows: list[list[str]]
    alarming: frozenset[int] = frozenset()


def health(tree: xr.DataTree) -> Table:
    """Return the gate's checks, and what to do about those that failed."""
    group = tree[schema.FIT_HEALTH].dataset
    rows, alarming = [], set()
    for i, check in enumerate(str(c) for c in group["check"].to_numpy()):
        passed, value = bool(group["passed"][i]), float(group["worst"][i])
        rows.append(
            [
                check,
                f"{value:.3f}" if check == "R-hat" else significant(value),
                str(group["culprit"][i].item()),
                str(group["rule"][i].item()),
                "passed" if passed else f"FAILED: {group['remedy'][i].item()}",
            ]
        )
        if not passed:
            alarming.add(i)
    return Table(["Check", "Worst value", "Whose", "Must be", "Verdict"], rows, frozenset(alarming))


def left_out(tree: xr.DataTree) -> Table:
    """Return each subject left out: how well it is predicted by the others, and how far the fit depends on it."""
    group = tree[schema.LOO].dataset
    if "elpd" not in group:
        return Table([], [])
    rows, alarming = [], set()
    for i, subject in enumerate(str(x) for x in group[schema.SUBJECT].to_numpy()):
        mine = {n: group[n].to_numpy()[i].item() for n in ("observations", "elpd", "elpd_mcse", "p_loo", "pareto_k")}
        rows.append(
            [
                subject,
                str(mine["observations"]),
                with_error(mine["elpd"], mine["elpd_mcse"]),
                with_error(mine["p_loo"], mine["elpd_mcse"]),
                f"{mine['pareto_k']:.2f}",
            ]
        )
        if not mine["pareto_k"] <= 0.7:
            alarming.add(i)
    return Table(["ID", "Observations", "elpd ± MCSE", "p_loo ± MCSE", "Pareto k"], rows, frozenset(alarming))


def posterior(tree: xr.DataTree) -> Table:
    """Return the population parameters in the field's form; no digit goes beyond its Monte-Carlo error."""
    group = tree[schema.PARAMETER_TABLE].dataset
    rows, kind = [], ""
    for i, name in enumerate(str(n) for n in group[schema.PARAMETER].to_numpy()):
        mine = {str(v): group[v].to_numpy()[i].item() for v in group.data_vars}
        own = str(group["kind"].to_numpy()[i])
        rows.append(
            [
                own.capitalize() if own != kind else "",
                _parameter_label(name, own),
                str(group["unit"].to_numpy()[i]) or "–",
                known(mine["median"], mine["mcse_median"]),
                *(["fixed"] + ["–"] * 3 if mine["fixed"] else _spread(mine)),
                _in_percent(mine["shrinkage"]),
                _in_percent(mine["contraction"]),
                "–" if np.isnan(mine["r_hat"]) else f"{mine['r_hat']:.3f}",
                "–" if np.isnan(mine["ess_bulk"]) else f"{mine['ess_bulk']:.0f} / {mine['ess_tail']:.0f}",
                str(group["prior"].to_numpy()[i]),
            ]
        )
        kind = own
    header = ["Kind", "Parameter", "Unit", "Median", "Mean", "SE", "RSE", "95 % interval", "Shrinkage", "Contraction"]
    return Table([*header, "R-hat", "ESS bulk / tail", "Prior"], rows)


def _spread(mine: dict[str, float]) -> list[str]:
    """Write mean, SE, RSE and interval of a parameter that is estimated."""
    lower, upper = known(mine["lower"], mine["mcse_lower"]), known(mine["upper"], mine["mcse_upper"])
    return [
        known(mine["mean"], mine["mcse_mean"]),
        known(mine["sd"], mine["mcse_sd"], 3),
        _in_percent(mine["rse"]),
        f"{lower} to {upper}",
    ]


def _in_percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{round(value) + 0:.0f} %"


def _parameter_label(name: str, kind: str) -> str:
    """Write a site as people do."""
    if kind == "correlation of etas":
        return " – ".join(name.split("_")[1:])
    return name.rpartition("_")[0] if kind.startswith("variability") else name


def arms(tree: xr.DataTree) -> Table:
    """Return what the arms do to virtual patients, endpoint by endpoint."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    names = [str(a) for a in oc[schema.ARM].to_numpy()]
    rows = []
    for endpoint in tree.attrs["endpoints"]:
        attrs = outcomes[endpoint].attrs
        unit = attrs["units"]
        for i, name in enumerate(names):
            mean, error = float(oc[f"{endpoint}_mean"][i]), float(oc[f"{endpoint}_mean_mcse"][i])
            low, middle, high = oc[f"{endpoint}_quantiles"][:, i].to_numpy()
            binary = bool(attrs["binary"])
            rows.append(
                [
                    attrs["long_name"] if i == 0 else "",
                    str(outcomes["label"].sel({schema.ARM: name}).item()),
                    percent(mean, error) if binary else with_error(mean, error, unit),
                    "–" if binary else f"{significant(middle)} ({interval(low, high)}) {unit}",
                ]
            )
    return Table(["Endpoint", "Arm", "Mean ± MCSE", "Median of patients (5 to 95 %)"], rows)


def variance(tree: xr.DataTree) -> Table:
    """Return where the variance of each endpoint comes from, arm by arm; of several visits or periods the last."""
    group, outcomes, rows = tree[schema.VARIANCE].dataset, tree[schema.OUTCOMES].dataset, []
    levels = [str(level) for level in group[schema.LEVEL].to_numpy()]
    for endpoint in tree.attrs["endpoints"]:
        attrs = outcomes[endpoint].attrs
        for i, name in enumerate(str(a) for a in group[schema.ARM].to_numpy()):
            total = float(group[f"{endpoint}_total"].to_numpy()[i].ravel()[-1])
            cells = []
            for j in range(len(levels)):
                part, error = (float(group[v].to_numpy()[j, i].ravel()[-1]) for v in (endpoint, f"{endpoint}_mcse"))
                cells.append(percent(part / total, error / total) if error > 0 and total > 0 else "–")
            known_sd = f"{significant(np.sqrt(total))} {attrs['units']}".rstrip() if total > 0 else "–"
            label = str(outcomes["label"].sel({schema.ARM: name}).item())
            rows.append([attrs["long_name"] if i == 0 else "", label, known_sd, *cells])
    return Table(["Endpoint", "Arm", "SD in all", *(f"Variance: {level} ± MCSE" for level in levels)], rows)


def failures(tree: xr.DataTree) -> Table:
    """Return why the solves of virtual patients failed, how many did, and the first patients of each reason."""
    code = tree[schema.OUTCOMES].dataset["code"]
    found = failed_solves(code, [str(d) for d in code.dims])
    rows = [[str(one.code), one.reason, str(one.count), one.whose()] for one in found]
    return Table(["Code", "Reason", "Solves", "Patients"], rows)


def npde(tree: xr.DataTree) -> Table:
    """Return the tests of NPDE by output, and how many observations lie outside their prediction interval."""
    group, rows = tree[schema.GOODNESS_OF_FIT].dataset, []
    for output in (str(o) for o in group[schema.RESPONSE].to_numpy()):
        mine = group.sel({schema.RESPONSE: output})
        count = int(np.isfinite(group["NPDE"].to_numpy()[group["output"].to_numpy() == output]).sum())
        p = [probability(float(mine[f"npde_p_{test}"])) for test in ("mean", "variance", "normal", "global")]
        mean, variance = float(mine["npde_mean"]), float(mine["npde_variance"])
        expected = (
            f"{mean:.2f} ± {1 / np.sqrt(max(count, 1)):.2f}",
            f"{variance:.2f} ± {np.sqrt(2 / max(count, 1)):.2f}",
        )
        rows.append([output, *expected, *p, f"{100 * float(mine['outside']):.1f} %"])
    header = [
        "Output",
        "Mean of NPDE",
        "Variance of NPDE",
        "p, mean 0",
        "p, variance 1",
        "p, normal",
        "p, global",
        "Outside the 90 % interval",
    ]
    return Table(header, rows)


def fit_in_words(tree: xr.DataTree, output: str) -> str:
    """Say what NPDE and the prediction interval tell of one output."""
    group = tree[schema.GOODNESS_OF_FIT].dataset.sel({schema.RESPONSE: output})
    p, outside = float(group["npde_p_global"]), 100 * float(group["outside"])
    if np.isnan(p):
        said = (
            f"There are no NPDE of {output} to test: it has too few observations or replicates, or is no measurement "
            "with a continuous error."
        )
    elif p >= _LEVEL:
        said = (
            f"NPDE of {output} give no reason to doubt the model: the global test does not reject that they are "
            f"standard normal (p {probability(p)})."
        )
    else:
        tests = {
            "their mean is not 0 (predictions are too high or too low)": "npde_p_mean",
            "their variance is not 1 (the model's variability is too large or too small)": "npde_p_variance",
            "their distribution is not normal": "npde_p_normal",
        }
        wrong = [words for words, test in tests.items() if 3 * float(group[test]) < _LEVEL]
        said = f"NPDE of {output} are not standard normal (global p {probability(p)}): {'; '.join(wrong)}."
    return f"{said} {outside:.1f} % of the observations lie outside their 90 % prediction interval; 10 % are expected."


def characteristics(tree: xr.DataTree) -> Table:
    """Return the operating characteristics by arm."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    reference, binary = oc.attrs["reference"], bool(outcomes[oc.attrs["primary"]].attrs["binary"])
    unit = oc["truth"].attrs["units"]
    corrected = ("coverage_corrected", "bias_corrected") if "bias_corrected" in oc else ()
    sizes = ("patients", "patients_analysed") if schema.PERIOD in oc.dims else ("patients",)
    rows = []
    for i, name in enumerate(str(a) for a in oc[schema.ARM].to_numpy()):
        low, high = oc["truth_interval"][:, i].to_numpy()

        def shown(variable: str, i: int = i) -> str:
            value, error = float(oc[variable][i]), float(oc[f"{variable}_mcse"][i])
            if variable in ("truth", "bias", "bias_corrected", *sizes):
                where = oc[variable].attrs["units"]
                if variable in sizes or not binary:
                    return with_error(value, error, where)
            return percent(value, error)

        own = name == reference
        rows.append(
            [
                str(outcomes["label"].sel({schema.ARM: name}).item()),
                shown("truth"),
                f"{interval(100 * low, 100 * high, 2)} %" if binary else f"{interval(low, high)} {unit}",
                shown("probability_best"),
                shown("probability_selected"),
                "reference" if own else shown("power"),
                "–" if own else shown("type_one_error"),
                "–" if own else shown("coverage"),
                "–" if own else shown("bias"),
                *("–" if own else shown(variable) for variable in corrected),
                *(shown(variable) for variable in sizes),
            ]
        )
    header = [
        "Arm",
        "True level",
        "95 % interval (parameter uncertainty)",
        "P(truly best)",
        "P(trial selects it)",
        "Power",
        "Type I error",
        "Coverage of the interval",
        "Bias",
        *(("Coverage, corrected", "Bias, corrected") if corrected else ()),
        *("Patients", "Patients who count")[: len(sizes)],
    ]
    return Table(header, rows)


def _in_days(duration: xr.DataArray) -> str:
    """Say a long time of hours in days as well."""
    long = duration.attrs["units"] == "h" and float(duration) >= _LONG
    return f" ({float(duration) / 24:.3g} d)" if long else ""


def course_of_trials(tree: xr.DataTree) -> str:
    """Say how large and long the trials are, and where and why they end."""
    oc = tree[schema.OPERATING_CHARACTERISTICS].dataset

    def number(name: str) -> str:
        return with_error(float(oc[name]), float(oc[f"{name}_mcse"]), oc[name].attrs["units"])

    def chances(name: str, dim: str) -> str:
        each = zip(oc[dim].to_numpy(), oc[name].to_numpy(), oc[f"{name}_mcse"].to_numpy(), strict=True)
        return ", ".join(f"{label}: {percent(float(p), float(e))}" for label, p, e in each if p > 0)

    length = number("duration") + _in_days(oc["duration"])
    said = f"A trial enrols {number('enrolled')} patients on average and takes {length}."
    if oc.sizes[schema.LOOK] > 1:
        said += f" It ends at look {chances('probability_ended', schema.LOOK)}."
        said += f" Why it ends: {chances('probability_reason', 'reason')}."
    if schema.PERIOD in oc.dims:
        said += f" The outcome is known, by period, of {chances('known', schema.PERIOD)} of the patients."
    any_ = f"{percent(float(oc['power_any']), float(oc['power_any_mcse']))}"
    null = f"{percent(float(oc['type_one_error_any']), float(oc['type_one_error_any_mcse']))}"
    if len(oc[schema.ARM]) > 2:
        said += f" It claims any arm with probability {any_}; with {null} at the edge of the null hypothesis."
    if "family_wise_error" in oc:
        worst, error = float(oc["family_wise_error"]), float(oc["family_wise_error_mcse"])
        where = str(oc[schema.CONFIGURATION].to_numpy()[oc["type_one_error_partial"].to_numpy().argmax()])
        said += (
            " The family-wise error rate, the greatest probability of a false claim whichever null hypotheses are "
            f"true, is {percent(worst, error)} (where it is true of {where})."
        )
    return " ".join([said, *oc.attrs.get("caveats", ())])


def information(tree: xr.DataTree) -> str:
    """Say what the decision gains by the trial, and by knowing everything."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    if "value_of_trial" not in oc or not np.isfinite(float(oc["value_of_trial"])):
        return ""
    unit = oc["value_of_trial"].attrs["units"]
    chance = "chance of the right arm" in str(oc["value_of_trial"].attrs.get("worth", ""))
    share = chance or bool(outcomes[oc.attrs["primary"]].attrs["binary"])

    def gain(name: str) -> str:
        value, error = float(oc[name]), float(oc[f"{name}_mcse"])
        return with_error(100 * value, 100 * error, "percentage points") if share else with_error(value, error, unit)

    what = "the chance of the right arm" if chance else f"the level of {oc.attrs['primary']}"
    return (
        f"Value of information, in {what}, against deciding now: perfect information would gain "
        f"{gain('value_of_knowing')}; this trial, put together with what is known, {gain('value_of_trial')}; doing "
        f"what it selects, {gain('value_of_selection')}."
    )


def estimands(tree: xr.DataTree) -> Table | None:
    """Return the true level of each arm by every strategy for what happens during treatment; None if nothing may."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    if "estimand" not in oc:
        return None
    binary = bool(outcomes[oc.attrs["primary"]].attrs["binary"])
    rows = []
    for s, strategy in enumerate(str(x) for x in oc["strategy"].to_numpy()):
        shown = []
        for a in range(oc.sizes[schema.ARM]):
            value, error = float(oc["estimand"][s, a]), float(oc["estimand_mcse"][s, a])
            shown.append(percent(value, error) if binary else with_error(value, error, oc["estimand"].attrs["units"]))
        rows.append([_words(strategy), *shown])
    return Table(["Strategy", *(str(x) for x in outcomes["label"].to_numpy())], rows)


def prognosis(tree: xr.DataTree) -> Table | None:
    """Return what the twin's score is worth in each arm; None if trials know none."""
    oc = tree[schema.OPERATING_CHARACTERISTICS].dataset
    shown = {
        "prognosis_correlation": "Correlation with the outcome",
        "prognosis_concordance": "Probability that the greater score has the later event",
        "effective_patients": "Effective patients",
    }
    there = [name for name in shown if name in oc]
    if not there:
        return None
    rows = []
    for a, name in enumerate(str(x) for x in tree[schema.OUTCOMES]["label"].to_numpy()):
        worth = [with_error(float(oc[n][a]), float(oc[f"{n}_mcse"][a]), "") for n in there]
        rows.append([name, *worth, f"{float(oc['patients'][a]):.3g}"])
    return Table(["Arm", *(shown[name] for name in there), "Patients"], rows)


def _words(name: str) -> str:
    """Return the name of a class as words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def provenance(tree: xr.DataTree) -> Table:
    """Return where everything came from."""
    attrs = tree.attrs
    rows = [
        ["Study", str(attrs["study"])],
        ["Data", f"{attrs['data_file']}, sha256 {attrs['data_sha256']}"],
        ["Seed", str(attrs["seed"])],
        ["vtrial", f"{attrs['version']}" + (f", commit {attrs['git_commit']}" if attrs["git_commit"] else "")],
        ["Libraries", ", ".join(f"{k} {v}" for k, v in attrs["libraries"].items())],
        ["Result", f"result.zarr beside this page ({attrs['schema']}); every hash is in manifest.json"],
    ]
    return Table(["What", "Which"], rows)
