import jax
import numpy as np
import pytest
import xarray as xr
from arviz_stats import bfmi, ess, mcse, rhat

from tests.helpers import theophylline
from vtrial import schema
from vtrial.diagnose import Gate, fit_health, parameter_table
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
    assert float(health["ess_bulk"].min()) > 1500  # of 2,000 independent draws


def test_contraction_of_a_log_normal_parameter_is_that_of_its_logarithm():
    """Five times the prior median and half as wide in logarithms: 1 - 0.5^2, though its SD is larger."""
    posterior, stats, prior = fit()
    middle, width = float(np.log(prior["CL"]).mean()), float(np.log(prior["CL"]).std())
    draws = np.random.default_rng(1).normal(middle + np.log(5.0), 0.5 * width, posterior["CL"].shape)
    posterior["CL"] = posterior["CL"].dims, np.exp(draws)
    assert posterior["CL"].std() > prior["CL"].std()
    found = fit_health(posterior, stats, prior, STATISTICAL)["contraction"]
    error = 4 * 0.5 / np.sqrt(2 * draws.size)  # of the ratio of variances: 2 x 0.25 / sqrt(2 n)
    assert float(found.sel(parameter="CL")) == pytest.approx(0.75, abs=error)
    narrow = 1 - (float(posterior["CL_iiv"].std(ddof=1)) / float(prior["CL_iiv"].std())) ** 2
    assert float(found.sel(parameter="CL_iiv")) == pytest.approx(narrow, rel=1e-9)  # half-normal: of itself


def test_convergence_is_that_of_arviz():
    posterior, stats, prior = fit(shift=0.4)
    health = fit_health(posterior, stats, prior, STATISTICAL)
    other = posterior[list(STATISTICAL.priors())]
    for name, found in {
        "r_hat": rhat(other),
        "ess_bulk": ess(other, method="bulk"),
        "ess_tail": ess(other, method="tail", prob=(0.05, 0.95)),
        "mcse_mean": mcse(other),
        "mcse_upper": mcse(other, method="quantile", prob=0.975),
    }.items():
        for parameter in other:
            assert float(health[name].sel(parameter=parameter)) == pytest.approx(float(found[parameter]), rel=1e-12)
    assert float(health["e_bfmi"]) == pytest.approx(float(bfmi(stats)["energy"].min()))


def test_a_chain_elsewhere_is_named():
    judged = Gate().judge(fit_health(*fit(shift=5.0), STATISTICAL))
    assert not judged.attrs["gate_passed"]
    assert judged["culprit"].to_numpy()[0] == "CL"
    with pytest.raises(UserError, match=r"R-hat .* of CL must be below 1\.01"):
        Gate().enforce(judged)


def test_chains_in_two_modes_are_told_from_chains_that_mix_badly():
    apart = fit_health(*fit(shift=9.0), STATISTICAL)
    assert "chains 0, 1, 2 at CL 9.98; chain 3 at CL 19.1" in apart.attrs["modes"]
    with pytest.raises(UserError, match=r"give an order to parameters.*modes 2 must be 1 \(Chains sit in different"):
        Gate().enforce(Gate().judge(apart))
    posterior, stats, prior = fit()
    posterior["CL"] = posterior["CL"] + 9.0 * np.linspace([0, 0, 0, 0], [0, 0, 0, 1], posterior.sizes["draw"]).T
    drifting = fit_health(posterior, stats, prior, STATISTICAL)
    assert drifting.attrs["modes"] == ""
    with pytest.raises(UserError, match=r"raise inference\.warmup"):
        Gate().enforce(Gate().judge(drifting))


def test_forcing_goes_on_and_says_so():
    gate = Gate(force=True)
    judged = gate.judge(fit_health(*fit(shift=5.0), STATISTICAL))
    gate.enforce(judged)
    assert judged.attrs["gate_forced"]


def test_divergences_are_counted_or_a_share():
    posterior, stats, prior = fit()
    stats["diverging"][1, 3] = True
    health = fit_health(posterior, stats, prior, STATISTICAL)
    with pytest.raises(UserError, match=r"divergences 1 of chain 1 must be at most 0 \(raise inference\.target_accept"):
        Gate().enforce(Gate().judge(health))
    assert Gate(divergences=1).judge(health).attrs["gate_passed"]
    assert Gate(divergences=0.001).judge(health).attrs["gate_passed"]  # 1 of 2,000
    assert not Gate(divergences=0.0004).judge(health).attrs["gate_passed"]


def test_a_statistic_that_is_no_number_fails():
    judged = Gate().judge(fit_health(*fit(), STATISTICAL).assign(r_hat=lambda d: d["r_hat"] * np.nan))
    assert not judged.attrs["gate_passed"]


