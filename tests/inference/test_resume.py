"""An inference that is killed and run again gives the draws of one that was not, bit for bit."""

import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import ROOT, theophylline
from tests.inference.cases import MCMC
from vtrial import schema
from vtrial.inference import Checkpoint, Nuts, Svi, walk
from vtrial.solve import AbstractSolver, Auto, Profile, ResultCode

MOST = 5.0
"""1/h: more than any but one of the subjects has."""
SAMPLERS = MCMC | {"svi": Svi(steps=1000, draws=100, candidates=100)}


class DiesAfter(Checkpoint):
    """Saves after every chunk, and is interrupted after some saves."""

    def __init__(self, folder, saves):
        super().__init__(folder, every=0.0)
        self.saves = saves

    def save(self, done, state, fresh):
        super().save(done, state, fresh)
        self.saves -= 1
        if self.saves == 0:
            raise KeyboardInterrupt


class Fragile(AbstractSolver):
    """Another solver, to which people with a large KA are too hard."""

    solver: AbstractSolver

    def __call__(self, model, p, events, *, key=None):
        found = self.solver(model, p, events, key=key)
        return Profile(found.outputs, jnp.where(p["KA"] > MOST, ResultCode.STEP_LIMIT, found.code))

    def check(self, model, p):
        return self.solver.check(model, p)


@pytest.fixture(scope="module")
def statistical():
    return theophylline(solver=Fragile(Auto()))


@pytest.fixture(scope="module")
def whole(statistical, data):
    return {name: s(jax.random.key(0), statistical, data) for name, s in SAMPLERS.items()}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("saves", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_to_the_same_draws(name, saves, whole, statistical, data, tmp_path):
    """After 1 save it is in the middle of the warm-up, after 4 among the draws."""
    with pytest.raises(KeyboardInterrupt):
        SAMPLERS[name](jax.random.key(0), statistical, data, checkpoint=DiesAfter(tmp_path / "c", saves))
    found = SAMPLERS[name](jax.random.key(0), statistical, data, checkpoint=Checkpoint(tmp_path / "c"))
    for group in (schema.POSTERIOR, schema.SAMPLE_STATS):
        assert found[group].identical(whole[name][group])


@pytest.mark.parametrize("name", MCMC)
def test_solves_that_failed_on_the_way_are_counted(name, whole):
    """In trajectories that diverged, one or more subjects each; the posterior ends where they fail."""
    posterior, stats = whole[name][schema.POSTERIOR], whole[name][schema.SAMPLE_STATS]
    failed = stats["failed_solves"]
    assert failed.sel(code=ResultCode.STEP_LIMIT).sum() == failed.sum()
    assert failed.sel(phase="warm-up").sum() > 0
    assert failed.sel(phase="sampling").max() <= stats["diverging"].sum()
    assert posterior["KA_individual"].max() < MOST


def test_they_are_counted_after_the_warm_up_too(whole):
    assert sum(int(whole[n][schema.SAMPLE_STATS]["failed_solves"].sel(phase="sampling").sum()) for n in MCMC) > 0


KILLED = """
import os, signal, sys
import jax
from tests.helpers import theophylline, theophylline_data
from tests.inference.cases import MCMC
from vtrial.inference import Checkpoint, walk
class Killed(Checkpoint):
    def save(self, done, state, fresh):
        super().save(done, state, fresh)
        if done == 170:
            os.kill(os.getpid(), signal.SIGKILL)
MCMC[sys.argv[1]](jax.random.key(0), theophylline(), theophylline_data(), checkpoint=Killed(sys.argv[2], 0.0))
"""


def test_kill_9_in_another_process(whole, statistical, data, tmp_path):
    folder = tmp_path / "c"
    script = KILLED.replace("sys.argv[2], 0.0", "__import__('pathlib').Path(sys.argv[2]), 0.0")
    command = [sys.executable, "-W", "error", "-c", script, "cross_chain", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (folder / "part_000099.npz.partial").write_bytes(b"half")  # a kill in the middle of writing leaves this
    found = MCMC["cross_chain"](jax.random.key(0), statistical, data, checkpoint=Checkpoint(folder))
    assert found[schema.POSTERIOR].identical(whole["cross_chain"][schema.POSTERIOR])


@pytest.mark.slow
def test_the_state_of_something_else_is_thrown_away(statistical, data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        MCMC["nuts"](jax.random.key(0), statistical, data, checkpoint=DiesAfter(tmp_path / "c", 1))
    other = Nuts(chains=2, warmup=20, draws=10)
    found = other(jax.random.key(0), statistical, data, checkpoint=Checkpoint(tmp_path / "c"))
    assert found[schema.POSTERIOR].identical(other(jax.random.key(0), statistical, data)[schema.POSTERIOR])


def test_a_resumed_run_does_not_start_anew(statistical, data, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        MCMC["nuts"](jax.random.key(0), statistical, data, checkpoint=DiesAfter(tmp_path / "c", 3))
    begun = []
    real = walk.Progress
    monkeypatch.setattr(walk, "Progress", lambda total, done: begun.append(done) or real(total, done))
    found = MCMC["nuts"](jax.random.key(0), statistical, data, checkpoint=Checkpoint(tmp_path / "c"))
    assert begun == [120]
    assert np.isfinite(found[schema.POSTERIOR]["CL"]).all()
