"""Outcomes by a meta-regression (Volkova 2023): its published numbers, its sample sizes, its uncertainty, its trial."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hydra.utils import instantiate
from scipy import stats

from tests.helpers import written
from vtrial import schema
from vtrial._resources import directory
from vtrial.errors import UserError
from vtrial.population import Fixed, NormalPrior
from vtrial.statistics.sample_size import for_risk_ratios
from vtrial.trial import OutcomeLink, Term, log_risk_ratios

MMOL = 38.67
"""mg/dL of LDL cholesterol in 1 mmol/L."""
N = 20_000


def link(name, **change):
    node = written(directory("conf") / "link" / f"{name}.yaml")
    given = {key: {"risk": 0.05, "endpoint": "ldl"}[key] for key, value in node.items() if value == "???"}
    values = change.pop("values", {})
    return instantiate(node | given | change | {"values": node["values"] | values}, _convert_="all")


def ratio(one, change=0.0):
    coefficients = {name: jnp.asarray(term.coefficient.centre()) for name, term in one.terms.items()}
    return float(jnp.exp(one.log_ratio(coefficients, jnp.asarray(change))))


@pytest.mark.parametrize(
    ("name", "values", "published"),
    [
        ("revascularisation", {}, 0.763),
        ("nonfatal_infarction", {}, 0.734),
        ("nonfatal_infarction", {"RENAL": 1.0}, 0.89),
        ("coronary_mortality", {}, 0.857),
    ],
)
def test_risk_by_one_mmol_of_ldl(name, values, published):
    """Published in percent: -24, -27, -11, -14; the card has a third digit."""
    one = link(name, values=values)
    assert ratio(one, -MMOL) / ratio(one) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "values", "others", "published", "digit"),
    [
        ("revascularisation", {"PCSK9": 1.0}, {"PCSK9": 0.0}, 1.246, 0.001),
        ("nonfatal_infarction", {"PCSK9": 1.0}, {"PCSK9": 0.0}, 1.274, 0.001),
        ("ischaemic_stroke", {"HT": 75.0}, {"HT": 25.0}, 1.73, 0.01),
        ("fatal_stroke", {"RENAL": 1.0}, {"RENAL": 0.0}, 1.92, 0.01),
    ],
)
def test_what_changes_the_benefit(name, values, others, published, digit):
    assert ratio(link(name, values=values)) / ratio(link(name, values=others)) == pytest.approx(
        published, abs=digit / 2
    )


@pytest.mark.parametrize(("kind", "published"), [("PRIMARY", 0.70), ("SECONDARY", 0.84)])
def test_stroke_at_sixty_under_a_statin(kind, published):
    values = {"PCSK9": 0.0, "AGE": 60.0, "PRIMARY": 0.0, "SECONDARY": 0.0, "MIXED": 0.0} | {kind: 1.0}
    assert ratio(link("stroke", values=values)) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(
    ("name", "predictor", "by_hand"),
    [
        ("infarction", {}, 0.407 + 0.033 - 0.017 * 45.82),
        ("cardiovascular_mortality", {"PCSK9": 0.0}, -0.625 + 0.012 * 45.82),
        ("mortality", {}, -0.448 + 0.029 + 0.008 * 45.82),
        ("heart_failure", {}, 0.554 + 0.097 - 0.023 * 30.72),
    ],
)
def test_outcomes_without_ldl(name, predictor, by_hand):
    assert np.log(ratio(link(name, values=predictor), -50.0)) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [("ischaemic_stroke", {"HT": 50.0}, 1.29, 2.33), ("fatal_stroke", {"RENAL": 1.0}, 1.10, 3.35)],
)
def test_draws_have_the_published_uncertainty(name, values, low, high):
    """Of the covariate's term alone; its 95 % interval, of three digits, is published."""
    whole = link(name, values=values)
    term = {"ischaemic_stroke": "hypertension", "fatal_stroke": "renal"}[name]
    alone = OutcomeLink("x", {term: whole.terms[term]}, 0.05, whole.values)
    draws = np.exp(np.asarray(alone.drawn(jax.random.key(1), jnp.zeros((N, 1)))))[:, 0]
    for quantile, published in ((0.025, low), (0.975, high)):
        # The share below a quantile is binomial; the published one is rounded, and so has a share of its own.
        spread = np.log(high / low) / (2 * 1.96)
        rounding = stats.norm.pdf(1.96) * 0.005 / published / spread
        assert abs((draws < published).mean() - quantile) < 4 * np.sqrt(quantile * (1 - quantile) / N) + rounding


