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
import yaml
from omegaconf import OmegaConf
from vtrial.models.oral_1cpt import OneCompartmentOral

import vtrial
from vtrial import cli
from vtrial._resources import directory
from vtrial.data import NonmemTable
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Combined
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population, PowerEffect
from vtrial.solve import AbstractSolver, Auto

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

MODEL_PARAMETERS = {
    "ExposureLowersLdl": {
        "CL": 0.105,
        "VC": 5.18,
        "VMAX": 1.397,
        "KM": 3.871,
        "KA": 0.319,
        "LDL0": 150.0,
        "EMAX": 99.7,
        "EC50": 51.5,
    },
    "FilgrastimNeutrophils": {
        "KA": 0.651,
        "KEL": 0.152,
        "VD": 2.42,
        "KD": 1.44,
        "KINT": 0.105,
        "KSI": 0.181,
        "KMT": 0.0728,
        "KTT": 0.00862,
        "NB0": 1.55,
        "SC1": 3.15,
        "SM1": 34.7,
        "SM2": 32.2,
        "BAS": 0.0249,
    },
    "HIVTherapy": {
        "LAM": 1e4,
        "D": 0.01,
        "BETA": 8e-7,
        "DELTA": 0.7,
        "P": 100.0,
        "C": 13.0,
        "ERT": 0.3,
        "EPI": 0.2,
    },
    "MinimalModel": {"SG": 0.026, "P2": 0.025, "SI": 5e-4, "GB": 92.0, "IB": 11.0, "G0": 290.0, "INS": 40.0},
    "Myelosuppression": {
        "CL": 285.0,
        "VC": 290.0,
        "Q": 204.0,
        "VP": 995.0,
        "MTT": 124.0,
        "CIRC0": 7.21,
        "GAMMA": 0.239,
        "SLOPE": 33.8,
    },
    "MyelosuppressionOral": {
        "CL": 10.0,
        "VC": 35.0,
        "Q": 15.0,
        "VP": 105.0,
        "KA": 2.0,
        "MTT": 125.0,
        "CIRC0": 5.0,
        "GAMMA": 0.17,
        "SLOPE": 0.12,
    },
    "OneCompartmentBolus": {"CL": 2.8, "VC": 32.0},
    "OneCompartmentOral": {"CL": 2.8, "VC": 32.0, "KA": 1.5},
    "OneCompartmentOralEffect": {
        "CL": 10.0,
        "VC": 60.0,
        "KA": 1.4,
        "KE0": 0.25,
        "E0": 5.0,
        "EMAX": 80.0,
        "EC50": 0.6,
    },
    "OneCompartmentOralFluctuating": {"CL": 2.8, "VC": 32.0, "KA": 1.5, "SDCL": 0.3, "TAU": 12.0},
    "OneCompartmentOralIndirectResponse": {
        "CL": 0.13,
        "VC": 8.0,
        "KA": 0.8,
        "KIN": 5.0,
        "KOUT": 0.05,
        "IMAX": 0.95,
        "IC50": 1.1,
    },
    "OneCompartmentOralMetabolite": {"CL": 8.0, "VC": 60.0, "KA": 1.0, "FP": 0.2, "FM": 0.7, "CLM": 3.0, "VM": 25.0},
    "OneCompartmentOralMichaelisMenten": {"VMAX": 30.0, "KM": 8.0, "VC": 32.0, "KA": 1.5},
    "OneCompartmentOralParallelElimination": {"CL": 0.105, "VC": 5.18, "VMAX": 1.397, "KM": 3.871, "KA": 0.319},
    "OneCompartmentOralQtc": {
        "CL": 2.8,
        "VC": 32.0,
        "KA": 1.5,
        "MESOR": 406.0,
        "AMP": 0.009,
        "ACRO": 1.11,
        "SLOPE": 0.5,
    },
    "OneCompartmentOralTransit": {"CL": 6.0, "VC": 70.0, "KA": 1.1, "MTT": 2.5},
    "OneCompartmentTransitTurnover": {
        "KTR": 1.2,
        "KA": 1.0,
        "CL": 0.13,
        "VC": 8.0,
        "EMAX": 0.98,
        "EC50": 1.1,
        "KOUT": 0.053,
        "E0": 97.0,
    },
    "PCSK9Inhibition": {
        "KA": 0.245,
        "CL": 0.256,
        "VC": 2.66,
        "KDEG": 2.12,
        "BASE": 5.27,
        "KSS": 0.253,
        "KINT": 0.0529,
        "KOUT": 0.305,
        "LDL0": 116.0,
        "IC50": 1.46,
    },
    "SusceptibleInfectedRecovered": {"N": 763.0, "BETA": 1.73, "GAMMA": 0.54},
    "TargetMediatedDisposition": {
        "KA": 0.02,
        "KEL": 0.004,
        "KPT": 0.01,
        "KTP": 0.01,
        "VC": 3.0,
        "KON": 0.36,
        "KOFF": 0.36,
        "KSYN": 0.5,
        "KDEG": 0.05,
        "KINT": 0.02,
    },
    "ThreeCompartmentIntravenous": {"CL": 4.5, "VC": 28.0, "Q": 6.0, "VP": 55.0, "Q2": 1.0, "VP2": 120.0},
    "ThreeCompartmentOral": {"CL": 4.5, "VC": 28.0, "Q": 6.0, "VP": 55.0, "Q2": 1.0, "VP2": 120.0, "KA": 0.7},
    "TumourGrowthRegression": {"BASE": 33.0, "KG": 0.75, "KS": 2.0},
    "TumourGrowthInhibition": {
        "CL": 0.3,
        "VC": 1.0,
        "KA": 2.0,
        "LAMBDA0": 0.27,
        "LAMBDA1": 0.6,
        "PSI": 20.0,
        "K1": 0.4,
        "K2": 0.003,
        "W0": 0.05,
    },
    "TwoCompartmentIntravenous": {"CL": 4.5, "VC": 58.4, "Q": 6.5, "VP": 38.4},
    "TwoCompartmentMacro": {"A": 0.113, "ALPHA": 2.17, "B": 0.0185, "BETA": 0.26},
    "TwoCompartmentOral": {"CL": 4.5, "VC": 28.0, "Q": 6.0, "VP": 55.0, "KA": 0.7},
    "TwoCompartmentOralMichaelisMenten": {"VMAX": 15.0, "KM": 2.0, "VC": 30.0, "Q": 6.0, "VP": 60.0, "KA": 0.8},
    "TwoCompartmentOralParallelElimination": {
        "CL": 0.298,
        "VC": 3.19,
        "Q": 0.444,
        "VP": 2.79,
        "VMAX": 4.39,
        "KM": 7.19,
        "KA": 0.184,
    },
    "TwoCompartmentTransitParallelElimination": {
        "VC": 2.48,
        "KE": 0.0534,
        "KCP": 0.213,
        "KPC": 0.3105,
        "VMAX": 1.07,
        "KM": 0.01,
        "KA": 0.256,
        "MTT": 0.105,
    },
    "WarfarinINR": {
        "CL": 0.314,
        "VC": 13.8,
        "Q": 0.131,
        "VP": 6.59,
        "KA": 2.0,
        "EMAX": 1.0,
        "EC50": 4.61,
        "GAMMA": 0.424,
        "MTT1": 11.6,
        "MTT2": 120.0,
        "BASE": 1.0,
        "INRMAX": 20.0,
        "LAMBDA": 3.61,
    },
    "WholeBody": {"KA": 1.0, "CLINT": 30.0, "CLR": 2.0, "QS": 1.0, "KPS": 1.0},
    "NabPaclitaxel": {
        "V1": 15.8,
        "V2": 1650.0,
        "V3": 75.4,
        "Q2": 41.6,
        "VMTR": 325.0,
        "KMTR": 4.26,
        "VMEL": 8.07,
        "KMEL": 0.0402,
        "MTT": 117.0,
        "CIRC0": 4.28,
        "GAMMA": 0.187,
        "SLOPE": 2.53,
    },
    "TumourSurvival": {
        "BASE": 71.3,
        "KG": 6.11e-4,
        "KDC": 4.97e-5,
        "KDG": 1.64e-4,
        "POTENCY": 1.0,
        "KDE": 0.25,
        "LAMBDA": 1.1843e-3,
        "SHAPE": 2.0044,
        "RISK": 1.0,
        "BSIZE": 0.2084,
        "BCHANGE": 0.9036,
        "BNEW": 1.2303,
        "TNEW": 400.0,
    },
    "TumourExponential": {"BASE": 60.0, "KG": -0.2, "EFFECT": 0.1},
    "XenograftDoseResponse": {"V0": 0.12, "LAMBDA0": 0.1, "LAMBDA1": 0.11, "KAPPA": 0.005, "KDE": 3.3},
}
"""Typical parameters of each model in models/; a new model adds its line here."""


