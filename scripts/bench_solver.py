#!/usr/bin/env python3
"""Measure the solvers on populations, side by side with diffrax in one run, and print tables.

    .venv/bin/python scripts/bench_solver.py [CASE ...] [--persons N] [--scaling] [--cores] [--ragged] [--gpu]

Every case is N virtual persons with log-normal variability (SD 0.3), 28 daily oral doses and 200 sampling times that
never coincide with a dose; relative tolerance 1e-6, absolute 1e-8, float64. Speeds are persons a CPU second of one
core, the quickest of several calls: others' work only ever adds. "diffrax" is a plain program of it: `vmap` over a
scan over the doses, all samples of a dosing interval saved from one solve. mrgsolve's figures were measured elsewhere,
on two cores of an AMD EPYC (Debian 12, mrgsolve 2.0.1): ratios to them compare machines as well.

`--gpu` needs an NVIDIA GPU and measures there, by the clock, XLA's loop and the kernels compiled as PTX, which are told
apart by nothing but `ptx`, beside one core of this machine's processor.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from vtrial.models.friberg_oral import MyelosuppressionOral
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten
from vtrial.models.pbpk15 import WholeBody
from vtrial.models.tmdd import TargetMediatedDisposition

from vtrial.dosing import Dose, event_table
from vtrial.dosing.batch import batch
from vtrial.model import AbstractModel
from vtrial.solve import AbstractSolver, Lanes, Linear
from vtrial.solve.base import initial_state, rate_vector

jax.config.update("jax_enable_x64", True)

DOSES, SAMPLES = np.arange(28) * 24.0, np.round(-1.0 + 3.36 * np.arange(1, 201), 6)
RTOL, ATOL = 1e-6, 1e-8


class Case(NamedTuple):
    """One model with its typical parameters, as in the field's comparisons."""

    model: AbstractModel
    typical: dict[str, float]
    fixed: tuple[str, ...]
    """Parameters without variability."""
    dose: float
    solver: AbstractSolver
    stiff: bool
    """Whether diffrax needs its implicit method."""
    peer: float | None
    """mrgsolve's persons a CPU second; its closed form where the solver has one."""


TSIT5, RODAS5P = Lanes(False, RTOL, ATOL), Lanes(True, RTOL, ATOL)
ORAL2 = {"VC": 30.0, "Q": 6.0, "VP": 60.0, "KA": 0.8}
BINDING = {"KA": 0.02, "KEL": 0.004, "KPT": 0.01, "KTP": 0.01, "VC": 3.0, "KON": 0.36, "KOFF": 0.36}
BINDING |= {"KSYN": 0.5, "KDEG": 0.05, "KINT": 0.02}
MARROW = {"CL": 10.0, "VC": 35.0, "Q": 15.0, "VP": 105.0, "KA": 2.0, "MTT": 125.0, "CIRC0": 5.0, "GAMMA": 0.17}
BODY = {"KA": 1.0, "CLINT": 30.0, "CLR": 2.0, "QS": 1.0, "KPS": 1.0}
SATURABLE = TwoCompartmentOralMichaelisMenten()
CASES = {
    "oral_1cpt": Case(OneCompartmentOral(), {"CL": 3.0, "VC": 30.0, "KA": 1.0}, (), 100.0, Linear(), False, 15_000),
    "oral_2cpt": Case(TwoCompartmentOral(), {"CL": 4.0} | ORAL2, (), 100.0, Linear(), False, 6_500),
    "oral_2cpt_mm": Case(SATURABLE, {"VMAX": 15.0, "KM": 2.0} | ORAL2, (), 100.0, TSIT5, False, 1_700),
    "friberg_oral": Case(
        MyelosuppressionOral(), MARROW | {"SLOPE": 3e-4}, ("Q", "VP", "GAMMA"), 80_000.0, TSIT5, False, 690
    ),
    "tmdd": Case(TargetMediatedDisposition(), BINDING, ("KPT", "KTP", "KOFF", "KDEG"), 100.0, RODAS5P, True, 2_000),
    "pbpk15": Case(WholeBody(), BODY, (), 100.0, Linear(), True, 126),
    "pbpk15 (lanes)": Case(WholeBody(), BODY, (), 100.0, RODAS5P, True, 126),
}


