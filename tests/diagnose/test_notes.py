"""Sentences on bad input: each case says its own, and a sound fit says none."""

import jax
import numpy as np
import pytest
import xarray as xr

from tests.diagnose.test_health import STATISTICAL
from tests.helpers import table, theophylline
from vtrial import schema
from vtrial.diagnose import data_notes, fit_health, fit_notes
from vtrial.inference import groups

N = (4, 500)


def notes(**changes):
    """Notes on a fit whose parameters are all well known, but for changes: name -> draws."""
    random = np.random.default_rng(0)
    dims = (schema.CHAIN, schema.DRAW)
    prior = groups.prior(jax.random.key(0), STATISTICAL)
    values = {n: (dims, p.centre() * np.exp(random.normal(0, 0.02, N))) for n, p in STATISTICAL.priors().items()}
    values |= {n: (dims, draws) for n, draws in changes.items()}
    etas = {
        f"{e}_eta": ((*dims, schema.SUBJECT), random.normal(0, 0.02, (*N, 12)) + random.normal(0, 0.34, 12))
        for e in ("CL", "VC", "KA")
    }
    posterior = xr.Dataset(values | etas)
    stats = xr.Dataset({"diverging": (dims, np.zeros(N, bool))})
    health = fit_health(posterior, stats, prior, STATISTICAL)
    # Moved by the data alone, as parameters are whose data say much.
    sensitivity = xr.full_like(health["prior_sensitivity"], 0.01), xr.full_like(health["prior_sensitivity"], 0.4)
    health = health.assign(prior_sensitivity=sensitivity[0], likelihood_sensitivity=sensitivity[1])
    health = health.assign({f"{k}_sensitivity_chance": sensitivity[0] for k in ("prior", "likelihood")})
    return health, posterior, prior


def said(health, posterior, prior):
    return fit_notes(health, posterior, prior, STATISTICAL)


def prior_draws(name, seed=3):
    return np.asarray(STATISTICAL.priors()[name].distribution().sample(jax.random.key(seed), N))


def test_a_sound_fit_says_nothing():
    assert said(*notes()) == []


def test_a_posterior_that_is_its_prior_is_not_identified():
    health, posterior, prior = notes(KA=prior_draws("KA"))
    assert said(health, posterior, prior) == []  # the likelihood moves it: something is learnt
    quiet = health["likelihood_sensitivity"].where(health["parameter"] != "KA", 0.01)
    (sentence,) = said(health.assign(likelihood_sensitivity=quiet), posterior, prior)
    assert sentence.startswith("KA is not identified: its posterior is its prior (prior median 1.5")


def test_a_prior_that_excludes_the_data_is_told():
    random = np.random.default_rng(1)
    (sentence,) = said(*notes(CL=28.0 * np.exp(random.normal(0, 0.02, N))))  # a prior of 2.8, log-SD 0.3
    assert sentence.startswith("The prior of CL excludes what the data say (prior median 2.8")
    assert "posterior median 28" in sentence


def test_an_omega_at_zero_is_told():
    random = np.random.default_rng(1)
    (sentence,) = [s for s in said(*notes(KA_iiv=np.abs(random.normal(0, 0.05, N)))) if "KA_iiv" in s]
    assert sentence.startswith("KA_iiv is near 0 (")
    assert "try without its iiv" in sentence


@pytest.mark.parametrize(
    ("prior_moves", "likelihood_moves", "start"),
    [
        (
            0.3,
            0.4,
            "Prior and data pull in different directions, or the prior is as strong as the data, for VC (0.30, 0.40):",
        ),
        (0.3, 0.01, "The prior decides VC (0.30, 0.01):"),
        (0.01, 0.4, None),
    ],
)
def test_power_scaling_is_put_into_words(prior_moves, likelihood_moves, start):
    health, posterior, prior = notes()
    at = health["parameter"] == "VC"
    health = health.assign(
        prior_sensitivity=xr.where(at, prior_moves, health["prior_sensitivity"]),
        likelihood_sensitivity=xr.where(at, likelihood_moves, health["likelihood_sensitivity"]),
    )
    found = said(health, posterior, prior)
    assert [s.startswith(start) for s in found] == [True] if start else found == []


def test_parameters_that_move_alike_share_a_sentence():
    health, posterior, prior = notes()
    both = health["parameter"].isin(["VC", "CL"])
    health = health.assign(prior_sensitivity=xr.where(both, 0.3, health["prior_sensitivity"]))
    (sentence,) = said(health, posterior, prior)
    assert "for CL (0.30, 0.40), VC (0.30, 0.40): the posterior" in sentence


def test_movement_that_chance_explains_is_not_told():
    health, posterior, prior = notes()
    loud = health.assign(prior_sensitivity=health["prior_sensitivity"] * 0 + 0.2)
    assert said(loud, posterior, prior)
    assert said(loud.assign(prior_sensitivity_chance=loud["prior_sensitivity"] + 0.1), posterior, prior) == []


def test_shrinkage_and_influential_subjects_are_told():
    health, posterior, prior = notes()
    shrunk = health["shrinkage"].where(health["parameter"] != "VC_iiv", 0.45)
    loo = xr.Dataset({"pareto_k": ("subject", [0.2, 0.9])}, {"subject": ["7", "12"]})
    loo = loo.assign_attrs(elpd_loo_mcse=3.0, elpd_loo_se=4.0)
    found = fit_notes(health.assign(shrinkage=shrunk), posterior, prior, STATISTICAL, loo)
    assert found[0].startswith("Shrinkage of the etas of VC is 45 %")
    assert found[1].startswith("The fit depends on single subjects")
    assert "1 of 2, ID 12 (0.90)" in found[1]
    assert "Monte-Carlo error of 3" in found[2]


def test_a_covariate_that_does_not_differ_is_named(tmp_path, data):
    assert data_notes(theophylline(), data) == []
    rows = [f"{i},{t},{320 * (t == 0)},{5 * (t > 0)},{int(t == 0)},80" for i in (1, 2) for t in range(4)]
    rows = ["ID,TIME,AMT,DV,EVID,WT", *rows]
    (tmp_path / "same.csv").write_text("\n".join(rows) + "\n")
    same = table(tmp_path / "same.csv").read(theophylline().model)
    found = data_notes(theophylline(), same)
    assert len(found) == 2  # its effects on CL and on VC
    assert found[0].startswith("Covariate WT is 80 kg in every subject: the data say nothing of its effect on CL")
