#!/usr/bin/env python3
"""Measure simulated trials of times to an event a CPU second, beside rpact's simulation of the same kind of design.

    .venv/bin/python scripts/bench_survival.py [--trials N]

300 patients in two arms, entering over 12 months, log-rank tests at 50, 100 and 150 events with O'Brien-Fleming bounds;
every patient is drawn and every look is analysed. `engine` is the whole trial engine; `statistics` is the tests alone,
as a simulator for this one design would have them. One core; the median of several calls. rpact's getSimulationSurvival
3.3.4 was measured elsewhere, on two cores of an AMD EPYC (R 4.2, Debian 12): 5,100 trials a CPU second.
"""

import argparse
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import ClassVar

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np

from vtrial.design import AbstractDesign, Arm, DesignState, Events, chosen, fresh
from vtrial.dosing import Regimen
from vtrial.statistics.log_rank import log_rank
from vtrial.statistics.ordered import ascending
from vtrial.trial import Clock, Greatest, LogRank, Potential, Rules, Sites, conduct

jax.config.update("jax_enable_x64", True)

RPACT = 5_100
PATIENTS, LOOKS, RATIO = 300, (50, 100, 150), 0.65
BOUNDS = (3.471, 2.454, 2.004)
"""O'Brien and Fleming's for three looks at equal information, one-sided 2.5 %."""
BLOCK = 1_000
"""Trials that are run together, so that their patients stay in the cache."""


class ThreeLooks(AbstractDesign):
    """Equal groups, stopped at the first look beyond its bound."""

    names: ClassVar = ("reference", "test")
    arms: ClassVar = (Arm(Regimen("1 mg", "24 h", 1, "depot")),) * 2
    sizes: ClassVar = (PATIENTS, 0, 0)
    periods: ClassVar[int] = 1
    spacing: ClassVar[str] = ""
    timing: ClassVar = Events(LOOKS)

    def init(self):
        """Start with nothing selected."""
        return fresh(2)

    def allocate(self, key, state, seen, n):
        """Give the arms in random order, equally often."""
        return jax.random.permutation(key, jnp.arange(n) % 2)

    def decide(self, key, state, look):
        """Stop for efficacy."""
        beyond = look.benefit > jnp.asarray(BOUNDS)[look.number]
        return DesignState(chosen(key, look.merit), beyond[1], beyond, jnp.where(beyond[1], 1, 0))

    def describe(self):
        """Say it."""
        return "three looks"


def times(key):
    """Return times to the event of one trial's patients under each arm: median 12 months under the reference."""
    draw = jax.random.exponential(key, (PATIENTS + 1, 1)) * 12 / math.log(2)
    return draw * jnp.asarray([1.0, 1 / RATIO])


def engine(key):
    """Run a block of trials by the engine; return which reject."""
    table = jax.vmap(times)(jax.random.split(key, BLOCK))
    never = jnp.full(table.shape, jnp.inf)
    clock = Clock(np.asarray(1e3), "event")
    rules = Rules(ThreeLooks(), LogRank("reference"), Greatest(), Sites(1, f"{PATIENTS / 12} 1/month"), clock, "month")
    return conduct(key, rules, Potential(table, never, table, {})).rejected[:, 1]


def alone(key):
    """Run a block of trials with nothing but their tests; return which reject."""

    def trial(key):
        two, three = jax.random.split(key)
        arm = jnp.arange(PATIENTS) % 2
        entered = 12 * jax.random.uniform(two, (PATIENTS,))
        time = jnp.take_along_axis(times(three)[:PATIENTS], arm[:, None], 1)[:, 0]
        happened = ascending(entered + time)
        member = arm[:, None] == jnp.arange(2)[None]

        def beyond(number, bound):
            since = happened[number - 1] - entered
            found = log_rank(jnp.minimum(time, since), time <= since, member & (since >= 0)[:, None], reference=0)
            return -found.excess[1] > bound * jnp.sqrt(found.variance[1])

        return jnp.stack([beyond(n, b) for n, b in zip(LOOKS, BOUNDS, strict=True)]).any()

    return jax.vmap(trial)(jax.random.split(key, BLOCK))


def measured(block, trials):
    """Return trials a CPU second, seconds of compiling, and the share that reject."""
    keys = jax.random.split(jax.random.key(1), trials // BLOCK)
    start = time.perf_counter()
    compiled = jax.jit(lambda k: jax.lax.map(block, k)).lower(keys).compile()
    compiling, costs = time.perf_counter() - start, []
    for _ in range(4):
        cpu = time.process_time()
        found = jax.block_until_ready(compiled(keys))
        costs.append(time.process_time() - cpu)
    return trials / statistics.median(costs[1:]), compiling, float(found.mean())


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    print("part        trials/CPU s  x rpact  compile s  reject")
    for name, block in (("engine", engine), ("statistics", alone)):
        speed, compiling, share = measured(block, trials)
        print(f"{name:<10} {speed:>13,.0f} {speed / RPACT:>8.1f} {compiling:>10.1f} {share:>7.3f}")


if __name__ == "__main__":
    main()
