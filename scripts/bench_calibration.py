#!/usr/bin/env python3
"""Measure calibration: effective draws a CPU second and where the time goes, beside Stan's figures; print a table.

    .venv/bin/python scripts/bench_calibration.py [theophylline] [ode] [subjects] [michaelis_menten] [--seeds N]

theophylline: 12 subjects, 120 samples after time 0, one compartment with absorption, log-normal CL, VC and KA without
correlation, additive and proportional error; priors log-normal with log-SD 0.5, half-normal 0.5 (omegas), 1 and 0.3
(errors). ode: the same, by numerical integration. subjects: the same model simulated for 100 and 1,000 subjects, ten
samples each. michaelis_menten: 20 subjects, three doses, two compartments with saturable elimination, an ODE.

Effective draws are the least bulk ESS of the population level, as in Stan's figures; the least tail ESS stands beside
it. CPU seconds are those of the Laplace fit that chains begin with, of warm-up and of sampling, without compiling, on
one core. Stan's figures were measured elsewhere (Stan 2.39, non-centred, 4 chains of 1,000 + 1,000, two cores of an AMD
EPYC): ratios to them compare machines as well. On a GPU (JAX_PLATFORMS=cuda) the seconds are the host's: look at the
column of wall seconds then.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("JAX_ENABLE_X64", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten

from vtrial import schema
from vtrial._resources import directory
from vtrial.data import Dataset, NonmemTable
from vtrial.diagnose.columns import population_columns, statistics
from vtrial.inference import CrossChain, Nuts
from vtrial.inference.density import UnconstrainedDensity
from vtrial.inference.marginal import Marginal, first_look
from vtrial.inference.mcmc import AbstractMarkovChain, sample
from vtrial.inference.walk import Clock
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.noise import Combined
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population
from vtrial.solve import Auto, Lanes

STAN = {"theophylline": 126.0, "theophylline by ODE": 2.6, "100 subjects": 2.8}
"""Least bulk ESS a CPU second: mean of two seeds of Stan 2.39; of rk45, one seed; rstan 2.21 for 100 subjects."""
STAN_GRADIENT = 2590e-6
"""Seconds of one gradient of one subject of the Michaelis-Menten case by Stan's rk45."""
SAMPLERS = {
    "NUTS 4 x (500 + 1000)": Nuts(target_accept=0.9),
    "cross-chain 4 x (500 + 1000)": CrossChain(chains=4, warmup=500, draws=1000),
    "cross-chain 16 x (400 + 400)": CrossChain(),
}
FEW = {"NUTS 4 x (200 + 250)": Nuts(target_accept=0.9, warmup=200, draws=250)}
"""Where a draw is dear."""
LONGER = {"NUTS 4 x (300 + 1000)": Nuts(target_accept=0.95, warmup=300, draws=1000)}
"""Where an omega is known so little that it takes more of them."""


