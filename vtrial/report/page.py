"""The page: figures and tables of a result in one HTML file that needs nothing else."""

from typing import Any

import jinja2
import xarray as xr

from vtrial import schema
from vtrial.diagnose import lost_on_the_way
from vtrial.report import checks, etas, figures, goodness, happenings, individual, ledger, links, tables
from vtrial.report.numbers import interval, known, percent, significant, with_error


def render(tree: xr.DataTree) -> str:
    """Return the report of a finished result as HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vtrial.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    outcomes, fit = tree[schema.OUTCOMES].dataset, tree[schema.FIT_HEALTH]
    observed = bool(tree[schema.CONSTANT_DATA].sizes[schema.SUBJECT])
    return environment.get_template("template.html").render(
        study=tree.attrs,
        used=bool(tree[schema.SAMPLE_STATS].attrs.get("observations_used", 1)),
        passed=bool(fit.attrs["gate_passed"]),
        verdict=_verdict(tree),
        counts=_counts(tree),
        given=_given(tree),
        failed=int((outcomes["code"] != 0).sum()),
        failures=tables.failures(tree),
        solved=_solved(tree) if observed else "",
        objective=_objective(tree),
        solves=int(outcomes["code"].size),
        health=tables.health(tree),
        notes=list(fit.attrs.get("notes", [])),
        left_out=tables.left_out(tree),
        loo=_loo(tree),
        posterior=tables.posterior(tree),
        arms=tables.arms(tree),
        decisions=ledger.decisions(tree),
        variance=tables.variance(tree),
        accepted=_accepted(tree),
        characteristics=tables.characteristics(tree),
        course=tables.course_of_trials(tree),
        events=happenings.events(tree),
        happened=happenings.said(tree),
        dies=happenings.dies(tree),
        information=tables.information(tree),
        estimands=tables.estimands(tree),
        prognosis=tables.prognosis(tree),
        links=links.links(tree),
        provenance=tables.provenance(tree),
        npde=tables.npde(tree) if observed else None,
        fits=[_fit(tree, output) for output in figures.outputs(tree)],
        etas=_etas(tree),
        vpc=tree[schema.VPC].attrs,
        percentiles=[f"{100 * q:g}" for q in tree[schema.VPC][schema.QUANTILE].to_numpy()] if observed else [],
        figures={
            "data": figures.data(tree) if observed else "",
            "parameters": figures.parameters(tree),
            "courses": figures.courses(tree),
            "decision": figures.decision(tree),
            "fates": happenings.fates(tree),
            "levels": ledger.levels(tree),
            "ratios": links.ratios(tree),
        },
    )


def _fit(tree: xr.DataTree, output: str) -> dict[str, Any]:
    """Return the figures of one output's fit, and what they say in words."""
    return {
        "output": output,
        "verdict": tables.fit_in_words(tree, output),
        "goodness": goodness.fits(tree, output),
        "residuals": goodness.residuals(tree, output),
        "individual": individual.individual_fits(tree, output),
        "visual": checks.visual(tree, output),
        "categories": checks.categories(tree, output),
        "survival": checks.survival(tree, output),
        "predictive": checks.predictive(tree, output),
    }


def _etas(tree: xr.DataTree) -> dict[str, str]:
    """Return the figures of the etas; "" where there are none, or no covariates."""
    some = schema.EFFECT in tree[schema.GOODNESS_OF_FIT].dims
    against = some and etas.covariates(tree)
    return {
        "distributions": etas.distributions(tree) if some else "",
        "covariates": etas.against_covariates(tree) if against else "",
    }


def _counts(tree: xr.DataTree) -> dict[str, int]:
    """Count what there is."""
    return {
        "subjects": tree[schema.CONSTANT_DATA].sizes[schema.SUBJECT],
        "observations": tree[schema.OBSERVED_DATA].sizes[schema.OBS],
        "replicates": tree[schema.OUTCOMES].sizes[schema.REPLICATE],
        "patients": tree[schema.OUTCOMES].sizes[schema.SUBJECT],
        "enrolled": tree[schema.TRIAL].sizes["patient"],
        "chains": tree[schema.POSTERIOR].sizes[schema.CHAIN],
        "draws": tree[schema.POSTERIOR].sizes[schema.DRAW],
    }


