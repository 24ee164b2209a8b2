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
from tests.models.cards import AUTO, STIFF
from vtrial.dosing import Dose, event_table

pytestmark = pytest.mark.external

FOLDER = SHARED / "reference" / "trajectories"
MODELS = {
    "oral2": (TwoCompartmentOral, {"V2": "VC", "V3": "VP"}, "concentration", AUTO),
    "mm2": (TwoCompartmentOralMichaelisMenten, {"V2": "VC", "V3": "VP"}, "concentration", AUTO),
    "tmdd": (TargetMediatedDisposition, {"V": "VC"}, "ligand", STIFF),
    "friberg": (MyelosuppressionOral, {"ALPHA": "SLOPE"}, "circulating", AUTO),
    "pbpk15": (WholeBody, {}, "concentration", AUTO),
}
"""By the reference's name: model, parameters that the reference calls otherwise, output, solver."""


def rows(name):
    file = FOLDER / name
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("name", MODELS)
def test_trajectories(name):
    """Twenty-eight daily doses in two subjects; relative error with a floor of a thousandth of the peak."""
    kind, names, output, solver = MODELS[name]
    model = kind()
    dose = json.loads((FOLDER / "spec.json").read_text())["models"][name]["dose"]
    people = rows(f"parameters_{name}.csv")[:2]
    p = {names.get(n, n): jnp.asarray([float(one[n]) for one in people]) for n in people[0] if n != "ID"}
    course = [r for r in rows(f"reference_{name}.csv.gz") if r["ID"] in {one["ID"] for one in people}]
    time, expected = (np.array([float(r[c]) for r in course]).reshape(2, -1) for c in ("time", "Y"))
    events = event_table([Dose(0.0, dose, 0, 27, 24.0), *time[0].tolist()])
    found = jax.jit(jax.vmap(lambda p: solver(model, p, events)))(p)
    assert not found.code.any()
    error = np.abs(np.asarray(found.outputs[output]) - expected) / (expected + 1e-3 * expected.max(1, keepdims=True))
    assert error.max() < 2e-6
