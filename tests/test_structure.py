"""The architecture, enforced: layers, who imports what, abstract or final, sizes, and words in the open."""

import ast
import builtins
import dis
import importlib
import inspect
import subprocess
from pathlib import Path

import equinox as eqx
import pytest

from tests.helpers import ROOT, classes, modules

LAYERS = (
    ("schema", "units", "keys", "errors", "hashes", "_types", "_resources"),
    ("model", "dosing"),
    ("solve", "statistics", "population", "noise", "data", "endpoint", "design", "models"),
    ("likelihood", "cohort"),
    ("inference", "trial", "diagnose", "optimise"),
    (
        "study",
        "run",
        "store",
        "blocks",
        "tree",
        "report",
        "average",
        "rehearsal",
        "optimum",
        "provenance",
        "cells",
        "sweep",
        "search",
    ),
    ("cli", "config", "choices", "command", "mistakes", "overrides", "runtime", "__main__", "__init__"),
)
"""Imports point down, or sideways without a cycle."""

OWNERS = {
    "hydra": ("cli", "choices", "mistakes", "overrides"),
    "omegaconf": ("cli", "choices", "mistakes", "overrides"),
    "yaml": ("choices", "mistakes"),
    "beartype": ("config",),
    "diffrax": ("solve",),
    "llvmlite": ("solve",),
    "polars": ("data", "report"),
    "numpyro": ("population", "noise", "likelihood", "inference", "cohort"),
    "arviz": ("inference", "diagnose"),
    "arviz_stats": ("inference", "diagnose"),
    "xarray": (
        "inference",
        "trial",
        "diagnose",
        "run",
        "store",
        "blocks",
        "tree",
        "report",
        "average",
        "rehearsal",
        "optimise",
        "optimum",
        "cells",
        "sweep",
        "search",
    ),
    "zarr": ("store", "blocks"),
    "matplotlib": ("report",),
    "jinja2": ("report",),
    "scipy": ("population", "cohort", "inference", "diagnose", "report", "statistics", "optimise"),
    "pint": ("units",),
    "tqdm": ("inference", "cohort"),
}
"""Each library is imported where it is needed and nowhere else."""

PACKAGE = ROOT / "vtrial"
FILES = sorted(PACKAGE.rglob("*.py"))


def part(name: str) -> str:
    """The part of the package a module belongs to: the name after `vtrial.`."""
    return [*name.split("."), "__init__"][1]


def imports(file: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            # `from vtrial import x` imports the module x.
            found |= {f"vtrial.{a.name}" for a in node.names} if node.module == "vtrial" else {node.module or ""}
    return found - {"vtrial.__version__"}


def own(file: Path) -> str:
    return part(".".join(("vtrial", *file.relative_to(PACKAGE).with_suffix("").parts)))


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_down(file):
    for name in imports(file):
        if name.startswith("vtrial."):
            assert layer(part(name)) <= layer(own(file)), f"{own(file)} may not import {part(name)}"


def test_no_cycle_between_parts():
    arrows = {}
    for file in FILES:
        arrows.setdefault(own(file), set()).update(part(n) for n in imports(file) if n.startswith("vtrial."))
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {' -> '.join([*path, name])}"
        if name not in done:
            path.append(name)
            for other in sorted(arrows.get(name, set()) - {name}):
                visit(other)
            done.add(path.pop())

    for name in sorted(arrows):
        visit(name)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_libraries_have_owners(file):
    for name in {n.partition(".")[0] for n in imports(file)}:
        assert name not in OWNERS or own(file) in OWNERS[name], f"{own(file)} may not import {name}"


@pytest.mark.parametrize("file", sorted((ROOT / "models").glob("*.py")), ids=lambda f: f.name)
def test_models_import_the_model_interface_and_jax_only(file):
    assert imports(file) <= {"typing", "vtrial.model", "jax", "jax.numpy"}


@pytest.mark.parametrize("kind", classes(), ids=lambda c: c.__name__)
def test_a_class_is_an_interface_or_finished(kind):
    bases = [b for b in kind.__mro__[1:] if issubclass(b, eqx.Module) and b is not eqx.Module]
    assert kind.__name__.startswith("Abstract") == inspect.isabstract(kind)
    for base in bases:
        assert base.__name__.startswith("Abstract"), f"{kind.__name__} inherits from the finished class {base.__name__}"
        finished = {
            n for n, m in vars(base).items() if inspect.isfunction(m) and not getattr(m, "__isabstractmethod__", False)
        }
        overridden = {n for n in finished & set(vars(kind)) if not n.startswith("__")}
        assert not overridden, f"{kind.__name__} overrides {overridden} of {base.__name__}"


@pytest.mark.parametrize("file", [*FILES, *sorted((ROOT / "models").glob("*.py"))], ids=lambda f: f.name)
def test_files_and_functions_stay_readable(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert file.stem not in ("utils", "helpers", "misc", "common")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{file.name}: {node.name} is too long"


@pytest.mark.parametrize("name", modules())
def test_every_name_that_is_read_exists(name):
    """No linter can see this: for those the dimensions that annotations name are undefined names too."""
    module = importlib.import_module(name)
    known = {*vars(module), *vars(builtins)}
    left = [compile(Path(module.__file__).read_text(encoding="utf-8"), name, "exec")]
    while left:
        code = left.pop()
        left += [c for c in code.co_consts if inspect.iscode(c)]
        unknown = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"} - known
        assert not unknown, f"{code.co_qualname} reads {unknown}"


def test_everything_public_is_documented():
    for name in modules():
        module = __import__(name, fromlist=["_"])
        for member, thing in vars(module).items():
            if not member.startswith("_") and getattr(thing, "__module__", "") == name and callable(thing):
                assert inspect.getdoc(thing), f"{name}.{member} has no docstring"


def test_nothing_tracked_names_a_machine_or_a_registry():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    for name in tracked:
        file = ROOT / name
        if not file.is_file() or file.suffix in (".png", ".svg"):
            continue
        text = file.read_text(encoding="utf-8")
        for forbidden in ("/simple" + "/", "index-" + "url", "/home" + "/", "/root" + "/", "/work" + "/"):
            assert forbidden not in text, f"{name} has '{forbidden}'"
