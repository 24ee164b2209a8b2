"""Dose escalation: exact 3+3, BOIN's tables, isotonic regression and CRM, against other programs and enumeration."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from scipy.stats import beta, norm

from vtrial.errors import UserError
from vtrial.statistics import boin, crm, three_plus_three
from vtrial.statistics.isotonic import isotonic

# The example of the documentation of dfcrm 0.2-2.1, run there.
SKELETON = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7])
LEVEL = np.array([3, 4, 4, 3, 3, 4, 3, 2, 2, 2]) - 1
TOXIC = np.array([0, 0, 1, 0, 0, 1, 1, 0, 0, 0])
PATIENTS = jnp.asarray(np.bincount(LEVEL, minlength=6))
TOXICITIES = jnp.asarray(np.bincount(LEVEL, TOXIC, 6).astype(int))
POWER = (-0.21217153, [0.08865295, 0.15530093, 0.27205388, 0.42778978, 0.57084622, 0.74939583])
LOGISTIC = (-0.11011161, [0.08910298, 0.16038967, 0.28313704, 0.43986818, 0.57756796, 0.7449298])
MLE = (-0.19098848, [0.08417136, 0.1492306, 0.26457661, 0.4200833, 0.56403551, 0.74478165])


def test_three_plus_three_against_every_path():
    toxicity = np.array([0.1, 0.25, 0.4])
    found = three_plus_three.exact(toxicity)
    chance, patients = np.zeros(4), np.zeros(3)
    # Twice three patients are drawn at each dose, needed or not.
    for outcome in product(range(4), repeat=6):
        p, dose = 1.0, 0
        for k, y in enumerate(outcome):
            q = toxicity[k // 2]
            p *= [1, 3, 3, 1][y] * q**y * (1 - q) ** (3 - y)
        while dose < 3:
            first, second = outcome[2 * dose : 2 * dose + 2]
            patients[dose] += p * (6 if first == 1 else 3)
            if not (first == 0 or (first == 1 and second == 0)):
                break
            dose += 1
        chance[dose] += p
    np.testing.assert_allclose([found.none, *found.selected], chance, rtol=1e-12)
    np.testing.assert_allclose(found.patients, patients, rtol=1e-12)
    np.testing.assert_allclose(found.toxicities, patients * toxicity, rtol=1e-12)


def test_three_plus_three_reference():
    found = three_plus_three.exact(np.array([0.05, 0.1, 0.2, 0.3, 0.5]))
    reference = (0.0266, 0.0914, 0.2570, 0.3161, 0.2558, 0.0531)
    np.testing.assert_allclose([found.none, *found.selected], reference, atol=5e-5)


@pytest.mark.parametrize("seed", range(4))
def test_isotonic_against_scipy(seed):
    random = np.random.default_rng(seed)
    value, weight = random.normal(size=7).round(1), random.choice([0.0, 0.5, 1.0, 3.0], 7)
    used = weight > 0
    found = np.asarray(isotonic(jnp.asarray(value), jnp.asarray(weight)))
    np.testing.assert_allclose(found[used], isotonic_regression(value[used], weights=weight[used]).x, atol=1e-12)
    assert np.isnan(found[~used]).all()


def test_boin_limits_and_table():
    """BOIN 2.7.2: target 0.3, cohorts of three, probabilities 0.6 and 1.4 times the target."""
    limits = boin.limits(0.3, 0.18, 0.42)
    np.testing.assert_allclose(limits, (0.23649069, 0.35851946), atol=5e-9)
    table = boin.table(limits, 0.3, most=30, cutoff=0.95)
    assert table.escalate[3::3].tolist() == [0, 1, 2, 2, 3, 4, 4, 5, 6, 7]
    assert table.deescalate[3::3].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert table.eliminate[3::3].tolist() == [3, 4, 5, 7, 8, 9, 10, 11, 12, 14]


def test_boin_gives_up_only_what_is_probably_too_toxic():
    table = boin.table(boin.limits(0.25, 0.15, 0.35), 0.25, most=12, cutoff=0.9)
    for n in range(3, 13):
        y = table.eliminate[n]
        assert beta.sf(0.25, 1 + y, 1 + n - y) > 0.9
        assert beta.sf(0.25, y, 2 + n - y) <= 0.9
    assert (table.eliminate[:3] > 12).all()


@pytest.mark.parametrize(
    ("patients", "toxicities", "admissible", "selected"),
    [
        ([3, 6, 9, 0], [0, 1, 4, 0], [1, 1, 1, 1], 1),  # 0.179 and 0.445 about 0.3; nobody at the last dose
        ([3, 6, 9, 3], [0, 1, 4, 3], [1, 1, 0, 0], 1),
        ([6, 6, 0, 0], [2, 0, 0, 0], [1, 1, 1, 1], 1),  # pooled below the target: the highest of equals
        ([3, 3, 0, 0], [3, 1, 0, 0], [1, 1, 1, 1], 0),  # pooled above it: the lowest
        ([3, 0, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], -1),
        ([0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], -1),
    ],
)
def test_boin_selects(patients, toxicities, admissible, selected):
    args = (jnp.asarray(patients), jnp.asarray(toxicities), jnp.asarray(admissible, bool))
    assert boin.maximum_tolerated(*args, 0.3) == selected


@pytest.mark.parametrize(("curve", "reference"), [(crm.power, POWER), (crm.logistic, LOGISTIC)])
def test_crm_posterior(curve, reference):
    found = crm.posterior(crm.grid(curve(SKELETON), 0.2), PATIENTS, TOXICITIES)
    np.testing.assert_allclose(found.mean, reference[0], atol=1e-8)
    np.testing.assert_allclose(curve(SKELETON)(found.mean), reference[1], atol=1e-8)
    assert np.abs(curve(SKELETON)(found.mean) - 0.2).argmin() == 1


def test_crm_interval():
    """dfcrm's 90 % limits: the curve at the mean plus and minus 1.645 SD."""
    found = crm.posterior(crm.grid(crm.power(SKELETON), 0.2), PATIENTS, TOXICITIES)
    half = norm.ppf(0.95) * jnp.sqrt(found.variance)
    reference = [0.00951151, 0.02792792, 0.08200259, 0.19565877, 0.34057361, 0.57449774]
    np.testing.assert_allclose(crm.power(SKELETON)(found.mean + half), reference, atol=1e-7)


