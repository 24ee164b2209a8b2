"""Every choice of every group on the first study, as far as building it; what a replaced choice takes with it."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins

from vtrial import cli
from vtrial._resources import directory
from vtrial.choices import replaced, settled
from vtrial.errors import UserError
from vtrial.study import Study

WRITTEN = {
    "noise": "noise@noise.concentration",
    "endpoint": "endpoint@endpoints.sample",
    "link": "+link@links.outcome",
    "policy": "+policy@design.arms.low.policy",
}
"""How a group is written where it is not by its name alone."""
CONTROL, PERIODS = ["design.control=low"], ["design.spacing=30 day", "analysis=equivalence", "primary=peak"]
MONITOR = "{_target_: vtrial.dosing.Monitor, output: concentration, at: [36 h]}"
PART = f"{{_target_: vtrial.dosing.Proportional, monitor: {MONITOR}, target: 9 mg/L}}"
SEEN = [f"design.arms.low.policy.monitor={MONITOR}"]
WINDOW = ["+endpoints.sample.window.end=348 h", "+endpoints.sample.window.points=5"]
LOWER = ["+endpoints.sample.lower=5 mg/L"]
VISITS = ["endpoint@endpoints.sample=visits", *WINDOW, "primary=sample"]
SCHEDULE = "{_target_: vtrial.endpoint.Schedule, output: concentration, at: [324 h, 336 h]}"
RISK, BY_LDL = ["links.outcome.risk=0.05"], ("revascularisation", "coronary_mortality", "nonfatal_infarction")
NEEDS = {
    "analysis/adjusted": ["analysis.analysis.reference=middle"],
    "analysis/concentration_qtc": [
        *("endpoint@endpoints.sample=visits", "~endpoints.sample.window", f"+endpoints.sample.window={SCHEDULE}"),
        *("+endpoint@endpoints.twin=visits", "endpoints.twin.window=${endpoints.sample.window}"),
        *("analysis.exposure=twin", "primary=sample"),
    ],
    "analysis/dose_proportionality": ["analysis.doses={low: 1, middle: 2, high: 3}", "analysis.reference=low"],
    "analysis/mcp_mod": ["analysis.doses={low: 0, middle: 1, high: 2}", "analysis.reference=low"],
    "analysis/mmrm": VISITS,
    "analysis/multiple_imputation": VISITS,
    "analysis/reference_based": VISITS,
    "analysis/procova": ["prognosis=twin"],
    "cohort/children": [f"cohort.covariates.source.charts.{c}.path=theophylline.csv" for c in ("WT", "HT")],
    "estimand/per_event": ["course=leaving", "estimand.strategies={dropout: {_target_: vtrial.trial.TreatmentPolicy}}"],
    "cohort/nhanes": ["cohort.covariates.source.path=theophylline.csv"],
    "course/death": ["estimand=composite"],
    "course/switching": ["course.events.switch.then.to=high"],
    **{f"data/{name}": ["data.path=theophylline.csv"] for name in ("influenza", "neutrophils", "tumour", "warfarin")},
    "design/crossover": PERIODS,
    **{f"design/{name}": CONTROL for name in ("drop_arms", "group_sequential", "response_adaptive", "seamless")},
    "design/sample_size_reestimation": [*CONTROL, "~design.arms.high"],
    "endpoint/average": WINDOW,
    "endpoint/average_inside": WINDOW,
    "endpoint/clearance": ["endpoints.sample.dose=200 mg"],
    "endpoint/inside": LOWER,
    "endpoint/outside": LOWER,
    "endpoint/reached": ["endpoints.sample.never_above=15 mg/L", *WINDOW, *LOWER],
    "endpoint/time_inside": [*WINDOW, *LOWER],
    "endpoint/visits": WINDOW,
    "inference/saved": ["inference.path=result.zarr"],
    **{f"link/{file.stem}": RISK for file in (directory("conf") / "link").glob("*.yaml")},
    **{f"link/{name}": [*RISK, "links.outcome.endpoint=peak"] for name in BY_LDL},
    "objective/smallest_effective": ["objective.effect=0.1"],
    "optimise/dose": [
        *("optimise.arm=low", "optimise.utility.window=${endpoints.inside.window}"),
        *("optimise.utility.lower=5 mg/L", "optimise.utility.upper=15 mg/L"),
    ],
    "optimise/sampling": ["optimise.arm=low", "optimise.times=[1 h]", "optimise.lower=0.1 h", "optimise.upper=12 h"],
    "policy/adjustment": [
        *SEEN,
        "design.arms.low.policy.limits=[5 mg/L]",
        "design.arms.low.policy.factors=[1.2, 1.0]",
    ],
    "policy/nomogram": [*SEEN, "design.arms.low.policy.limits=[5 mg/L]", "design.arms.low.policy.levels=[[2, 1]]"],
    "policy/phases": [f"design.arms.low.policy.parts=[{PART}, {PART.replace('36 h', '60 h')}]"],
    "policy/proportional": [*SEEN, "design.arms.low.policy.target=9 mg/L"],
    "policy/step_titration": [
        *SEEN,
        "design.arms.low.policy.up={_target_: vtrial.dosing.Below, limit: 5 mg/L}",
        "design.arms.low.policy.down={_target_: vtrial.dosing.Above, limit: 15 mg/L}",
    ],
}
"""What the first study says in addition, where a choice leaves something to it."""
LAYOUT = "The analysis reads outcomes of layout"
CANNOT = {
    **{f"cohort/{name}": "theophylline.csv has no column" for name in ("children", "nhanes")},
    **{f"analysis/{name}": f"{LAYOUT} event" for name in ("cox", "log_rank")},
    "analysis/restricted_mean": "analysis.horizon",
    **{f"analysis/{n}": f"{LAYOUT} periods" for n in ("expanding_limits", "narrow_index", "reference_scaled")},
    **{f"design/{name}": "design.spacing" for name in ("replicate", "partial_replicate")},
    "endpoint/time_to_event": "needs a window with an end",
    **{f"noise/{n}": "needs output 'hazard', which the model" for n in ("repeated_events", "time_to_event")},
}
"""Choices that ask for another model, other arms or other files than the first study has, and what is said."""
OTHER_MODEL = "population.parameters (has '.*', which model OneCompartmentOral does not|lacks 'KA')"
SAME_MODEL = ("theophylline", "theophylline_bioequivalence", "warfarin_r")
CHOICES = [f"{f.parent.name}/{f.stem}" for f in sorted(directory("conf").glob("*/*.yaml"))]
QUICK = ("design", "course")
"""The others are as quick, but they are many."""


def built(overrides, name="theophylline", folder=None):
    Plugins.instance().register(cli._studies_path())
    with initialize_config_dir(version_base="1.3", config_dir=str(folder or directory("conf"))):
        search = [f"hydra.searchpath=[file://{directory('conf')}]"] if folder else []
        config = compose(config_name=name, overrides=["directory=unused", *search, *overrides])
        config, gone = settled(config, name, overrides, folder)
        return cli.build(config, folder), gone


@pytest.mark.parametrize(
    "choice", [pytest.param(c, marks=() if c.startswith(QUICK) else pytest.mark.slow) for c in CHOICES]
)
def test_every_choice_of_every_group_on_the_first_study(choice):
    group, _, name = choice.partition("/")
    overrides = [f"{WRITTEN.get(group, group)}={name}", *NEEDS.get(choice, [])]
    refused = OTHER_MODEL if group == "population" and name not in SAME_MODEL else CANNOT.get(choice)
    if refused:
        with pytest.raises(Exception, match=refused):
            built(overrides)
    else:
        study, _ = built(overrides)
        assert isinstance(study, Study)


def test_settings_of_a_replaced_choice_are_left_out_and_named():
    study, gone = built(["design=boin", "analysis=adjusted", "analysis.analysis.reference=low"])
    assert gone == ["design.per_arm=50", "analysis.reference=middle"]
    assert study.analysis.reference == "low"
    assert study.design.names == ("low", "middle", "high")


def test_what_is_said_for_the_new_choice_is_not():
    with pytest.raises(UserError, match=r"^design\.per_arm is no key of BOIN\..* write ~design\.per_arm$"):
        built(["design=boin", "design.per_arm=80"])


@pytest.mark.parametrize(("said", "wrong"), [("{target: 0.25}", None), ("{per_arm: 40}", "per_arm is no key of BOIN")])
def test_a_study_that_starts_from_another_may_replace_its_choices(said, wrong, tmp_path):
    """Settings of the study it starts from are left out, its own are checked."""
    text = "defaults:\n  - theophylline_quick\n  - override /design: boin\n  - _self_\nquestion: Mine?\ndesign: "
    (tmp_path / "mine.yaml").write_text(text + said)
    if wrong:
        with pytest.raises(UserError, match=wrong):
            built([], "mine", tmp_path)
    else:
        study, gone = built([], "mine", tmp_path)
        assert gone == ["design.per_arm=10"]
        assert study.design.target == 0.25


def test_below_a_replaced_choice_too():
    """`warfarin_loading` writes its patients out; those of a file come in their place, whole."""
    study, gone = built(["+cohort=copula", "~design.arms.genotype"], "warfarin_loading")
    assert type(study.cohort.covariates).__name__ == "Derived"
    assert gone[:2] == ["cohort.covariates.name=VKORC1", "cohort.covariates.alleles"]


def test_what_was_replaced():
    found = replaced("theophylline_quick", ["endpoint@endpoints.peak=cmax", "+seed=3", "~vpc"], None)
    assert found["endpoints.peak"] == {"seed"}
    assert {"gate.r_hat", "cohort.subjects", "seed"} <= found["inference"]
