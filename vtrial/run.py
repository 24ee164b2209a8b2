"""The straight line from data to report: the stages of a run, in order."""

import logging
import platform
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, Key

from vtrial import diagnose, keys, schema, tree
from vtrial.blocks import Blocks, Groups
from vtrial.cohort import (
    Cohort,
    block_size,
    in_calls,
    kept_units,
    recruiter,
    simulator,
)
from vtrial.data import Dataset
from vtrial.design import spacing_of, washout_note
from vtrial.inference import Checkpoint, Prior, groups
from vtrial.likelihood import StatisticalModel
from vtrial.provenance import identity
from vtrial.store import Store, locked
from vtrial.study import Study
from vtrial.trial import (
    SCORE,
    Judged,
    Rules,
    add_estimands,
    add_events,
    add_links,
    add_prognosis,
    conductor,
    configurations,
    estimand_truths,
    false_claims,
    judge,
    lived,
    log_risk_ratios,
    operating_characteristics,
    potential,
    truth_note,
    without_effect,
    world_of,
)

log = logging.getLogger(__name__)

_PRIOR_DRAWS = 100
"""In each of four chains, for the prior predictive check."""
_TOGETHER = 2_000_000
"""Patients x arms whose trials are conducted in one call; bounds the memory."""


def run(
    study: Study,
    directory: Path,
    *,
    name: str,
    config: str,
    timing: Mapping[str, float] | None = None,
    compiled: Callable[[], float] = lambda: 0.0,
) -> xr.DataTree:
    """Run a study from data to report, in order, resuming after the last complete stage of `directory`.

    Args:
        study: the study.
        directory: where result.zarr, report.html and manifest.json go.
        name: name of the study.
        config: its complete configuration as YAML text.
        timing: seconds spent before, by name, for the account at the end.
        compiled: returns the seconds spent compiling so far, for the account of each stage.

    Raises:
        UserError: the data, the fit or the directory do not allow the run.
    """
    data = study.data.read(study.model)
    statistical = study.statistical(data)
    with locked(directory):
        attributes = (
            study.words()
            | statistical.words()
            | identity(
                name,
                config,
                data,
                model=study.model,
                seed=study.seed,
                inputs=study.inference.inputs() | study.cohort.covariates.inputs(),
            )
        )
        store = Store(directory, attributes, compiled)
        log.info("%s", study.solver.check(study.model, statistical.population.typical()))
        if note := washout_note(study.design, study.model, statistical.population.typical()):
            log.warning("%s", note)
        if note := truth_note(study.design, study.cohort.subjects):
            log.warning("%s", note)
        _stages(study, statistical, data, store)
        seconds = dict(timing or {}) | store.seconds
        about = {
            "study": name,
            "python": platform.python_version(),
            "seconds": {k: round(v, 3) for k, v in seconds.items()},
        }
        store.write_manifest(attributes["inputs"], about)
    log.info("time: %s", _account(seconds))
    return store.tree()


def _account(seconds: Mapping[str, float]) -> str:
    """Say how the time was spent, and how much of each stage went into compiling."""
    said = []
    for stage, spent in seconds.items():
        compiling = seconds.get(f"{stage}, compiling", 0.0)
        if spent >= 0.05 and not stage.endswith("compiling"):
            said.append(f"{stage} {spent:.1f} s" + (f" ({compiling:.1f} s compiling)" if compiling >= 0.05 else ""))
    return ", ".join(said)


def _stages(study: Study, statistical: StatisticalModel, data: Dataset, store: Store) -> None:
    """Run or skip each stage; what a stage needs of the ones before, it reads from the store."""
    key = jax.random.key(study.seed)
    fit(study, statistical, data, store)
    posterior = groups.draws(store.group(schema.POSTERIOR))
    store.stage("check", lambda: _check(keys.named(key, "check"), study, statistical, data, store, posterior))
    recruit(study, statistical, data, store, fitted=store)
    simulate(study, statistical, store, fitted=store, recruited=store)
    store.stage("trial", lambda: conducted(keys.named(key, "trial"), study, store.opened(schema.OUTCOMES)))
    store.stage("store", lambda: _seal(store))
    store.stage("report", lambda: _report(store))