@pytest.mark.parametrize(("theta", "k"), [(-0.3, 0.043), (-0.1, 0.2)])
def test_sizes_are_those_of_the_published_formula(theta, k):
    published = 1.96**2 * (2 - 4 * k * np.exp(theta) + 2 * np.exp(theta)) / (k * np.exp(theta) * theta**2)
    one = OutcomeLink("x", {"b": Term(NormalPrior(theta, 0.1))}, k, power=0.5, patients=round(published))
    assert one.size(np.array([theta, 0.0, 0.1])) == pytest.approx([published, np.inf, np.inf], rel=1e-4)
    assert one.success(np.array([theta])) == pytest.approx([0.5], abs=1e-3)


def test_power_of_that_size_by_simulation():
    """Trials of two arms, binomial counts, the log risk ratio tested by its usual variance."""
    r, k = 0.7, 0.1
    half = round(float(for_risk_ratios(np.array([np.log(r)]), k, power=0.8)[0]) / 2)
    random = np.random.default_rng(1)
    treated, control = random.binomial(half, r * k, N), random.binomial(half, k, N)
    z = np.log(treated / control) / np.sqrt(1 / treated + 1 / control - 2 / half)
    # Beside the Monte-Carlo error, that of the normal approximation: of the order of one over the events.
    assert abs((z < -1.96).mean() - 0.8) < 4 * np.sqrt(0.16 / N) + 1 / (half * k)


def outcomes(effect, replicates=4000, subjects=3):
    level = np.array([100.0, 100.0 + effect])[None, None] + np.arange(subjects)[None, :, None]
    value = np.broadcast_to(level, (replicates, subjects, 2))
    return xr.Dataset({"ldl": ((schema.REPLICATE, schema.SUBJECT, schema.ARM), value, {"units": "mg/dL"})})


def test_a_replicate_has_its_own_effect_and_coefficients():
    one = OutcomeLink(
        "x",
        {"a": Term(NormalPrior(-0.1, 0.05)), "b": Term(NormalPrior(0.008, 0.003), ["change"])},
        0.05,
        endpoint="ldl",
        unit="g/L",
    )
    found = log_risk_ratios(jax.random.key(3), {"x": one}, outcomes(-40.0), 0)["x_log_ratio"].to_numpy()
    assert (found[:, 0] == 0.0).all()
    change = -40.0 / 100  # in g/L
    mean, sd = -0.1 + 0.008 * change, np.hypot(0.05, 0.003 * change)
    assert abs(found[:, 1].mean() - mean) < 4 * sd / np.sqrt(4000)
    assert abs(found[:, 1].std() - sd) < 4 * sd / np.sqrt(2 * 4000)
    fewer = log_risk_ratios(jax.random.key(3), {"x": one}, outcomes(-40.0, 10), 0)["x_log_ratio"].to_numpy()
    np.testing.assert_array_equal(fewer, found[:10])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"risk": 1.2}, "between 0 and 1, not 1.2"),
        ({"terms": {"a": Term(Fixed(0.1), ["change"])}}, "of `change`, but the link names no endpoint"),
        ({"terms": {"a": Term(Fixed(0.1), ["HTT"])}, "values": {"HT": 1.0}}, "'HTT', which `values` lacks.*'HT'"),
        ({"patients": 1}, "2 patients or more"),
        ({"power": 0.01}, "Power is between"),
    ],
)
def test_mistakes(change, said):
    with pytest.raises(UserError, match=said):
        OutcomeLink(**{"outcome": "death", "terms": {"a": Term(Fixed(0.1))}, "risk": 0.1} | change)