def population(case: Case, persons: int) -> dict[str, jax.Array]:
    """Return parameters [person] by name."""
    random = np.random.default_rng(20261125)
    drawn = {n: v * np.exp(0.3 * random.standard_normal(persons)) for n, v in case.typical.items()}
    return {n: jnp.asarray(np.full(persons, case.typical[n]) if n in case.fixed else v) for n, v in drawn.items()}


def events(case: Case):
    """Return everybody's event table."""
    return event_table([Dose(0.0, case.dose, 0, len(DOSES) - 1, 24.0), *SAMPLES.tolist()])


def ours(case: Case):
    """Return the function from parameters [person] to the first output [person, sample] and codes."""
    table, output = events(case), next(iter(case.model.outputs))

    def one(p):
        found = case.solver(case.model, p, table)
        return found.outputs[output], found.code

    return jax.vmap(one)


def plain_diffrax(case: Case):
    """Return the same function written with diffrax alone."""
    model, output = case.model, next(iter(case.model.outputs))
    place = np.searchsorted(DOSES, SAMPLES, "right") - 1
    width = int(np.bincount(place).max())
    ends = np.append(DOSES[1:], SAMPLES[-1] + 1.0)
    # Samples of each interval, filled up with its end.
    at = np.repeat(ends[:, None], width, 1)
    slot = np.arange(len(SAMPLES)) - np.searchsorted(place, place)
    at[place, slot] = SAMPLES

    def one(p):
        def interval(y, given):
            start, end, times = given
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(lambda t, x, _: rate_vector(model, jnp.asarray(t), x, p)),
                diffrax.Kvaerno5() if case.stiff else diffrax.Tsit5(),
                t0=start,
                t1=end,
                dt0=None,
                y0=y.at[0].add(case.dose),
                saveat=diffrax.SaveAt(ts=times, t1=True),
                stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL),
                max_steps=4096,
            )
            states = jnp.asarray(solution.ys)
            return states[-1], states[:-1]

        spans = tuple(jnp.asarray(x) for x in (DOSES, ends, at))
        states = jax.lax.scan(interval, initial_state(model, p), spans)[1][place, slot]
        seen = jax.vmap(lambda t, y: model.observe(t, dict(zip(model.states, y, strict=True)), p)[output])
        return seen(jnp.asarray(SAMPLES), states)

    return jax.vmap(one)


class Timed(NamedTuple):
    """What calling a function costs."""

    compiling: float
    """Seconds to trace and compile it, of the clock."""
    cpu: float
    """CPU seconds of a call."""
    wall: float
    result: object


def timed(function, *arguments, calls: int = 5) -> Timed:
    """Compile and call a function."""
    return together([(function, arguments)], calls, 0.0)[0]


def together(functions: list[tuple], calls: int, seconds: float) -> list[Timed]:
    """Compile functions, then call them in turn, so often and for so long at least: a busy moment meets all alike."""
    made = []
    for function, arguments in functions:
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*arguments).compile()
        compiling = time.perf_counter() - start
        made.append((compiled, arguments, compiling, jax.block_until_ready(compiled(*arguments)), []))
    start, turn = time.perf_counter(), 0
    while turn < calls or time.perf_counter() < start + seconds:
        for compiled, arguments, _, _, costs in made:
            cpu, wall = time.process_time(), time.perf_counter()
            jax.block_until_ready(compiled(*arguments))
            costs.append((time.process_time() - cpu, time.perf_counter() - wall))
        turn += 1
    return [Timed(c, *(min(each) for each in zip(*costs, strict=True)), result) for _, _, c, result, costs in made]