def read(text: str, model: AbstractModel) -> Dataset:
    """Read a table of doses into the depot and concentrations."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.csv"
        path.write_text(text, encoding="utf-8")
        units = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}
        return NonmemTable(str(path), units, {"concentration": 1}, {1: "depot"}).read(model)


def theophylline() -> tuple[StatisticalModel, Dataset]:
    """Return the study's data after time 0, and the model of the benchmark."""
    lines = (directory("studies") / "data" / "theophylline.csv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    keep = [lines[0]]
    for line in lines[1:]:
        cell = dict(zip(names, line.split(","), strict=True))
        if cell.get("EVID", "0") != "0" or float(cell["TIME"]) > 0:
            keep.append(line)
    model = OneCompartmentOral()
    return one_compartment(), read("\n".join(keep) + "\n", model)


def one_compartment() -> StatisticalModel:
    """Return the model of the theophylline benchmark."""
    medians = {"CL": ("L/h", np.exp(1.0)), "VC": ("L", np.exp(3.5)), "KA": ("1/h", np.exp(0.4))}
    return statistical(OneCompartmentOral(), medians)


def statistical(model: AbstractModel, medians: dict[str, tuple[str, float]]) -> StatisticalModel:
    """Return a model with variability of every parameter."""
    parameters = {
        name: Parameter(unit, LogNormalPrior(float(median), 0.5), HalfNormalPrior(0.5))
        for name, (unit, median) in medians.items()
    }
    noise = Combined(HalfNormalPrior(1.0), HalfNormalPrior(0.3))
    return StatisticalModel(model, Population(parameters).for_model(model), Auto(), {"concentration": noise})


def simulated(made: StatisticalModel, subjects: int, doses: str, times: list[float]) -> Dataset:
    """Return data simulated at the prior medians, with omega 0.3 and errors of 0.1 mg/L and 10 %."""
    design = "ID,TIME,AMT,ADDL,II,DV,EVID,CMT\n"
    for i in range(1, subjects + 1):
        design += f"{i},{doses}\n" + "".join(f"{i},{t},.,.,.,1,0,1\n" for t in times)
    empty = read(design, made.model)
    draw = made.starts() | {f"{n}_iiv": 0.3 for n in made.population.effects}
    draw |= {"concentration_sigma_add": 0.1, "concentration_sigma_prop": 0.1}
    key = jax.random.key(1)
    values = {n: jnp.asarray(v) for n, v in draw.items()}
    seen = made.replicate(key, made.new_subjects(key, values, empty), values, empty)["concentration"]
    lines, at = design.splitlines(), iter(np.asarray(seen))
    filled = [line.replace(",1,0,1", f",{next(at):.6g},0,1") if line.endswith(",1,0,1") else line for line in lines]
    return read("\n".join(filled) + "\n", made.model)


def gradient(made: StatisticalModel, data: Dataset) -> float:
    """Return the CPU seconds of one gradient of the joint density, many in a row."""
    density = UnconstrainedDensity(made.joint(data))
    start = density.vector(density.centre(made.starts()))
    slope = jax.grad(lambda v: density.potential(density.point(v)))

    def many(x: jax.Array, count: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, at: at - 1e-12 * slope(at), x)

    run = jax.jit(many)
    run(start, jnp.asarray(1)).block_until_ready()
    count, spent = 1, 0.0
    while spent < 0.3:
        count, began = 4 * count, time.process_time()
        run(start, jnp.asarray(count)).block_until_ready()
        spent = time.process_time() - began
    return spent / count


def measure(
    case: str, made: StatisticalModel, data: Dataset, seeds: int, samplers: Mapping[str, AbstractMarkovChain]
) -> None:
    """Run each sampler, and print a line for each seed."""
    began = time.process_time()
    marginal = Marginal(made, data, "interaction")
    first_look(marginal)
    compiled = time.process_time() - began
    began = time.process_time()
    fit = first_look(marginal)
    look = time.process_time() - began
    print(f"| {case} | gradient: {1e6 * gradient(made, data):.1f} us | | | | | | | |")
    print(
        f"| {case} | Laplace fit, {fit.evaluations} evaluations | {compiled:.1f} | {look:.2f} | | | | | |", flush=True
    )
    for name, method in samplers.items():
        for seed in range(seeds):
            began, clock = time.monotonic(), Clock()
            found = sample(jax.random.key(seed), method, made, data, clock=clock)
            wall = time.monotonic() - began
            health = statistics(population_columns(found[schema.POSTERIOR], made))
            least, tail = float(health["ess_bulk"].min()), float(health["ess_tail"].min())
            cpu = look + clock.warmup + clock.sampling
            ratio = f"{least / cpu / STAN[case]:.1f}" if case in STAN else ""
            stats = found[schema.SAMPLE_STATS]
            print(
                f"| {case} | {name}, centred: {' '.join(stats.attrs['centred']) or 'none'} | {wall - cpu + look:.1f} "
                f"| {look:.2f} + {clock.warmup:.2f} + {clock.sampling:.2f} | {wall:.1f} | {least:.0f}, {tail:.0f} "
                f"| {least / cpu:.0f} | {ratio} "
                f"| {health['r_hat'].max():.3f}, {int(stats['diverging'].sum())} |",
                flush=True,
            )


def main() -> None:
    """Run the cases asked for, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("case", nargs="*", default=["theophylline", "ode", "subjects", "michaelis_menten"])
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    print(
        "| case | sampler | compiling and setting up [s] | fit, warm-up, sampling [CPU s] | wall [s] "
        "| least bulk, tail ESS | bulk ESS/CPU s | x Stan | R-hat, div. |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    every = SAMPLERS
    if "ode" in asked.case:
        made, data = theophylline()
        numerical = dataclasses.replace(made, solver=Lanes(False, 1e-6, 1e-8))
        measure("theophylline by ODE", numerical, data, 1, dict(list(every.items())[:2]))
    if "theophylline" in asked.case:
        measure("theophylline", *theophylline(), asked.seeds, every)
    if "subjects" in asked.case:
        for subjects in (100, 1000):
            made = one_compartment()
            data = simulated(made, subjects, "0,300,.,.,.,1,1", [0.25, 0.5, 1, 2, 3, 5, 7, 9, 12, 24])
            measure(f"{subjects} subjects", made, data, 1, FEW)
    if "michaelis_menten" in asked.case:
        medians = {
            "KA": ("1/h", 1.0),
            "VMAX": ("mg/h", 15.0),
            "KM": ("mg/L", 2.0),
            "VC": ("L", 20.0),
            "Q": ("L/h", 4.0),
            "VP": ("L", 40.0),
        }
        made = statistical(TwoCompartmentOralMichaelisMenten(), medians)
        times = [0.5, 1, 2, 4, 8, 12, 23.9, 25, 28, 36, 47.9, 50, 56, 72]
        measure("Michaelis-Menten", made, simulated(made, 20, "0,300,2,24,.,1,1", times), 1, LONGER)


if __name__ == "__main__":
    main()
