"""The command as its users meet it: listing, help, every mistake in one sentence with exit code 2."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT, run_cli
from vtrial import __version__
from vtrial._resources import directory

T = ("-cn", "theophylline")

MISTAKES = [
    (("-cn", "theophyline"), "There is no study 'theophyline'. Did you mean 'theophylline'?"),
    (("theophylline",), "'theophylline' is a study; run it with: vtrial -cn theophylline"),
    (("theophyline",), "There is no command or study 'theophyline'. Did you mean: vtrial -cn theophylline"),
    (("run", "theophylline"), "There is no command 'run'; a study is run with: vtrial -cn theophylline"),
    (("sweap", *T), "There is no command 'sweap'. Did you mean 'sweep': vtrial sweep ..."),
    ((*T, "sweep", "seed=1,2"), "The command comes first: vtrial sweep -cn STUDY ..."),
    (("foo",), "'foo' is neither a command (sweep, "),
    ((*T, "design.per_arm", "80"), "'design.per_arm' is neither a command"),
    (("--hlp",), "There is no option '--hlp'. Did you mean '--help'?"),
    (("-cn",), "-cn needs the name of a study"),
    (("seed=3",), "Which study? Name one: vtrial -cn STUDY"),
    ((*T, "--cfg", "jobb"), "--cfg shows job, hydra, all, not 'jobb'. Did you mean 'job'?"),
    (("calibrate", *T, "calibrate.vary=seed"), "calibrate.between, calibrate.target must be given, for example"),
    (("optimise", *T), "What is to be optimised? Say optimise=dose"),
    ((*T, "inference=saved", "inference.path=missing.zarr"), "inference.path: 'missing.zarr' holds no posterior. Give"),
    ((*T, "data.censored=use"), "as it is optional, add it: +data.censored=use"),
    ((*T, "solver=linear", "solver.rtol=1e-8"), "Linear has no 'rtol' (solver=linear). Known: compiled."),
    ((*T, "per_arm=80"), "There is no key 'per_arm' to override. Did you mean 'design.per_arm'?"),
    ((*T, "zzz=1"), "There is no key 'zzz' to override. Nearest of"),
    ((*T, "+course=rescue"), "A choice of 'course' is made already; on the command line write course=CHOICE without +"),
    ((*T, "+seed=3"), "seed has a value already; write it without +."),
    ((*T, "policy=proportional"), "choose it for one of them: +policy@design.arms.NAME.policy=proportional"),
    ((*T, "noise@noise.conc=additive"), "Did you mean 'noise@noise.concentration'?"),
    (("-cn", "warfarin_loading", "cohort=adults"), "chooses none; put a choice in its place: +cohort=adults"),
    ((*T, "design=boin", "design.per_arm=80"), "design.per_arm is no key of BOIN."),
    (
        (
            *T,
            "analysis=adjusted",
            "analysis.analysis.reference=low",
            "+analysis.procedure={_target_: vtrial.statistics.multiplicity.Fallback, weights: [0.5, 0.3, 0.2]}",
        ),
        "analysis.procedure: The procedure has weights for 3 hypotheses, but there are 2",
    ),
    ((*T, "solver=lineer"), "There is no choice 'lineer' for solver. Did you mean 'linear'?"),
    ((*T, "solvr=linear"), "There is no key 'solvr' to override. Did you mean 'solver'?"),
    ((*T, "cohort.replicate=3"), "There is no key 'cohort.replicate' to override: Recruitment has"),
    ((*T, "cohort.replicates=many"), "cohort.replicates must be an integer, not 'many'."),
    ((*T, "cohort.replicates=1"), "cohort needs at least 2 replicates"),
    ((*T, "cohort.subjects=150"), "The design enrols 150 patients, but cohort.subjects is 150"),
    ((*T, "+foo=1"), "foo is no key of Study."),
    ((*T, "~data"), "data is missing; Study needs it"),
    ((*T, "~design.arms"), "design.arms is missing; Parallel needs it"),
    ((*T, "primary=insde"), "primary is 'insde', which is no endpoint. Did you mean 'inside'?"),
    (
        (*T, "analysis.reference=mid"),
        "analysis.reference is 'mid', which is no arm of the design. Did you mean 'middle'?",
    ),
    ((*T, "population.parameters.CL.unit=mg"), "Parameter CL is given in 'mg', which cannot be converted to 'L/h'"),
    ((*T, "population.parameters.CL.prior.sigma=-1"), "population.parameters.CL.prior: A log-normal prior needs"),
    ((*T, "data.units.DV=h"), "Column DV (output concentration) is given in 'h'"),
    ((*T, "data.covariates=[AGE]"), "theophylline.csv has no column AGE."),
    ((*T, "data.covariates=[]"), "The population uses covariate WT, which is not in the data"),
    ((*T, "data.path=nope.csv"), "data.path: there is no file 'nope.csv' here"),
    ((*T, "design.arms.low.regimen.into=gut"), "design.arms.low: Regimen doses into 'gut', which is no state"),
    ((*T, "design.arms.low.regimen.dose=300"), "design.arms.low.regimen.dose must be text, not 300;"),
    ((*T, "endpoints.inside.lower=5 h"), "endpoints.inside: Endpoint's lower is given in 'h'"),
    ((*T, "endpoints.inside.lower=5mgs"), "endpoints.inside: Endpoint's lower: 'mgs' is not a unit"),
    ((*T, "endpoints.inside.window.output=conc"), "endpoints.inside: An endpoint reads 'conc', which is no output"),
    ((*T, "model._target_=vtrial.models.oral_1cp.OneCompartmentOral"), "Did you mean 'oral_1cpt'?"),
    ((*T, "model._target_=os.system"), "'os.system' is neither part of vtrial nor"),
    ((*T, "inference=saved"), "inference.path has no value yet (???)"),
    ((*T, "runtime.precision=16"), "runtime.precision must be one of 32, 64, not 16."),
    ((*T, "+runtime.cores=2"), "runtime.cores is no key of runtime."),
    ((*T, "primary=trough"), "The analysis is for endpoints that are 0 or 1, but primary 'trough' is not"),
    ((*T, "analysis.alpha=5"), "analysis.alpha is a probability between 0 and 1, not 5"),
    ((*T, "data.units.WT=banana"), "'banana' is not a unit"),
    ((*T, "data.units.WT=lb"), "Covariate WT is in 'lb' in the data, but its effect on CL takes 'kg'"),
    ((*T, "data.covariates=[{_target_: os.mkdir, path: gone}]"), "data.covariates[0]._target_: 'os.mkdir' is neither"),
    ((*T, "+endpoints.code=${endpoints.peak}"), "endpoints.code: this name is taken"),
    ((*T, "+endpoints.level=${endpoints.peak}"), "endpoints.level: this name is taken"),
    ((*T, "~endpoints.time_inside.window.end"), "endpoints.time_inside: TimeInside needs a window with an end"),
    ((*T, "cohort.replicates=5000"), "cohort.replicates=5000, but the posterior has 4000 draws"),
    ((*T, "noise=additive"), "There is one 'noise' for each name; choose it for one of them"),
    ((*T, "design.arms.low.regimen.dose=nan mg"), "'nan mg' is not a finite number"),
    ((*T, "seed=-1"), "seed must be an integer from 0"),
    ((*T, "runtime=null"), "runtime must be a mapping"),
    ((*T, "runtime.device=gpu"), "runtime.device=gpu"),
    ((*T, "directory=/dev/null/x"), "/dev/null/x: Not a directory"),
    ((*T, "seed=["), "The configuration is wrong:"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(*arguments)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("*.zarr"))
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").iterdir())


def test_advice_finds_the_study_of_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("defaults: [theophylline, _self_]\n")
    for arguments, said in (
        (("-cn", "mine"), "There is no study 'mine' among vtrial's own; mine.yaml in this folder is found with -cd ."),
        (("mine", "-cd", "."), "'mine' is a study; run it with: vtrial -cn mine -cd ."),
        (("sweep", "mine", "-cd=."), "run it with: vtrial sweep -cn mine -cd ."),
    ):
        code, _, err = run_cli(*arguments)
        assert code == 2
        assert said in err


def test_a_traceback_on_request(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="which is no endpoint"):
        run_cli(*T, "primary=insde")


def test_without_arguments_the_studies_are_listed():
    code, out, _ = run_cli()
    assert code == 0
    for file in directory("studies").glob("*.yaml"):
        assert f"\n  {file.stem}\n" in out


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = "import sys; sys.argv = ['vtrial', '--help']; from vtrial import cli; cli.main(); "
    code += "assert not {'jax', 'hydra', 'xarray'} & set(sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "vtrial -cn STUDY" in said


@pytest.mark.parametrize("arguments", [("--version",), (*T, "--version")])
def test_the_version_is_that_of_vtrial(arguments):
    assert run_cli(*arguments)[:2] == (0, f"vtrial {__version__}\n")


def test_every_job_of_a_multirun_is_checked_before_the_first_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(*T, "-m", "seed=1,x", "inference=prior")
    assert (code, err) == (2, "seed=x: seed must be an integer, not 'x'.\n")
    assert not list(tmp_path.rglob("*.zarr"))


def test_cfg_job_shows_the_configuration():
    code, out, _ = run_cli(*T, "--cfg", "job", "design.per_arm=77")
    assert code == 0
    assert "per_arm: 77" in out


@pytest.mark.slow
def test_a_study_and_a_model_of_the_users_own(tmp_path, monkeypatch):
    """A folder with a study file, a model file and a data file beside it is all a user needs."""
    folder = tmp_path / "mine"
    folder.mkdir()
    source = (directory("models") / "oral_1cpt.py").read_text().replace("OneCompartmentOral", "MyModel")
    (folder / "my_oral_model.py").write_text(source)
    shutil.copy(directory("studies") / "data" / "theophylline.csv", folder / "my_data.csv")
    (folder / "mine.yaml").write_text(
        "defaults:\n  - theophylline_quick\n  - override /inference: prior\n  - _self_\n"
        "question: Mine?\ninference: {draws: 30}\nmodel: {_target_: my_oral_model.MyModel}\ndata: {path: my_data.csv}\n"
    )
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli("-cn", "mine", "-cd", str(folder), "directory=here", "gate.force=true")
    assert code == 0, err
    assert out.strip().splitlines()[-1] == f"Everything is in {tmp_path / 'here'}"
    assert "Mine?" in (tmp_path / "here" / "report.html").read_text()


@pytest.mark.slow
def test_a_sweep_runs_each_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ("inference=prior", "inference.draws=30", "gate.force=true")
    code, _, err = run_cli("-cn", "theophylline_quick", "-m", "design.per_arm=5,10", *settings)
    assert code == 0, err
    assert len(list(tmp_path.glob("outputs/theophylline_quick/sweep_*/*/report.html"))) == 2


def test_a_failed_gate_stops_the_run_and_can_be_forced(tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    strict = ("-cn", "theophylline_quick", "inference=saved", f"inference.path={quick}/result.zarr", "gate.r_hat=1.0")
    code, _, err = run_cli(*strict, "directory=strict")
    assert code == 2
    assert "The fit did not pass the gate: R-hat" in err
    assert not (tmp_path / "strict" / "result.zarr" / "cohort").exists()
    code, _, err = run_cli(*strict, "gate.force=true", "directory=forced")
    assert code == 0, err
    assert "did NOT pass its gate" in (tmp_path / "forced" / "report.html").read_text()


def test_control_c_in_the_middle_of_sampling(tmp_path):
    """A real interrupt of a real process: exit code 130, what was complete stays, and the way to go on is said."""
    command = [sys.executable, "-m", "vtrial", "-cn", "theophylline_quick", "inference=nuts", "directory=run"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "calibrate" in line:
            break
    # Python drops an interrupt that arrives inside a callback of compiled code; people then press again.
    for _ in range(20):
        time.sleep(1.0)
        process.send_signal(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=4.0)
            break
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stream:
        err = stream.read()
    assert process.returncode == 130
    assert (
        err.strip()
        .splitlines()[-1]
        .startswith("Interrupted; complete stages are kept. Go on with: vtrial -cn theophylline_quick")
    )
    assert "Traceback" not in err
    assert (tmp_path / "run" / ".stages" / "data.json").exists()
