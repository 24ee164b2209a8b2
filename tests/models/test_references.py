"""Models against trajectories of an independent solver at 1e-11."""

import csv
import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.friberg_oral import MyelosuppressionOral
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten
from vtrial.models.pbpk15 import WholeBody
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import SHARED
from vtrial.dosing import Dose, event_table
from vtrial.solve import Lanes, Linear

pytestmark = pytest.mark.external

FOLDER = SHARED / "reference" / "trajectories"
MODELS = {
    "oral2": (TwoCompartmentOral, {"V2": "VC", "V3": "VP"}, "concentration"),
    "mm2": (TwoCompartmentOralMichaelisMenten, {"V2": "VC", "V3": "VP"}, "concentration"),
    "tmdd": (TargetMediatedDisposition, {"V": "VC"}, "ligand"),
    "friberg": (MyelosuppressionOral, {"ALPHA": "SLOPE"}, "circulating"),
    "pbpk15": (WholeBody, {}, "concentration"),
}
"""By the reference's name: model, parameters that the reference calls otherwise, output."""
STIFF = {"tmdd", "pbpk15"}
CASES = [(name, Linear(), 1e-11) for name in ("oral2", "pbpk15")]
CASES += [(name, Lanes(name in STIFF, r, 1e-3 * r), 10 * r) for name in MODELS for r in (1e-4, 1e-6, 1e-8)]


def rows(name):
    file = FOLDER / name
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize(("name", "solver", "tolerance"), CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_trajectories(name, solver, tolerance):
    """Twenty-eight daily doses in twenty subjects; relative error with a floor of a thousandth of the peak.

    Ten times the tolerance of a step; a closed form is exact to the reference's own error.
    """
    kind, names, output = MODELS[name]
    model = kind()
    dose = json.loads((FOLDER / "spec.json").read_text())["models"][name]["dose"]
    people, course = rows(f"parameters_{name}.csv"), rows(f"reference_{name}.csv.gz")
    p = {names.get(n, n): jnp.asarray([float(one[n]) for one in people]) for n in people[0] if n != "ID"}
    time, expected = (np.array([float(r[c]) for r in course]).reshape(len(people), -1) for c in ("time", "Y"))
    events = event_table([Dose(0.0, dose, 0, 27, 24.0), *time[0].tolist()])
    found = jax.jit(jax.vmap(lambda p: solver(model, p, events)))(p)
    assert not found.code.any()
    error = np.abs(np.asarray(found.outputs[output]) - expected) / (expected + 1e-3 * expected.max(1, keepdims=True))
    assert error.max() < tolerance