def test_crm_overdose_probability_by_brute_force():
    curve = crm.power(SKELETON)
    found = crm.posterior(crm.grid(curve, 0.2), PATIENTS, TOXICITIES)
    a = jnp.linspace(-5, 5, 400_001)
    p = jax.vmap(curve)(a)
    log = -0.5 * a**2 / 1.34 + jnp.log(p) @ TOXICITIES.astype(float)
    log = log + jnp.log1p(-jnp.minimum(p, 1 - 1e-16)) @ (PATIENTS - TOXICITIES).astype(float)
    weight = jnp.exp(log - log.max())
    np.testing.assert_allclose(found.overdose, weight[p[:, 0] > 0.2].sum() / weight.sum(), atol=1e-4)


def test_crm_maximum_likelihood():
    """dfcrm searches to 1.2e-4; ours has no slope left."""
    a = crm.most_likely(crm.power(SKELETON), PATIENTS, TOXICITIES)
    np.testing.assert_allclose(a, MLE[0], atol=1.3e-4)
    np.testing.assert_allclose(crm.power(SKELETON)(a), MLE[1], atol=2e-5)
    assert np.isnan(crm.most_likely(crm.power(SKELETON), PATIENTS, jnp.zeros_like(PATIENTS)))


def test_skeleton():
    """dfcrm: getprior(0.05, 0.25, 3, 5)."""
    reference = [0.08397349, 0.15674102, 0.25, 0.35450043, 0.46034311]
    np.testing.assert_allclose(crm.skeleton(0.05, 0.25, 2, 5), reference, atol=5e-9)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: boin.limits(0.3, 0.4, 0.5), "low < target"),
        (lambda: boin.table(boin.limits(0.3, 0.2, 0.4), 0.3, most=6, cutoff=1.0), "cutoff"),
        (lambda: crm.check_skeleton([0.1, 0.1]), "ascending"),
        (lambda: crm.skeleton(0.3, 0.25, 2, 5), "half_width"),
        (lambda: crm.skeleton(0.05, 0.25, 5, 5), "number of a dose"),
        (lambda: crm.grid(crm.power(SKELETON), 0.2, spread=0.0), "must be positive"),
    ],
)
def test_mistakes(mistake, words):
    with pytest.raises(UserError, match=words):
        mistake()