def show(title: str, head: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}\n")
    for row in [head, ["-" * w for w in widths], *rows]:
        cells = [one.rjust(width) for one, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    sys.stdout.flush()


def bench(names: list[str], persons: int) -> None:
    """Compare plain solves, and gradients in all parameters of each person."""
    rows, slopes = [], []
    for name in names:
        case = CASES[name]
        p, few = population(case, persons), population(case, 64)
        mine = timed(ours(case), p)
        other = timed(plain_diffrax(case), few, calls=1)
        outputs, codes = (np.asarray(x) for x in mine.result)
        # Both draw the same first persons only for the same number, so the few are solved again.
        difference = np.asarray(jax.jit(ours(case))(few)[0]) - np.asarray(other.result)
        peak = np.max(np.abs(np.asarray(other.result)), axis=1, keepdims=True)
        agrees = np.max(np.abs(difference) / (1e-3 * peak + np.abs(np.asarray(other.result))))
        speed, theirs = persons / mine.cpu, len(few["KA"]) / other.cpu
        peer = f"{speed / case.peer:.1f}" if case.peer else ""
        solver = type(case.solver).__name__ + (" stiff" if getattr(case.solver, "stiff", False) else "")
        row = [name, solver, f"{speed:,.0f}", f"{theirs:,.0f}", f"{speed / theirs:.1f}", peer]
        rows.append(
            [*row, f"{agrees:.0e}", str(int((codes != 0).sum())), f"{mine.compiling:.2f}", f"{other.compiling:.2f}"]
        )
        assert np.isfinite(outputs).all()
        slopes.append(gradient(name, case, min(persons, 2000)))
    head = ["model", "solver", "persons/CPU s", "diffrax", "ratio", "/ mrgsolve"]
    show(
        f"Solves: {persons:,} persons, 28 doses, 200 samples, rtol {RTOL:g}",
        [*head, "differ", "failed", "compile s", "diffrax compile s"],
        rows,
    )
    head = ["model", "parameters", "gradients/CPU s", "gradient / solve", "1 + parameters", "1 of them", "compile s"]
    show("Gradients of a sum of squares of logarithms in the parameters of each person", head, slopes)


def gradient(name: str, case: Case, persons: int) -> list[str]:
    """Compare the gradient in all parameters, and in one, with the solve of the same persons, called in turn."""
    p, function = population(case, persons), ours(case)

    def loss(changed, p):
        return jnp.sum(jnp.log(jnp.abs(function(p | changed)[0]) + 1e-9) ** 2)

    some = {n: p[n] for n in list(p)[:1]}
    slope = jax.grad(loss)
    every, one, solve = together([(slope, (p, p)), (slope, (some, p)), (function, (p,))], 3, 3.0)
    row = [name, str(len(p)), f"{persons / every.cpu:,.0f}", f"{every.cpu / solve.cpu:.1f}", f"{1 + len(p)}"]
    return [*row, f"{one.cpu / solve.cpu:.1f}", f"{every.compiling:.2f}"]


def scaling(names: list[str]) -> None:
    """Solve more and more persons in blocks that keep only an endpoint: cost linear, memory bounded by the block."""
    rows = []
    for name in names:
        for persons in (1_000, 10_000, 100_000, 1_000_000):
            if persons * (1 if isinstance(CASES[name].solver, Linear) and name != "pbpk15" else 20) <= 2_000_000:
                found = _apart("--one", name, str(persons))
                rows.append([name, f"{persons:,}", f"{found['speed']:,.0f}", f"{found['memory']:.0f}"])
    show("In blocks of 10,000 that keep each person's peak", ["model", "persons", "persons/CPU s", "peak MB"], rows)


def one_block_at_a_time(name: str, persons: int) -> None:
    """Print the speed and the memory of a large population as JSON."""
    import resource

    case, size = CASES[name], min(persons, 10_000)
    function = ours(case)
    p = {n: v.reshape(-1, size) for n, v in population(case, persons).items()}
    found = timed(lambda p: jax.lax.map(lambda block: jnp.max(function(block)[0], axis=1), p), p)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"speed": persons / found.cpu, "wall": found.wall, "memory": memory}))


def cores(names: list[str], persons: int) -> None:
    """Compare the clock of one core with that of two."""
    rows = []
    for name in names:
        walls = [_apart("--one", name, str(persons), cores=count)["wall"] for count in (1, 2)]
        rows.append([name, *(f"{persons / w:,.0f}" for w in walls), f"{walls[0] / walls[1]:.2f}"])
    show(f"Cores: {persons:,} persons", ["model", "persons/s, one core", "two cores", "ratio"], rows)


FLOOR = {"oral_2cpt_mm": 8e7}
"""Persons a second if an H200 did nothing but the float64 arithmetic of the steps, all its units busy."""


