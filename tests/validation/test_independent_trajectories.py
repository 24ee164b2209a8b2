"""Twenty-eight daily oral doses in many subjects against trajectories of an independent solver at tolerance 1e-12."""

import csv
import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import SHARED
from vtrial.dosing import Dose, event_table
from vtrial.solve import General, Linear

pytestmark = pytest.mark.external
FOLDER = SHARED / "reference" / "trajectories"


def rows(name):
    """Read a CSV of the reference as columns of numbers."""
    file = FOLDER / name
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as opened:
        table = list(csv.DictReader(opened))
    return {key: np.array([float(row[key]) for row in table]) for key in table[0]}


@pytest.mark.parametrize(("solver", "tolerance"), [(Linear(), 1e-11), (General(rtol=1e-6), 1e-5), (General(), 1e-7)])
def test_oral_one_compartment(solver, tolerance):
    """Relative error, with a floor of a thousandth of the peak: exact for the closed form, ten times rtol otherwise."""
    spec, subjects = json.loads((FOLDER / "spec.json").read_text()), rows("parameters_oral1.csv")
    reference = rows("reference_oral1.csv.gz")
    count = len(subjects["ID"])
    time, expected = reference["time"][: len(reference["time"]) // count], reference["Y"].reshape(count, -1)
    doses = Dose(0.0, spec["models"]["oral1"]["dose"], 0, 27, 24.0)
    events, model = event_table([doses, *time.tolist()]), OneCompartmentOral()
    p = {n: jnp.asarray(subjects[c]) for n, c in (("CL", "CL"), ("VC", "V"), ("KA", "KA"))}
    found = jax.jit(jax.vmap(lambda p: solver(model, p, events).outputs["concentration"]))(p)
    error = np.abs(np.asarray(found) - expected) / (expected + 1e-3 * expected.max(1, keepdims=True))
    assert error.max() < tolerance
