"""Builders and tables that several tests share."""

import contextlib
import importlib
import inspect
import io
import pkgutil
import sys
from pathlib import Path
from unittest import mock

import equinox as eqx
import numpy as np
from vtrial.models.oral_1cpt import OneCompartmentOral

import vtrial
from vtrial import cli
from vtrial._resources import directory
from vtrial.data import NonmemTable
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Combined
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population, PowerEffect
from vtrial.solve import Auto

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

MODEL_PARAMETERS = {
    "OneCompartmentBolus": {"CL": 2.8, "VC": 32.0},
    "OneCompartmentOral": {"CL": 2.8, "VC": 32.0, "KA": 1.5},
    "OneCompartmentOralMichaelisMenten": {"VMAX": 30.0, "KM": 8.0, "VC": 32.0, "KA": 1.5},
}
"""Typical parameters of each model in models/; a new model adds its line here."""


def half(scale: float) -> HalfNormalPrior:
    return HalfNormalPrior(scale)


def theophylline(*, weight: bool = True, correlation: float | None = 2.0) -> StatisticalModel:
    """The model of studies/theophylline.yaml, or without weight and correlation that of the Stan reference."""
    clearance = {"WT": PowerEffect("WT", "kg", 70.0, 0.75)} if weight else {}
    volume = {"WT": PowerEffect("WT", "kg", 70.0, 1.0)} if weight else {}
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(2.8, 0.3), half(0.5), clearance),
            "VC": Parameter("L", LogNormalPrior(32.0, 0.3), half(0.5), volume),
            "KA": Parameter("1/h", LogNormalPrior(1.5, 0.5), half(0.5)),
        },
        correlation,
    )
    model = OneCompartmentOral()
    noise = {"concentration": Combined(half(1.0), half(0.3))}
    return StatisticalModel(model, population.for_model(model), Auto(), noise)


def table(path: Path | str, **changes) -> NonmemTable:
    """A reader of a theophylline-like file."""
    settings = {
        "path": str(path),
        "units": {"TIME": "h", "AMT": "mg", "DV": "mg/L", "WT": "kg"},
        "outputs": {"concentration": 1},
        "compartments": {1: "depot"},
        "covariates": ("WT",),
    }
    return NonmemTable(**(settings | changes))


def theophylline_data():
    return table(directory("studies") / "data" / "theophylline.csv").read(OneCompartmentOral())


def run_cli(*arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["vtrial", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def modules() -> list[str]:
    """Every module of vtrial and of models/."""
    found = [m.name for m in pkgutil.walk_packages(vtrial.__path__, "vtrial.") if m.name != "vtrial.__main__"]
    return sorted({*found, *(f"vtrial.models.{f.stem}" for f in directory("models").glob("*.py"))})


def classes() -> list[type]:
    """Every equinox class that vtrial or models/ defines."""
    found = []
    for name in modules():
        for member in vars(importlib.import_module(name)).values():
            if isinstance(member, type) and issubclass(member, eqx.Module) and member.__module__ == name:
                found.append(member)
    return found


def finished(base: type) -> list[type]:
    """Every finished subclass of an abstract class, found by listing."""
    return [c for c in classes() if issubclass(c, base) and not inspect.isabstract(c)]


def bateman(time: np.ndarray, dose: float, ka: float, cl: float, vc: float) -> np.ndarray:
    """Concentration after one oral dose at time 0, from the textbook formula (KA and CL/VC distinct)."""
    ke = cl / vc
    after = np.maximum(time, 0.0)
    return np.where(time >= 0, dose * ka / (vc * (ka - ke)) * (np.exp(-ke * after) - np.exp(-ka * after)), 0.0)