def _loo(tree: xr.DataTree) -> list[str]:
    """Say the sums of leave-one-out, by subject and by observation."""
    attrs, said = tree[schema.LOO].attrs, []
    for prefix, what in (("", "By subject, etas integrated out"), ("obs_", "By observation, given its subject's etas")):
        if f"{prefix}elpd_loo" in attrs:
            total, error, own, p, high = (
                attrs[f"{prefix}{n}"] for n in ("elpd_loo", "elpd_loo_mcse", "elpd_loo_se", "p_loo", "high_k")
            )
            said.append(
                f"{what}: elpd_loo {known(total, error, 5)} (standard error {known(own, error, 3)}, Monte-Carlo error "
                f"{significant(error, 1)}), p_loo {known(p, error, 3)}; Pareto k above 0.7: {high:.0f}."
            )
    return said


def _objective(tree: xr.DataTree) -> str:
    """Say NONMEM's objective function at the Laplace fit; "" if there was none."""
    value = tree[schema.SAMPLE_STATS].attrs.get("objective")
    if value is None:
        return ""
    return (
        f"Objective function (-2 log-likelihood without constant, etas integrated out as in FOCE with interaction): "
        f"{value:.2f} at the Laplace fit, the mode of the population level's posterior. To compare models of the same "
        "data, elpd_loo takes the whole posterior: vtrial compare."
    )


def _solved(tree: xr.DataTree) -> str:
    """Say how many solves of the observed subjects failed at the draws kept, and on the way of the chains."""
    code = tree[schema.POSTERIOR_PREDICTIVE].dataset["code"]
    failed = int((code != 0).sum())
    said = f"{failed} of the {code.size} failed" if failed else f"all {code.size} succeeded"
    lost = ". ".join(lost_on_the_way(tree[schema.SAMPLE_STATS].dataset)) or "none"
    return f"Solves of the observed subjects at the draws kept: {said}. Failed where the sampler turned back: {lost}."


def _given(tree: xr.DataTree) -> str:
    """Say the doses and covariates of the observed subjects."""
    group = tree[schema.CONSTANT_DATA].dataset
    amount = group["dose_amount"].to_numpy()
    count = int((1 + group["dose_additional"]).sum())
    said = (
        [f"{count} doses of {interval(amount.min(), amount.max())} {group['dose_amount'].attrs['units']}"]
        if len(amount)
        else ["no doses"]
    )
    for name in (str(n) for n in group.data_vars if group[n].dims == (schema.SUBJECT,)):
        value = group[name].to_numpy()
        said.append(f"{name} {interval(value.min(), value.max())} {group[name].attrs['units']}")
    return "; ".join(said)


def _accepted(tree: xr.DataTree) -> str:
    """Say which share of candidates fulfils the inclusion criteria; "" if there are none."""
    attrs = tree[schema.COHORT].attrs
    if "acceptance" not in attrs:
        return ""
    return f"{percent(attrs['acceptance'], attrs['acceptance_mcse'])} of candidates fulfil the inclusion criteria."


def _verdict(tree: xr.DataTree) -> str:
    """Say the decision in words."""
    oc, outcomes = tree[schema.OPERATING_CHARACTERISTICS].dataset, tree[schema.OUTCOMES].dataset
    label = {str(a): str(outcomes["label"].sel({schema.ARM: a}).item()) for a in oc[schema.ARM].to_numpy()}
    top = oc.attrs["recommended"] or str(oc[schema.ARM].to_numpy()[int(oc["probability_best"].to_numpy().argmax())])
    mine, primary = oc.sel({schema.ARM: top}), outcomes[oc.attrs["primary"]].attrs
    chance = percent(float(mine["probability_best"]), float(mine["probability_best_mcse"]))
    correct = percent(float(oc["probability_correct"]), float(oc["probability_correct_mcse"]))
    scale, unit = (100, "%") if primary["binary"] else (1, primary["units"])
    mean, error = scale * float(mine["truth"]), scale * float(mine["truth_mcse"])
    low, high = scale * mine["truth_interval"].to_numpy()
    level = (
        f"under it the {primary['long_name']} is {with_error(mean, error, unit)} "
        f"(95 % credible interval {interval(low, high, 2)} {unit})"
    )
    trial = f"A trial of this design selects the truly best arm with probability {correct}."
    if oc.attrs["recommended"]:
        return (
            f"Recommended: {label[oc.attrs['recommended']]}. It is truly best with probability {chance}; "
            f"{level}. {trial}"
        )
    return (
        f"No arm is recommended: the most probable best, {label[top]}, is best with probability {chance}, too "
        f"little for the rule; {level}. {trial}"
    )
