import jax
import numpy as np
import pytest
import xarray as xr

from tests.helpers import theophylline
from vtrial import schema
from vtrial.diagnose import Gate, fit_health
from vtrial.errors import UserError
from vtrial.inference import groups

STATISTICAL = theophylline(correlation=None)


def fit(chains=4, n=500, shift=0.0, contraction=1.0):
    """A made-up fit: independent draws, the last chain shifted, CL narrower than its prior."""
    random = np.random.default_rng(0)
    dims = (schema.CHAIN, schema.DRAW)
    prior = groups.prior(jax.random.key(0), STATISTICAL)
    values = {n_: (dims, random.normal(10.0, 1.0, (chains, n))) for n_ in STATISTICAL.priors()}
    cl = random.normal(10.0, float(prior["CL"].std()) * contraction, (chains, n))
    cl[-1] += shift
    values["CL"] = (dims, cl)
    etas = {f"{e}_eta": ((*dims, schema.SUBJECT), random.normal(0, 1.0, (chains, n, 12))) for e in ("CL", "VC", "KA")}
    stats = xr.Dataset(
        {"diverging": (dims, np.zeros((chains, n), bool)), "energy": (dims, random.normal(size=(chains, n)))}
    )
    return xr.Dataset(values | etas), stats, prior


def test_a_sound_fit_passes():
    health = fit_health(*fit(contraction=0.5), STATISTICAL)
    judged = Gate().judge(health)
    assert judged.attrs["gate_passed"]
    Gate().enforce(judged)
    assert float(health["contraction"].sel(parameter="CL")) == pytest.approx(0.75, abs=0.05)  # 1 - 0.5^2
    assert float(health["ess_bulk"].min()) > 1500  # of 2,000 independent draws


def test_a_chain_elsewhere_is_named():
    judged = Gate().judge(fit_health(*fit(shift=5.0), STATISTICAL))
    assert not judged.attrs["gate_passed"]
    assert judged["culprit"].to_numpy()[0] == "CL"
    with pytest.raises(UserError, match=r"R-hat .* of CL must be below 1\.01"):
        Gate().enforce(judged)


def test_forcing_goes_on_and_says_so():
    gate = Gate(force=True)
    judged = gate.judge(fit_health(*fit(shift=5.0), STATISTICAL))
    gate.enforce(judged)
    assert judged.attrs["gate_forced"]


def test_divergences_and_constants_fail():
    posterior, stats, prior = fit()
    stats["diverging"][0, 3] = True
    with pytest.raises(UserError, match="divergences 1 must be at most 0"):
        Gate().enforce(Gate().judge(fit_health(posterior, stats, prior, STATISTICAL)))
    judged = Gate().judge(fit_health(*fit(), STATISTICAL).assign(r_hat=lambda d: d["r_hat"] * np.nan))
    assert not judged.attrs["gate_passed"]


def test_shrinkage_is_one_where_etas_do_not_differ():
    posterior, stats, prior = fit()
    health = fit_health(posterior, stats, prior, STATISTICAL)
    # Etas averaged over 2,000 draws of noise have SD about 1/45, against an omega of 10.
    assert float(health["shrinkage"].sel(parameter="CL_iiv")) == pytest.approx(1.0, abs=0.01)
    assert np.isnan(health["shrinkage"].sel(parameter="CL"))