def written(file: Path) -> dict:
    """Return a choice of conf/ as it stands in a configuration: what it starts from in its own group, then its own."""
    own = yaml.safe_load(file.read_text(encoding="utf-8"))
    bases = [written(file.with_name(f"{name}.yaml")) for name in own.pop("defaults", []) if name != "_self_"]
    return OmegaConf.to_container(OmegaConf.merge(*bases, own)) if bases else own


def half(scale: float) -> HalfNormalPrior:
    return HalfNormalPrior(scale)


def theophylline(
    *, weight: bool = True, correlation: float | None = 2.0, solver: AbstractSolver | None = None
) -> StatisticalModel:
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
    return StatisticalModel(model, population.for_model(model), solver or Auto(), noise)


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


def layouts(kind) -> tuple[str, ...]:
    """The layouts that an analysis reads; none of one that takes them from another."""
    return kind.layouts if isinstance(kind.layouts, tuple) else ()


def finished(base: type) -> list[type]:
    """Every finished subclass of an abstract class, found by listing."""
    return [c for c in classes() if issubclass(c, base) and not inspect.isabstract(c)]


def bateman(time: np.ndarray, dose: float, ka: float, cl: float, vc: float) -> np.ndarray:
    """Concentration after one oral dose at time 0, from the textbook formula (KA and CL/VC distinct)."""
    ke = cl / vc
    after = np.maximum(time, 0.0)
    return np.where(time >= 0, dose * ka / (vc * (ka - ke)) * (np.exp(-ke * after) - np.exp(-ka * after)), 0.0)