def fit(study: Study, statistical: StatisticalModel, data: Dataset, store: Store) -> None:
    """Run or skip the stages up to a posterior that has passed the gate."""
    key = jax.random.key(study.seed)
    observed = {schema.OBSERVED_DATA: tree.observed(data), schema.CONSTANT_DATA: tree.constant(data, study.model)}
    store.stage("data", lambda: observed)
    unfinished = Checkpoint(store.unfinished("calibrate"))
    store.stage("calibrate", lambda: _calibrate(keys.named(key, "calibrate"), study, statistical, data, unfinished))
    posterior = groups.draws(store.group(schema.POSTERIOR))
    store.stage("gate", lambda: _gate(keys.named(key, "gate"), study, statistical, data, store, posterior))


def recruit(study: Study, statistical: StatisticalModel, data: Dataset, store: Store, *, fitted: Store) -> None:
    """Run or skip the drawing of patients into a store; the fit may be in another one."""
    key = keys.named(jax.random.key(study.seed), "recruit")
    posterior = groups.draws(fitted.group(schema.POSTERIOR))
    store.stream("recruit", _recruit(key, study, statistical, data, fitted, posterior))


def simulate(study: Study, statistical: StatisticalModel, store: Store, *, fitted: Store, recruited: Store) -> None:
    """Run or skip the simulation of patients into a store; the fit and the patients may be in others."""
    key = keys.named(jax.random.key(study.seed), "simulate")
    posterior = groups.draws(fitted.group(schema.POSTERIOR))
    store.stream("simulate", _simulate(key, study, statistical, recruited, posterior))


def _calibrate(
    key, study: Study, statistical: StatisticalModel, data: Dataset, unfinished: Checkpoint
) -> dict[str, xr.Dataset]:
    fitted = dict(study.inference(keys.named(key, "sample"), statistical, data, checkpoint=unfinished))
    if data.empty:
        predicted = {schema.POSTERIOR_PREDICTIVE: xr.Dataset(), schema.LOG_LIKELIHOOD: xr.Dataset()}
    else:
        predicted = groups.predictions(keys.named(key, "predict"), fitted[schema.POSTERIOR], statistical, data)
    return fitted | predicted | {schema.PRIOR: groups.prior(keys.named(key, "prior"), statistical)}


def _gate(
    key, study: Study, statistical: StatisticalModel, data: Dataset, store: Store, posterior
) -> dict[str, xr.Dataset]:
    fitted, prior = store.group(schema.POSTERIOR), store.group(schema.PRIOR)
    if data.empty:
        loo = xr.Dataset()
    else:
        loo = study.loo(keys.named(key, "loo"), statistical, data, posterior, store.group(schema.LOG_LIKELIHOOD))
    stats = store.group(schema.SAMPLE_STATS)
    health = diagnose.fit_health(fitted, stats, prior, statistical, loo)
    judged = study.gate.judge(health, loo)
    notes = [*diagnose.data_notes(statistical, data), *diagnose.fit_notes(health, fitted, prior, statistical, loo)]
    if not data.empty:
        failed = diagnose.fit_failures(store.group(schema.POSTERIOR_PREDICTIVE)["code"])
        notes = [*failed, *diagnose.lost_after_warmup(stats), *notes]
    for one in diagnose.lost_on_the_way(stats):
        log.info("           where chains turned back: %s", one)
    for note in notes:
        log.warning("%s", note)
    judged.attrs["notes"] = notes
    study.gate.enforce(judged)
    if judged.attrs["gate_forced"]:
        log.warning("the fit did not pass the gate; going on because gate.force=true")
    table = diagnose.parameter_table(judged, fitted, prior, statistical)
    return {schema.FIT_HEALTH: judged, schema.LOO: loo, schema.PARAMETER_TABLE: table}


def _check(
    key, study: Study, statistical: StatisticalModel, data: Dataset, store: Store, posterior
) -> dict[str, xr.Dataset]:
    if data.empty:
        return {schema.VPC: xr.Dataset(), schema.GOODNESS_OF_FIT: xr.Dataset()}
    expected = groups.draws(Prior(_PRIOR_DRAWS)(keys.named(key, "prior"), statistical, data)[schema.POSTERIOR])
    individual = store.group(schema.POSTERIOR_PREDICTIVE)[schema.IPRED].median((schema.CHAIN, schema.DRAW)).to_numpy()
    return diagnose.check_fit(
        key, study.vpc, statistical, data, prior=expected, posterior=posterior, individual=individual
    )


