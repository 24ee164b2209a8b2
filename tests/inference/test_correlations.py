"""Correlations of etas that are fixed or known, through the inferences: from a prior draw to the fit's health."""

import jax
import numpy as np
import pytest

from tests.helpers import theophylline
from vtrial import schema
from vtrial.diagnose import fit_health
from vtrial.diagnose.columns import population_columns
from vtrial.inference import Laplace, Nuts, Prior, groups
from vtrial.likelihood import StatisticalModel
from vtrial.population import FixedCorrelation, KnownCorrelation, Population

PAIRS = {"VC": {"CL": 0.5}}


def with_blocks(*blocks):
    base = theophylline()
    named = dict(zip(base.population.names, base.population.parameters, strict=True))
    return StatisticalModel(base.model, Population(named, blocks=blocks).for_model(base.model), base.solver, base.noise)


@pytest.mark.slow
@pytest.mark.parametrize(
    "inference",
    [Prior(draws=50), Laplace(draws=50, samples=8), Nuts(chains=2, warmup=150, draws=100)],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("block", [FixedCorrelation(PAIRS), KnownCorrelation(PAIRS, 403)], ids=["fixed", "known"])
def test_what_is_known_stays(inference, block, data):
    """Twelve subjects say little against 400: a fixed correlation stays at 0.5, a known one near it.

    Fisher's z has the SD 0.05 of its prior, and that of its mean over 50 effective draws is 0.007; the data's share
    of what is known is at most 12 / 412, which moves z by 0.03 for every unit that the data's own z is away: at most 2.
    """
    statistical = with_blocks(block)
    found = inference(jax.random.key(0), statistical, data)
    posterior = found[schema.POSTERIOR]
    z = np.arctanh(population_columns(posterior, statistical)["corr_CL_VC"])
    if isinstance(block, FixedCorrelation):
        np.testing.assert_allclose(z, np.arctanh(0.5), rtol=1e-12)
    else:
        assert abs(z.mean() - np.arctanh(0.5)) < 2 * 12 / 412 + 4 * 0.007
        assert 0.03 < z.std() < 0.07
    etas = np.stack([posterior[f"{n}_eta"].to_numpy() for n in ("CL", "VC", "KA")])
    assert np.isfinite(etas).all()
    prior = groups.prior(jax.random.key(2), statistical)
    health = fit_health(posterior, found[schema.SAMPLE_STATS], prior, statistical)
    assert "corr_CL_VC" in health["parameter"].to_numpy()
