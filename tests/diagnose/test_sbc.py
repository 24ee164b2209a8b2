"""Calibration and recovery judged where the posterior is known exactly, and where it is wrong on purpose.

theta is standard normal; three observations of it have normal errors with SD 0.8.
"""

import numpy as np
import pytest

from vtrial import diagnose, schema
from vtrial.diagnose import Calibration, Limits, Recovery
from vtrial.diagnose.refit import gathered, share_error, summarised
from vtrial.errors import UserError

SIGMA, EACH, QUANTITIES = 0.8, 3, ("theta", "log_likelihood")
SETTINGS = Calibration(replicates=300, ranks=49)


def log_likelihood(theta, y):
    return -0.5 * ((y - np.asarray(theta)[..., None]) ** 2).sum(-1) / SIGMA**2


def fits(*, sigma=SIGMA, scale=1.0, prior_only=False, at=None, count=300, seed=2):
    """Fits by independent draws of the exact posterior, of one with another SD of the error, or scaled."""
    random, rows = np.random.default_rng(seed), []
    for _ in range(count):
        truth = random.normal() if at is None else at
        y = truth + random.normal(0, SIGMA, EACH)
        variance = 1 / (1 + EACH / sigma**2)
        mean, sd = (0.0, 1.0) if prior_only else (variance * y.sum() / sigma**2, np.sqrt(variance))
        theta = mean + scale * sd * random.normal(size=(4, 50))
        columns = np.stack([theta, log_likelihood(theta, y)], -1)
        row = summarised(columns, np.array([truth, log_likelihood(truth, y)]), SETTINGS.ranks)
        rows.append(row | {n: np.asarray(v) for n, v in {"diverging": 0.0, "redrawn": 0, "trouble": ""}.items()})
    return gathered(rows, QUANTITIES, ("", ""), Limits(r_hat=1.5), 0)


def test_exact_posteriors_are_calibrated():
    found = diagnose.calibration(fits(), SETTINGS)
    assert found.attrs["calibrated"]
    assert (found["p"] > 0.01).all()
    assert (found["p_chi_square"] > 0.01).all()
    level = found["level"]
    error = np.sqrt(level * (1 - level) / 300)
    assert (abs(found["coverage"] - level) < 4 * error).all()
    assert float(found["contraction"][0]) == pytest.approx(1 - 1 / (1 + EACH / SIGMA**2), abs=0.05)
    assert float(found["z_mean"][0]) == pytest.approx(0.0, abs=4 / np.sqrt(300))
    assert float(found["z_sd"][0]) == pytest.approx(1.0, abs=4 / np.sqrt(600))


@pytest.mark.parametrize(
    ("wrong", "who", "said"),
    [
        ({"scale": 0.8, "count": 600}, "theta", "too narrow"),
        ({"scale": 1.3}, "theta", "too wide"),
        ({"sigma": 0.5 * SIGMA}, "theta", "too narrow"),
        ({"prior_only": True}, "log_likelihood", "lies too low"),
    ],
)
def test_wrong_posteriors_are_found(wrong, who, said):
    """Draws of the prior in place of the posterior have uniform ranks; the log-likelihood gives them away."""
    found = diagnose.calibration(fits(**wrong), SETTINGS)
    assert not found.attrs["calibrated"]
    assert who in found.attrs["verdict"]
    assert float(found["p_adjusted"].sel(parameter=who)) < 0.01
    assert said in found.attrs["sentences"][QUANTITIES.index(who)]


def test_failed_fits_are_counted_and_forbid_a_verdict():
    every = fits(count=100)
    reason = every["reason"].to_numpy().astype(object)
    reason[:30] = "R-hat of theta above 1.05"
    found = diagnose.calibration(every.assign(reason=(schema.REPLICATE, reason)), SETTINGS)
    assert found.attrs["used"] == 70
    assert found.attrs["verdict"].startswith("No verdict: 30 %")
    reason[:] = "R-hat of theta above 1.05"
    found = diagnose.calibration(every.assign(reason=(schema.REPLICATE, reason)), SETTINGS)
    assert (found.attrs["used"], found.attrs["sentences"]) == (0, [])


def test_limits_name_the_reason():
    columns = np.random.default_rng(0).normal(size=(4, 50, 2))
    row, limits = summarised(columns, np.zeros(2), 9), Limits()
    assert limits.trouble(row, 0.0, QUANTITIES, 9) == ""
    assert limits.trouble(row, 0.1, QUANTITIES, 9) == "more than 5 % divergent draws"
    assert limits.trouble(row, 0.0, QUANTITIES, 10_000).startswith("fewer than 10000 effective draws of")
    apart = summarised(columns + np.arange(4.0)[:, None, None] * [1, 0], np.zeros(2), 9)
    assert limits.trouble(apart, 0.0, QUANTITIES, 9) == "R-hat of theta above 1.05"
    assert limits.trouble(row | {"mean": np.full(2, np.nan)}, 0.0, QUANTITIES, 9) == "draws that are not finite"


def test_recovery_tells_bias_rmse_and_coverage():
    """The posterior median leans to the prior mean 0 by a known part of the truth."""
    found = diagnose.recovery(fits(at=1.5))
    assert found[schema.PARAMETER].to_numpy().tolist() == ["theta"]
    keep = 1 / (1 + SIGMA**2 / EACH)
    bias, sd = 1.5 * (keep - 1), keep * SIGMA / np.sqrt(EACH)
    one = {str(n): float(found[n][0]) for n in found.data_vars}
    assert one["bias"] == pytest.approx(bias, abs=4 * one["bias_mcse"])
    assert one["bias_mcse"] == pytest.approx(sd / np.sqrt(300), rel=0.3)
    assert one["rmse"] == pytest.approx(np.hypot(bias, sd), abs=4 * one["rmse_mcse"])
    assert one["relative_bias"] == pytest.approx(100 * one["bias"] / 1.5)
    assert "too low" in found.attrs["sentences"][0]


def test_the_error_of_a_share_is_never_0():
    assert share_error(np.array([1.0]), 20)[0] > 0.03
    assert share_error(np.array([0.5]), 10_000)[0] == pytest.approx(0.005, rel=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Calibration(replicates=19),
        lambda: Calibration(ranks=5),
        lambda: Calibration(alpha=0.0),
        lambda: Calibration(subjects=0),
        lambda: Recovery(replicates=1),
        lambda: Recovery(subjects=0),
        lambda: Limits(r_hat=1.0),
    ],
)
def test_settings_that_say_nothing_are_refused(make):
    with pytest.raises(UserError):
        make()