def _recruit(key, study: Study, statistical: StatisticalModel, data: Dataset, store: Store, posterior) -> Blocks:
    """Return the blocks of patients; they are drawn as they are asked for."""
    source, count = study.cohort.covariates, study.cohort.replicates

    @cache
    def start():
        effective = float(store.group(schema.FIT_HEALTH)["ess_bulk"].min())
        study.cohort.refuse_shared_draws(effective, force=study.gate.force)
        facts = source.facts(keys.named(key, "facts"), data)
        if "acceptance" in facts:
            log.info("           %.3g %% of candidates fulfil the criteria", 100 * facts["acceptance"])
        return recruiter(key, study.cohort, posterior, statistical, data, study.design.periods), facts

    def compute(first: int, stop: int) -> dict[str, xr.Dataset]:
        recruits, facts = start()
        patients = recruits(first, stop)
        study.check_doses(patients.covariates)
        return {schema.COHORT: tree.cohort(patients, study.model, kept_units(source, data), facts)}

    size = block_size(count, study.cohort.subjects, len(study.design.arms))
    return Blocks(count, size, (schema.COHORT,), compute, lambda _: {})


def _simulate(key, study: Study, statistical: StatisticalModel, store: Store, posterior) -> Blocks:
    """Return the blocks of outcomes; a block reads its own patients alone."""
    design, count, levels = study.design, study.cohort.replicates, study.cohort.levels
    world, rest = world_of(study.estimand, study.course.deadly), (levels, study.course, design.names)
    spacing = spacing_of(design, study.model)
    own = (design.arms, study.endpoints, posterior, statistical, *rest)
    simulates = simulator(key, count, *own, world=world, spacing=spacing)
    scores = _scorer(keys.named(key, "prognosis"), study, statistical, posterior)

    def compute(first: int, stop: int) -> dict[str, xr.Dataset]:
        rows = store.opened(schema.COHORT).isel({schema.REPLICATE: slice(first, stop)}).load()
        patients = tree.cohort_of(rows, study.model)
        found = simulates(first, patients)
        table = tree.outcomes(found, patients, design, study.endpoints, study.model, study.course, world)
        return {schema.OUTCOMES: scores(first, patients, table)}

    def finish(filled: Groups) -> dict[str, xr.Dataset]:
        outcomes = filled[schema.OUTCOMES]
        code = outcomes["code"].load()
        if failed := int((code != 0).sum()):
            log.warning("%d of %d solves failed; their endpoints are missing:", failed, code.size)
            for one in diagnose.failed_solves(code, [str(d) for d in code.dims]):
                log.warning("           %s", one.sentence())
        return {schema.VARIANCE: tree.variance(outcomes, tuple(study.endpoints))}

    size = block_size(count, study.cohort.subjects, len(design.arms))
    return Blocks(count, size, (schema.OUTCOMES,), compute, finish)


def _scorer(
    key, study: Study, statistical: StatisticalModel, posterior
) -> Callable[[int, Cohort, xr.Dataset], xr.Dataset]:
    """Return what adds the twin's score of patients who may enrol to a block of outcomes; nothing if there is none."""
    if (prognosis := study.prognosis) is None:
        return lambda first, patients, table: table
    rules = study.rules()
    arm, needed = study.design.arms[rules.reference], rules.needed
    score = prognosis.scorer(key, arm, study.endpoints, study.primary, posterior=posterior, statistical=statistical)

    def scored(first: int, patients: Cohort, table: xr.Dataset) -> xr.Dataset:
        known = {name: value[:, :needed].reshape(-1) for name, value in patients.covariates.items()}
        seen = {n: table[n].to_numpy()[:, :needed, rules.reference].reshape(-1) for n in prognosis.baseline}
        return tree.with_score(table, score(first * needed, known, seen).reshape(-1, needed))

    return scored


def conducted(key: Key[Array, ""], study: Study, table: xr.Dataset) -> dict[str, xr.Dataset]:
    """Conduct the trials on a table of potential outcomes, and decide; return what they and their sum are."""
    judged, characteristics, ratios = trials_judged(key, study, table)
    primary = (study.primary, *study.analysis.beside)
    trials = tree.trial(judged.trials, judged.corrected, study.design, primary, judged.units)
    return {schema.TRIAL: trials.assign(ratios.data_vars), schema.OPERATING_CHARACTERISTICS: characteristics}


