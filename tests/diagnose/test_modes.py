"""Chains in different modes are reported, with the parameters; the flip-flop trap of one-compartment oral models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import half, theophylline
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.diagnose.modes import modes
from vtrial.errors import UserError
from vtrial.inference import Nuts, groups, mcmc
from vtrial.likelihood import StatisticalModel
from vtrial.population import LogNormalPrior, Parameter, Population


def columns(chains=4, draws=200, **shifts):
    """Independent log-normal draws of CL, VC and KA, some chains shifted on the log scale."""
    random = np.random.default_rng(0)
    found = {n: np.exp(random.normal(0, 0.1, (chains, draws))) for n in ("CL", "VC", "KA")}
    for name, shift in shifts.items():
        found[name] = found[name] * np.exp(np.asarray(shift))[:, None]
    return found


def test_chains_that_agree_are_one_mode():
    assert modes(columns()) == (1, "", ())
    assert modes(columns(KA=[0, 0, 0, 0.15])).count == 1


def test_a_chain_apart_is_named_with_its_parameters():
    found = modes(columns(KA=[0, 0, 0, 2.0], VC=[0, 0, 0, -1.0]))
    assert (found.count, found.parameters) == (2, ("KA", "VC"))
    assert "chains 0, 1, 2 at KA" in found.sentence
    assert "chain 3 at KA 7" in found.sentence


def test_three_modes_and_flip_flop():
    assert modes(columns(KA=[0, 0, 2.0, -2.0])).count == 3
    shift = {"KA": [2.0, 2.0, -2.0, -2.0], "VC": [2.0, 2.0, -2.0, -2.0]}
    assert "flip-flop" in modes(columns(**shift)).sentence
    assert "flip-flop" not in modes(columns(KA=[0, 0, 2.0, 4.0], CL=[-9] * 4)).sentence


def test_a_chain_that_drifts_is_of_no_mode():
    drifting = columns()
    drifting["KA"][3] *= np.exp(np.linspace(0, 5, 200))
    assert modes(drifting).count == 1


@pytest.fixture(scope="module")
def wide():
    """Priors of SD 1 on the log scale, as in the benchmark that fell into the trap."""
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(2.7, 1.0), half(0.5)),
            "VC": Parameter("L", LogNormalPrior(33.0, 1.0), half(0.5)),
            "KA": Parameter("1/h", LogNormalPrior(1.5, 1.0), half(0.5)),
        }
    )
    known = theophylline(correlation=None)
    return StatisticalModel(known.model, population.for_model(known.model), known.solver, known.noise)


def judged(found, statistical):
    prior = groups.prior(jax.random.key(1), statistical)
    return Gate().judge(fit_health(found[schema.POSTERIOR], found[schema.SAMPLE_STATS], prior, statistical))


SAMPLER = Nuts(chains=4, warmup=300, draws=200, target_accept=0.8, centring="none")


def test_the_flip_flop_trap_is_reported(wide, data, monkeypatch):
    """Two chains start on the mirror side, where random starts of this posterior put one or two of four."""
    real = mcmc.starts

    def mirrored(*arguments, **settings):
        point = dict(real(*arguments, **settings))
        side = jnp.array([0.0, 0.0, 1.0, 1.0])
        rate = point["CL"] - point["VC"]
        point["KA"], point["VC"] = point["KA"] + side * (rate - point["KA"]), point["VC"] + side * (rate - point["KA"])
        return point

    monkeypatch.setattr(mcmc, "starts", mirrored)
    verdict = judged(SAMPLER(jax.random.key(3), wide, data), wide)
    assert float(verdict["modes"]) == 2
    assert not verdict.attrs["gate_passed"]
    with pytest.raises(UserError, match=r"modes 2 must be 1.*different modes: .*chains 0, 1 at .*flip-flop"):
        Gate().enforce(verdict)


def test_a_start_at_the_medians_does_not_fall_in(wide, data):
    found = SAMPLER(jax.random.key(3), wide, data)
    assert float(judged(found, wide)["modes"]) == 1
    assert (
        float(
            (found[schema.POSTERIOR]["KA"] > 3 * found[schema.POSTERIOR]["CL"] / found[schema.POSTERIOR]["VC"]).mean()
        )
        == 1
    )