def on_gpu(names: list[str], persons: int) -> None:
    """Compare XLA's loop and kernels of our own on a GPU with one core."""
    if jax.default_backend() != "gpu":
        raise SystemExit("--gpu needs an NVIDIA GPU that jax finds: install the extra cuda12 or cuda13.")
    rows = []
    for name in names:
        core = _apart("--one", name, "10000", platforms="cpu")["speed"]
        p = population(CASES[name], persons)
        for ptx in (False, True) if isinstance(CASES[name].solver, Lanes) else (False,):
            rows.append([name, "PTX" if ptx else "XLA", *_on_gpu(name, p, ptx), f"{core:,.0f}"])
    head = ["model", "by", "persons/s", "gradients/s", "failed", "compile s", "gradient's", "of the floor", "one core"]
    show(f"{jax.devices()[0].device_kind}: {persons:,} persons", head, rows)


def _on_gpu(name: str, p: dict[str, jax.Array], ptx: bool) -> list[str]:
    """Measure one case: solves, and gradients in all parameters."""
    case = CASES[name]
    if isinstance(case.solver, Lanes):
        case = case._replace(solver=Lanes(case.stiff, RTOL, ATOL, ptx=ptx))
    function, persons = ours(case), len(next(iter(p.values())))
    plain = timed(function, p)
    slope = timed(jax.grad(lambda p: jnp.sum(function(p)[0] ** 2)), p, calls=3)
    failed, speed = int((np.asarray(plain.result[1]) != 0).sum()), persons / plain.wall
    floor = f"{100 * speed / FLOOR[name]:.1f} %" if name in FLOOR else ""
    times = [f"{plain.compiling:.2f}", f"{slope.compiling:.2f}"]
    return [f"{speed:,.0f}", f"{persons / slope.wall:,.0f}", str(failed), *times, floor]


def _apart(*arguments: str, cores: int = 1, platforms: str = "") -> dict[str, float]:
    """Run this file in a process of its own, on so many cores, on JAX's platforms if given."""
    every = sorted(os.sched_getaffinity(0))[:cores]
    flags = os.environ["XLA_FLAGS"] if cores == 1 else ""
    command = ["taskset", "-c", ",".join(map(str, every)), sys.executable, __file__, *arguments]
    env = os.environ | {"XLA_FLAGS": flags} | ({"JAX_PLATFORMS": platforms} if platforms else {})
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


def ragged(name: str, persons: int) -> None:
    """Solve a data set whose persons have 1 to 200 records."""
    case, random = CASES[name], np.random.default_rng(1)
    tables = []
    for count in random.integers(1, 201, persons):
        doses = max(1, int(count) // 8)
        samples = np.sort(random.uniform(0.0, 24.0 * doses, max(int(count) - doses, 1)))
        tables.append(event_table([Dose(0.0, case.dose, 0, doses - 1, 24.0), *samples.tolist()]))
    grouped, p = batch(tables), population(case, persons)

    def solve(p, grouped):
        pairs = zip(grouped.tables, grouped.members, strict=True)
        each = [({n: v[m] for n, v in p.items()}, table) for table, m in pairs]
        return [jax.vmap(lambda q, t: case.solver(case.model, q, t))(*one).outputs for one in each]

    found = timed(solve, p, grouped, calls=3)
    row = [name, f"{persons:,}", str(len(grouped.tables)), f"{100 * grouped.waste:.0f} %"]
    head = ["model", "persons", "buckets", "padding", "persons/CPU s", "compile s"]
    show("Persons with 1 to 200 records", head, [[*row, f"{persons / found.cpu:,.0f}", f"{found.compiling:.2f}"]])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all if left out")
    parser.add_argument("--persons", type=int, default=10_000)
    for flag in ("scaling", "cores", "ragged", "gpu"):
        parser.add_argument(f"--{flag}", action="store_true", help=f"measure {flag} instead")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return one_block_at_a_time(given.cases[0], int(given.cases[1]))
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    names = given.cases or list(CASES)
    if given.scaling:
        scaling(names)
    elif given.cores:
        cores(names, given.persons)
    elif given.gpu:
        on_gpu(names, 10 * given.persons)
    elif given.ragged:
        for name in names:
            ragged(name, 500)
    else:
        bench(names, given.persons)
    return None


if __name__ == "__main__":
    main()
