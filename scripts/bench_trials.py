#!/usr/bin/env python3
"""Measure the trial engine: simulated trials a CPU second, patients included, beside other simulators of trials.

    .venv/bin/python scripts/bench_trials.py [PART ...] [--trials N]

Every part draws its patients' potential outcomes and runs the trials on them, all in one compiled program on one core;
speeds are the median of several calls. The figures of other programs were measured elsewhere, on two cores of an AMD
EPYC (R 4.2, Debian 12): ratios to them compare machines as well. R's rpact 3.3.4 simulates means from test statistics,
ours has patients; both have them in survival. BOIN's get.oc and dfcrm's crmsim simulate 30 patients at 5 doses, as
here.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial.design import (
    BOIN,
    CRM,
    AbstractDesign,
    Arm,
    Events,
    GroupSequential,
    Parallel,
    ThreePlusThree,
    revealed,
)
from vtrial.dosing import Regimen
from vtrial.statistics.boundaries import WangTsiatis
from vtrial.statistics.log_rank import log_rank
from vtrial.statistics.ordered import nth
from vtrial.trial import (
    AbstractAnalysis,
    Ancova,
    AtOnce,
    Clock,
    Closest,
    Greatest,
    LogRank,
    Means,
    Mmrm,
    Potential,
    Proportions,
    Rules,
    Sites,
    Trials,
    conduct,
)

jax.config.update("jax_enable_x64", True)

BLOCK = 250
"""Trials that are run together, so that their patients stay in the cache."""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    speed: float
    """Trials a CPU second."""
    peer: str
    theirs: float | None
    """The same of another program."""
    compiling: float
    """Seconds of the clock to trace and compile."""
    check: str
    """What the trials found, to be compared with what is known of the design."""


def many[T](block: Callable[[Key[Array, ""]], T], trials: int) -> Callable[[Key[Array, ""]], T]:
    """Return the function that runs trials block by block, each with its own key."""

    def run(key):
        found = jax.lax.map(block, jax.random.split(key, trials // BLOCK))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)

    return run


def timed[T](function: Callable[[Key[Array, ""]], T], key: Key[Array, ""], calls: int = 5) -> tuple[float, float, T]:
    """Compile and call a function; return seconds of compiling, CPU seconds of a call, and its result."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(key).compile()
    compiling, costs = time.perf_counter() - start, []
    result = jax.block_until_ready(compiled(key))
    for _ in range(calls):
        cpu = time.process_time()
        jax.block_until_ready(compiled(key))
        costs.append(time.process_time() - cpu)
    return compiling, statistics.median(costs), result


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    head = ["part", "trials/CPU s", "other program", "its trials/CPU s", "ratio", "compile s", "found"]
    lines = []
    for r in rows:
        other = [f"{r.theirs:,.0f}", f"{r.speed / r.theirs:,.2f}"] if r.theirs else ["", ""]
        lines.append([r.name, f"{r.speed:,.0f}", r.peer, *other, f"{r.compiling:.1f}", r.check])
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    print(f"\n{title}\n")
    for line in [head, ["-" * w for w in widths], *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    sys.stdout.flush()


PER_ARM, EFFECT = 100, 0.4


def analysing(analysis: AbstractAnalysis, visits: int) -> Callable[[Key[Array, ""]], Array]:
    """Return a block of two-arm trials with patients drawn, analysed; with visits, a third of patients leave."""
    shape = (BLOCK, 2 * PER_ARM, visits) if visits else (BLOCK, 2 * PER_ARM)
    arm = jnp.arange(2 * PER_ARM) % 2

    def block(key):
        baseline, later, leaving = jax.random.split(key, 3)
        x = jax.random.normal(baseline, shape[:2])
        both = 0.6 * x + EFFECT * arm[None]
        outcome = (both[..., None] if visits else both) + 0.8 * jax.random.normal(later, shape)
        if visits:
            left = jax.random.randint(leaving, shape[:2], 1, visits * 2)
            outcome = jnp.where(jnp.arange(visits) < left[..., None], outcome, jnp.nan)

        def one(y, x):
            return analysis.compare(revealed(arm, y, covariates={"x": x}), 2, 0).p[1]

        return jax.vmap(one)(outcome, x)

    return block


def conducting() -> Callable[[Key[Array, ""]], Array]:
    """Return a block of the same trials conducted: patients enrolled, randomised and seen by the engine."""
    arms = dict.fromkeys(("a", "b"), Arm(Regimen("1 mg", "24 h", 1, "depot")))
    rules = Rules(Parallel(arms, PER_ARM), Means("a"), Greatest(), AtOnce(), Clock(np.asarray(1.0), "value"), "week")

    def block(key):
        noise = jax.random.normal(jax.random.fold_in(key, 0), (BLOCK, 2 * PER_ARM + 1, 1))
        outcome = noise + EFFECT * jnp.arange(2.0)
        trials = conduct(key, rules, Potential(outcome, jnp.full(outcome.shape, jnp.inf), outcome, {}))
        return trials.comparison.p[:, 1]

    return block


def means(trials: int) -> list[Row]:
    """Measure comparisons of means: two arms of 100 patients."""
    rows = []
    for name, block, number in (
        ("t-test, conducted", conducting(), trials),
        ("t-test", analysing(Means("a"), 0), trials),
        ("ANCOVA", analysing(Ancova("a", ["x"]), 0), trials),
        ("MMRM, 4 visits", analysing(Mmrm("a", ["x"]), 4), max(trials // 20 // BLOCK, 1) * BLOCK),
    ):
        compiling, cpu, p = timed(many(block, number), jax.random.key(1))
        power = f"power {float((p < 0.05).mean()):.3f}"
        rows.append(Row(name, number / cpu, "rpact means", 49_000, compiling, power))
    return rows


TOXICITY = (0.05, 0.15, 0.3, 0.45, 0.6)


def escalating(design: AbstractDesign) -> Callable[[Key[Array, ""]], Trials]:
    """Return a block of escalations with patients drawn: each tolerates doses up to one of its own."""
    rules = Rules(design, Proportions("d1"), Closest(0.3), AtOnce(), Clock(np.asarray(1.0), "value"), "week")
    needed = sum(design.sizes)

    def block(key):
        tolerance = jax.random.uniform(jax.random.fold_in(key, 0), (BLOCK, needed + 1, 1))
        toxic = (tolerance < jnp.asarray(TOXICITY)).astype(float)
        return conduct(key, rules, Potential(toxic, jnp.full(toxic.shape, jnp.inf), toxic, {}))

    return block


def escalation(trials: int) -> list[Row]:
    """Measure dose escalation: 30 patients at 5 doses in cohorts of three."""
    arms = dict.fromkeys(("d1", "d2", "d3", "d4", "d5"), Arm(Regimen("1 mg", "24 h", 1, "depot")))
    rows = []
    for design, peer, theirs in (
        (BOIN(arms, 0.3), "BOIN get.oc", 1_000),
        (CRM(arms, 0.3), "dfcrm crmsim", 100),
        (ThreePlusThree(arms), "", None),
    ):
        compiling, cpu, found = timed(many(escalating(design), trials), jax.random.key(1))
        right = float((np.asarray(found.selected) == 2).mean())
        name = type(design).__name__
        rows.append(Row(name, trials / cpu, peer, theirs, compiling, f"selects the MTD in {100 * right:.0f} %"))
    return rows


PATIENTS, LOOKS, RATIO = 300, (50, 100, 150), 0.65
"""Patients entering over 12 months, events at each look, and the hazard ratio."""


def times(key: Key[Array, ""], patients: int) -> Float[Array, "trial patient arm"]:
    """Return times to the event under each arm of a block of trials: median 12 months under the reference."""
    draw = jax.random.exponential(key, (BLOCK, patients, 1)) * 12 / math.log(2)
    return draw * jnp.asarray([1.0, 1 / RATIO])


def following() -> Callable[[Key[Array, ""]], Array]:
    """Return a block of group sequential trials of events, conducted; which of them reject."""
    arms = dict.fromkeys(("reference", "test"), Arm(Regimen("1 mg", "24 h", 1, "depot")))
    design = GroupSequential(arms, (PATIENTS, 0, 0), "reference", WangTsiatis(0.0), timing=Events(LOOKS))
    clock, sites = Clock(np.asarray(1e3), "event"), Sites(1, f"{PATIENTS / 12} 1/month")
    rules = Rules(design, LogRank("reference"), Greatest(), sites, clock, "month")

    def block(key):
        table = times(key, PATIENTS + 1)
        never = jnp.full(table.shape, jnp.inf)
        return conduct(key, rules, Potential(table, never, table, {})).rejected[:, 1]

    return block


def testing() -> Callable[[Key[Array, ""]], Array]:
    """Return a block of the same trials with nothing but their tests, as a simulator of this one design has them."""
    bounds = WangTsiatis(0.0).bounds(tuple(n / LOOKS[-1] for n in LOOKS), 0.025)
    arm = jnp.arange(PATIENTS) % 2
    member = arm[:, None] == jnp.arange(2)[None]

    def trial(entered, time):
        happened = entered + time

        def beyond(number, bound):
            since = nth(happened, jnp.asarray(number)) - entered
            found = log_rank(jnp.minimum(time, since), time <= since, member & (since >= 0)[:, None], reference=0)
            return -found.excess[1] > bound * jnp.sqrt(found.variance[1])

        return jnp.stack([beyond(n, b) for n, b in zip(LOOKS, bounds, strict=True)]).any()

    def block(key):
        two, three = jax.random.split(key)
        time = jnp.take_along_axis(times(three, PATIENTS), arm[None, :, None], 2)[..., 0]
        return jax.vmap(trial)(12 * jax.random.uniform(two, time.shape), time)

    return block


def survival(trials: int) -> list[Row]:
    """Measure log-rank tests at three looks with O'Brien-Fleming bounds."""
    rows = []
    for name, block in (("log-rank, conducted", following()), ("log-rank", testing())):
        compiling, cpu, rejected = timed(many(block, trials), jax.random.key(1))
        power = f"power {float(rejected.mean()):.3f}"
        rows.append(Row(name, trials / cpu, "rpact survival", 5_100, compiling, power))
    return rows


STUDY = (
    "-cn theophylline data=none inference=prior inference.draws=2500 "
    "population=theophylline_bioequivalence cohort=adults"
).split()
"""Three regimens of a model with a closed form, from published numbers: nothing is fitted."""


def whole(trials: int) -> list[Row]:
    """Measure whole runs, from the command to the report: 3 arms of 100 patients, each simulated under every arm."""
    rows = []
    for number in (trials // 4, trials // 2, trials):
        with tempfile.TemporaryDirectory() as folder:
            settings = [f"cohort.replicates={number}", "cohort.subjects=400", "design.per_arm=100"]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "vtrial", *STUDY, *settings, f"directory={folder}/run"]
            subprocess.run(command, check=True, capture_output=True)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
            seconds = json.loads((Path(folder) / "run" / "manifest.json").read_text())["seconds"]
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        compiling = sum(spent for stage, spent in seconds.items() if stage.endswith("compiling"))
        said = f"{wall:.1f} s of the clock, {cpu:.1f} CPU s"
        rows.append(Row(f"{number:,} trials", number / cpu, "", None, compiling, said))
    return rows


PARTS = {
    "means": (f"Means: two arms of {PER_ARM} patients", means, 20_000),
    "survival": (f"Times to events: {PATIENTS} patients, three looks", survival, 10_000),
    "whole": ("Whole runs: 3 arms of 100 patients, closed form", whole, 1_000),
    "escalation": ("Dose escalation: 30 patients at most, 5 doses", escalation, 20_000),
}
"""Title, function and number of trials of each part."""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if left out")
    parser.add_argument("--trials", type=int, help="instead of each part's own number; a multiple of 250")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in given.parts or list(PARTS):
        title, part, trials = PARTS[name]
        show(title, part(given.trials or trials))


if __name__ == "__main__":
    main()
