"""What the README says is so: its commands compose, its examples run, its links lead somewhere."""

import re
import runpy
import shlex

import pytest

from tests.helpers import ROOT, run_cli
from vtrial import schema
from vtrial._resources import directory

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


OF_RUNS, OF_STUDIES = ("compare", "average"), ("sweep", "calibrate", "sbc", "recover", "optimise")
"""Subcommands."""
COMMANDS = [line.partition("#")[0].strip() for block in blocks("bash") for line in block.splitlines()]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("vtrial ")])
def test_commands_compose(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if (verb := command.split()[1]) in OF_RUNS:
        code, _, err = run_cli(verb)
        assert code == 2
        assert err != run_cli("nonsense")[2]  # it is known, and says what it needs
        return
    arguments = [a for a in shlex.split(command)[1:] if a not in ("-m", "--cfg", "job", *OF_STUDIES)]
    arguments = [a.replace("STUDY", "theophylline") for a in arguments]
    arguments = [re.sub(r"=(\d+),[\d,]+$", r"=\1", a) for a in arguments]  # one value of a sweep
    code, out, err = run_cli(*arguments, "--cfg", "job")
    assert code == 0, err
    assert "question:" in out


def test_choices_named_exist():
    found = set(re.findall(r"[` ](\+?)([a-z_]+)=([a-z_0-9]+)[` ]", TEXT))
    named = [n for n in found if (directory("conf") / n[1]).is_dir()]
    assert {"cohort", "course", "inference", "prognosis", "solver"} <= {group for _, group, _ in named}
    for plus, group, choice in named:
        assert (directory("conf") / group / f"{choice}.yaml").exists(), f"{group}={choice}"
        assert not plus, f"+{group}={choice}: every study makes this choice"


def test_scripts_named_exist():
    named = set(re.findall(r"scripts/[a-z]+(?:_[a-z]+\.py)?|\.ci/run", TEXT))
    assert {"scripts/run", "scripts/test", "scripts/validate", ".ci/run"} <= named
    for name in named:
        assert (ROOT / name).stat().st_mode & 0o100, f"{name} is not executable"


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_notebook_example_runs(quick, tmp_path, capsys):
    (code,) = [b for b in blocks("python") if "RUN" in b]
    file = tmp_path / "notebook.py"
    file.write_text(code)
    runpy.run_path(str(file), init_globals={"RUN": str(quick)})
    assert "probability_best" in capsys.readouterr().out


def test_the_table_of_groups_is_complete():
    for group in schema.GROUPS:
        assert f"`{group}`" in TEXT


def test_a_users_own_study_runs(tmp_path, monkeypatch):
    """The study and the model of the README, in miniature."""
    monkeypatch.chdir(tmp_path)
    for block in [*blocks("yaml"), *blocks("python")]:
        if name := re.match(r"# (my_folder/\S+)\n", block):
            file = tmp_path / name.group(1)
            file.parent.mkdir(exist_ok=True)
            file.write_text(block)
    small = ("cohort.replicates=5", "cohort.subjects=200", "inference=prior", "inference.draws=30", "gate.force=true")
    code, _, err = run_cli("-cn", "mine", "-cd", "my_folder", "directory=one", *small)
    assert code == 0, err
    assert "100 mg every 6 h" in (tmp_path / "one" / "report.html").read_text()
    effect = (
        "model._target_=effect.OralWithEffect",
        "+population.parameters.KE0={_target_: vtrial.population.Parameter, unit: 1/h, "
        "prior: {_target_: vtrial.population.LogNormalPrior, median: 0.5, sigma: 0.1}}",
    )
    code, _, err = run_cli("-cn", "mine", "-cd", "my_folder", "directory=two", *small, *effect)
    assert code == 0, err


def test_the_model_table_is_current():
    written = runpy.run_path(str(ROOT / "scripts" / "docs"))["models"]()
    assert (ROOT / "models" / "README.md").read_text(encoding="utf-8") == written
