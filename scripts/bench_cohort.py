"""Recruit and simulate a large cohort block by block into a Zarr store; print time and peak memory.

Usage: python scripts/bench_cohort.py [SUBJECTS_IN_ALL] [REPLICATES]
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")

import jax
import numpy as np
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial import schema, tree
from vtrial._resources import directory
from vtrial.blocks import Blocks
from vtrial.cohort import Bootstrap, Recruitment, Treatment, block_size, kept_units, recruiter, simulator
from vtrial.data import NonmemTable
from vtrial.design import Arm, Parallel
from vtrial.dosing import Regimen
from vtrial.endpoint import Maximum, Window
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Combined
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population, PowerEffect
from vtrial.solve import Auto
from vtrial.store import Store

MODEL = OneCompartmentOral()
ATTRIBUTES = {"study": "bench", "config": "", "version": "", "inputs": {}, "libraries": {}, "precision": 64}


def statistical() -> StatisticalModel:
    """Return the model of studies/theophylline.yaml."""
    omega = HalfNormalPrior(0.5)
    parameters = {
        "CL": Parameter("L/h", LogNormalPrior(2.8, 0.3), omega, {"WT": PowerEffect("WT", "kg", 70.0, 0.75)}),
        "VC": Parameter("L", LogNormalPrior(32.0, 0.3), omega, {"WT": PowerEffect("WT", "kg", 70.0, 1.0)}),
        "KA": Parameter("1/h", LogNormalPrior(1.5, 0.5), omega),
    }
    noise = {"concentration": Combined(HalfNormalPrior(1.0), HalfNormalPrior(0.3))}
    return StatisticalModel(MODEL, Population(parameters).for_model(MODEL), Auto(), noise)


def main(subjects: int, replicates: int) -> None:
    """Run it."""
    model, each = statistical(), subjects // replicates
    table = directory("studies") / "data" / "theophylline.csv"
    units = {"TIME": "h", "AMT": "mg", "DV": "mg/L", "WT": "kg"}
    data = NonmemTable(str(table), units, {"concentration": 1}, {1: "depot"}, covariates=("WT",)).read(MODEL)
    draws = {n: np.full(replicates, v) for n, v in {"CL": 2.8, "VC": 32.0, "KA": 1.5}.items()}
    draws |= {n: np.full(replicates, 0.3) for n in ("CL_iiv", "VC_iiv", "KA_iiv")}
    draws |= {f"concentration_{n}": np.full(replicates, 0.1) for n in ("sigma_add", "sigma_prop")}
    arms = {"only": Arm(Regimen("300 mg", "12 h", 28, "depot"))}
    ends = {"peak": Maximum(Window("concentration", "324 h", "336 h", 25))}
    design = Parallel(arms, per_arm=2)
    size, source = block_size(replicates, each, 1), Recruitment(replicates, each, Bootstrap())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run", ATTRIBUTES)
        recruits = recruiter(jax.random.key(0), source, draws, model, data)
        simulates = simulator(jax.random.key(1), replicates, design.arms, ends, draws, model)
        known = kept_units(source.covariates, data)

        def patients(start: int, stop: int):
            return {schema.COHORT: tree.cohort(recruits(start, stop), MODEL, known)}

        def outcomes(start: int, stop: int):
            rows = store.opened(schema.COHORT).isel(replicate=slice(start, stop)).load()
            own = tree.cohort_of(rows, MODEL)
            return {schema.OUTCOMES: tree.outcomes(simulates(start, own), own, design, ends, MODEL, Treatment())}

        for name, group, compute in (("recruit", schema.COHORT, patients), ("simulate", schema.OUTCOMES, outcomes)):
            begin, cpu = time.perf_counter(), time.process_time()
            store.stream(name, Blocks(replicates, size, (group,), compute, lambda _: {}))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            spent = time.perf_counter() - begin, time.process_time() - cpu
            print(
                f"{name}: {replicates} x {each}, {spent[0]:.1f} s, {spent[1]:.1f} CPU s, peak {peak:.0f} MB", flush=True
            )
        stored = sum(f.stat().st_size for f in store.zarr.rglob("*") if f.is_file())
        print(f"on disk: {stored / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*(int(float(a)) for a in (*sys.argv[1:], *("1e6", "100")[len(sys.argv) - 1 :])))