@pytest.mark.parametrize(
    ("gate", "changed", "sentence"),
    [
        (Gate(), {"ess_tail": 399.0}, r"tail ESS 399 of CL must be above 400 \(raise inference\.draws\)"),
        (Gate(ess_tail=3000.0), {}, r"tail ESS .* must be above 3000"),
        (Gate(), {"mcse_ratio": 0.2}, r"MCSE/SD 0\.2 of CL must be below 0\.1"),
        (Gate(), {"tree_depth_share": 0.06}, r"greatest tree depth 0\.06 must be .* \(raise inference\.max_tree_depth"),
        (Gate(), {"e_bfmi": 0.2, "e_bfmi_chain": 2}, r"E-BFMI 0\.2 of chain 2 must be above 0\.3"),
    ],
)
def test_every_check_can_fail(gate, changed, sentence):
    health = fit_health(*fit(), STATISTICAL)
    with pytest.raises(UserError, match=sentence):
        gate.enforce(gate.judge(health.assign({n: xr.full_like(health[n], v) for n, v in changed.items()})))


def test_tree_depth_saturation_is_a_share():
    posterior, stats, prior = fit(n=100)
    stats["n_steps"] = stats["diverging"] * 0 + 7
    stats["n_steps"][0, :20] = 1023
    stats.attrs["max_tree_depth"] = 10
    assert float(fit_health(posterior, stats, prior, STATISTICAL)["tree_depth_share"]) == 20 / 400


def test_a_fixed_parameter_is_skipped_and_a_stuck_one_is_not():
    posterior, stats, prior = fit()
    posterior["VC"] = xr.full_like(posterior["VC"], 30.0)
    stuck = fit_health(posterior, stats, prior, STATISTICAL)
    with pytest.raises(UserError, match="R-hat nan of VC"):
        Gate().enforce(Gate().judge(stuck))
    prior["VC"] = xr.full_like(prior["VC"], 30.0)
    fixed = fit_health(posterior, stats, prior, STATISTICAL)
    assert fixed["fixed"].sel(parameter="VC")
    assert Gate().judge(fixed).attrs["gate_passed"]
    assert parameter_table(fixed, posterior, prior, STATISTICAL)["median"].sel(parameter="VC") == 30.0


@pytest.mark.parametrize(("k", "passed"), [(0.5, True), (0.9, False), (np.nan, False), (None, True)])
def test_independent_draws_are_judged_by_what_applies_to_them(k, passed):
    """A chain shifted by chance says nothing; the Pareto k of an approximation does, and the prior has none."""
    posterior, stats, prior = fit(shift=0.2)
    stats = stats[["diverging"]].assign_attrs({"observations_used": 0} if k is None else {"pareto_k": k})
    judged = Gate().judge(fit_health(posterior, stats, prior, STATISTICAL))
    assert judged.attrs["gate_passed"] == passed
    assert "R-hat" not in judged["check"].to_numpy()
    assert ("Pareto k" in judged["check"].to_numpy()) == (k is not None)


def test_a_subject_can_be_made_to_stop_the_trial():
    loo = xr.Dataset({"pareto_k": ("subject", [0.2, 0.9])}, {"subject": ["7", "12"]})
    health = fit_health(*fit(), STATISTICAL)
    assert Gate().judge(health, loo).attrs["gate_passed"]
    with pytest.raises(UserError, match=r"Pareto k of a subject 0\.9 of ID 12 must be below 0\.7"):
        Gate(subject_pareto_k=0.7).enforce(Gate(subject_pareto_k=0.7).judge(health, loo))


def test_shrinkage_is_the_hand_formula_in_both_forms():
    posterior, stats, prior = fit()
    random = np.random.default_rng(5)
    ebe = random.normal(0, 6.0, 12)
    posterior["CL_eta"] = posterior["CL_eta"] * 0 + xr.DataArray(ebe, dims="subject")
    posterior["CL_iiv"] = xr.full_like(posterior["CL_iiv"], 10.0) + 0.1 * random.normal(size=(4, 500))
    health = fit_health(posterior, stats, prior, STATISTICAL).sel(parameter="CL_iiv")
    omega = float(posterior["CL_iiv"].mean())
    assert float(health["shrinkage"]) == pytest.approx(1 - np.std(ebe, ddof=1) / omega, rel=1e-12)
    assert float(health["shrinkage_variance"]) == pytest.approx(1 - np.var(ebe, ddof=1) / omega**2, rel=1e-12)


def test_shrinkage_is_one_where_etas_do_not_differ():
    posterior, stats, prior = fit()
    health = fit_health(posterior, stats, prior, STATISTICAL)
    # Etas averaged over 2,000 draws of noise have SD about 1/45, against an omega of 10.
    assert float(health["shrinkage"].sel(parameter="CL_iiv")) == pytest.approx(1.0, abs=0.01)
    assert np.isnan(health["shrinkage"].sel(parameter="CL"))