def trials_judged(key: Key[Array, ""], study: Study, table: xr.Dataset) -> tuple[Judged, xr.Dataset, xr.Dataset]:
    """Conduct the trials on a table of potential outcomes, and decide.

    Memory holds the primary endpoint of a block of replicates, then one endpoint of one arm at a time.

    Returns:
        The trials, the operating characteristics, and the logarithms of risk ratios that `log_risk_ratios` gives.
    """
    unit, rules = {n: e.unit(study.model) for n, e in study.endpoints.items()}, study.rules()
    count = table.sizes[schema.REPLICATE]
    size = max(1, min(count, _TOGETHER // (table.sizes[schema.SUBJECT] * table.sizes[schema.ARM])))
    partly = () if study.design.toxicity else configurations(len(study.design.names), rules.reference)
    trials, none, truths, score, wrong = in_calls(count, size, _conducts(key, study, rules, table, partly))
    partial = dict(zip(partly, wrong, strict=True))
    judged = judge(trials, none, rules, primary=study.primary, unit=unit[study.primary], partial=partial)
    characteristics = operating_characteristics(judged, {n: table[n] for n in study.endpoints}, unit)
    if truths is not None:
        add_estimands(characteristics, truths, rules, study.estimand, unit[study.primary])
    if score is not None:
        add_prognosis(characteristics, trials, score, rules)
    add_events(characteristics, table)
    ratios = log_risk_ratios(key, study.links, table, rules.reference)
    add_links(characteristics, study.links, ratios)
    recommended = study.decision.decide(characteristics) or ""
    characteristics.attrs["recommended"] = recommended
    log.info("           decision: %s", f"recommend {recommended}" if recommended else "recommend no arm")
    return judged, characteristics, ratios


def _conducts(
    key: Key[Array, ""], study: Study, rules: Rules, table: xr.Dataset, partly: tuple[tuple[int, ...], ...]
) -> Callable[[Int[np.ndarray, " row"]], tuple]:
    """Return what conducts the trials of some replicates of the table, and says what they are judged by.

    These are the trials, the same without effect, the truth of estimands and the score where there are such, and false
    claims where the null hypothesis is true of each set of arms in `partly`, the first of which is all.
    """
    run, happens = conductor(rules), any(event.intercurrent for event in study.course.events.values())

    def conducts(rows: Int[np.ndarray, " row"]) -> tuple:
        part = table.isel({schema.REPLICATE: rows})
        found = lived(part, (study.primary, *study.analysis.beside), rules.clock)
        revealed = potential(part, study.design, study.analysis, found, study.estimand, study.primary)
        null = without_effect(revealed, rules.reference, study.analysis.null)
        truths = estimand_truths(found, rules, study.estimand) if happens else None
        score = revealed.covariates[SCORE] if study.prognosis is not None else None
        first = int(rows[0])
        none = run(key, null, first)
        wrong = [false_claims(none, rules, among) for among in partly[:1]]
        for among in partly[1:]:
            some = without_effect(revealed, rules.reference, study.analysis.null, among)
            wrong.append(false_claims(run(key, some, first), rules, among))
        return run(key, revealed, first), none, truths, score, wrong

    return conducts


def _seal(store: Store) -> dict[str, xr.Dataset]:
    """Index the result, and read it back: what is stored can be opened, by anybody with xarray."""
    store.index()
    found = set(store.tree().children)
    for stage, wanted in schema.STAGES.items():
        if missing := set(wanted) - found:
            raise RuntimeError(f"Stage '{stage}' left no {', '.join(sorted(missing))} in {store.zarr}.")
    return {}


def _report(store: Store) -> dict[str, xr.Dataset]:
    from vtrial import report  # matplotlib is slow to import and needed here alone

    tree = store.tree()
    files = report.parameter_files(tree)
    if tree[schema.CONSTANT_DATA].sizes[schema.SUBJECT]:
        files |= report.nonmem_files(tree)
    for name, content in files.items():
        store.write_file("report", name, content)
    store.write_file("report", "report.html", report.render(tree))
    return {}
