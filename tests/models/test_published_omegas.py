"""Variability of people drawn from the priors of published populations, against the published OMEGA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import population
from vtrial._resources import directory
from vtrial.population import Fixed, HalfNormalPrior

N = 20_000


def cv(percent):
    """Variance of the logarithm of a log-normal with this coefficient of variation."""
    return np.log(1 + (percent / 100) ** 2)


# Variances as the publications print them, and covariances; sources are in each file of conf/population.
PUBLISHED = {
    "vancomycin_goti": {"CL": cv(39.8), "VC": cv(81.6), "VP": cv(57.1)},
    # CL has 0.75 times the eta of VC beside its own of variance 0.0746.
    "vancomycin_children": {"CL": 0.0746 + 0.75**2 * 0.0716, "VC": 0.0716, "VP": 0.684, "CL VC": 0.75 * 0.0716},
    "vancomycin_thomson": {"CL": 0.0729, "VC": 0.0225, "Q": 0.2401, "VP": 1.69, "CL VC": 0.01},
    "vancomycin_buelga": {"CL": 0.0793, "VC": 0.138, "CL VC": 0.0242},
    "antibody": {"KA": 0.416, "CL": 0.0987, "VC": 0.116, "VP": 0.0789, "Q": 0.699}
    | {"CL VC": 0.0786, "CL VP": 0.0377, "VC VP": 0.0619},
    "dupilumab": {"VC": 0.192, "KE": 0.285, "KA": 0.474, "VMAX": 0.236, "MTT": 0.525},
    "evolocumab": {"KA": 0.807, "VC": 0.158, "CL": 0.924, "BASE": 0.0348, "KSS": 1.17, "LDL0": 0.0465, "IC50": 0.481}
    | {"KA VC": 0.253, "KA CL": -0.671, "VC CL": -0.183},
    "evolocumab_clinical": {"CL": cv(54.3), "VC": cv(28.3), "VMAX": cv(31.1), "KA": cv(74.6), "LDL0": cv(20.0)},
    "alirocumab": {"F_depot": 1.06, "CL": 0.232, "VC": 0.589, "VP": 0.0735, "KM": 0.298}
    | {"VP KM": -0.793 * np.sqrt(0.0735 * 0.298)},
    "filgrastim": {"NB0": 0.109, "KEL": 0.194, "VD": 0.138, "KSI": 0.0587, "SC1": 0.764, "SM1": 0.000188},
    "paclitaxel_leukocytes": {"CIRC0": 0.107, "MTT": 0.0296, "SLOPE": 0.176},
    "warfarin_inr": {"CL": 0.0917, "VC": 0.0664, "VP": 0.6845, "MTT1": 0.0197, "MTT2": 0.7253, "EC50": 0.1551}
    | {"CL VC": 0.025},
}
# And Q has 0.75 times the eta of VP.
PUBLISHED["vancomycin_colin"] = PUBLISHED["vancomycin_children"] | {"Q": 0.75**2 * 0.684, "Q VP": 0.75 * 0.684}


@pytest.mark.parametrize("name", PUBLISHED)
def test_people_vary_as_published(name):
    """The covariance of simulated etas is the published one, within four standard errors and the bias of the prior.

    With log-SD s around the published omega the mean of omega^2 is exp(2 s^2) times it, 2 % more at s = 0.1. The mean
    of a correlation known from n people is less by at most 1 / (n - 3) of it. SDs written with four digits add 1e-3.
    """
    p, key = population(name), jax.random.key(len(name))
    priors = {site: one for site, one in p.priors().items() if site.endswith("_iiv")}
    sites = {
        site: one.distribution().sample(jax.random.fold_in(key, i), (N,))
        for i, (site, one) in enumerate(priors.items())
    }
    for block in p.blocks:
        if (law := block.distribution()) is not None:
            sites[p.site(block)] = law.sample(jax.random.fold_in(key, 99), (N,))
    factor = np.asarray(jax.vmap(p.factor)({n: jnp.asarray(v) for n, v in sites.items()}))
    eta = np.einsum("dij,dj->di", factor, np.random.default_rng(1).normal(size=(N, len(p.effects))))
    spread = max([one.sigma for one in priors.values() if not isinstance(one, Fixed)], default=0.0)
    bias = max(np.expm1(2 * spread**2), *(1 / (getattr(b, "subjects", np.inf) - 3) for b in p.blocks), 0.0) + 1e-3
    named = {n: (n, n) for n in p.effects} | {f"{a} {b}": (a, b) for a in p.effects for b in p.effects if a != b}
    wanted = PUBLISHED[name]
    assert set(p.effects) == {n for n in wanted if " " not in n}
    for pair, (a, b) in named.items():
        product = eta[:, p.effects.index(a)] * eta[:, p.effects.index(b)]
        published = wanted.get(pair, wanted.get(f"{b} {a}", 0.0))
        assert abs(product.mean() - published) < 4 * product.std() / np.sqrt(N) + bias * abs(published), pair


def test_bioavailabilities_are_below_1():
    """And have the published median."""
    medians = {
        "antibody": 0.744,
        "dupilumab": 0.643,
        "evolocumab": 0.72,
        "evolocumab_clinical": 0.72,
        "alirocumab": 0.862,
        "filgrastim": 0.602,
    }
    for name, median in medians.items():
        prior = population(name)["F_depot"].prior
        draws = np.asarray(prior.distribution().sample(jax.random.key(1), (N,)))
        assert 0 < draws.min() <= draws.max() < 1, name
        assert abs((draws < median).mean() - 0.5) < 4 * 0.5 / np.sqrt(N), name


def test_every_published_population_is_tested():
    """A half-normal omega is weakly informative: it is no published one."""
    files = sorted(f.stem for f in (directory("conf") / "population").glob("*.yaml"))
    weak = {n for n in files if any(isinstance(one, HalfNormalPrior) for one in population(n).priors().values())}
    assert not weak & set(PUBLISHED)
