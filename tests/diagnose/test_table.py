"""The table of parameters: closed forms of what is in it, and no digit too many."""

import jax
import numpy as np
import polars as pl
import pytest
import xarray as xr
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.diagnose.test_health import STATISTICAL, fit
from tests.helpers import half, theophylline
from vtrial import schema
from vtrial.diagnose import fit_health, parameter_table
from vtrial.diagnose.table import coefficient_of_variation
from vtrial.inference import groups
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Additive
from vtrial.population import Fixed, LogNormalPrior, Normal, NormalPrior, Parameter, Population
from vtrial.report import parameter_files
from vtrial.report.tables import posterior as rendered
from vtrial.solve import Auto

ROW = ("parameter", "kind", "unit")


@pytest.fixture(scope="module")
def table():
    posterior, stats, prior = fit(contraction=0.05)
    random = np.random.default_rng(1)
    posterior["CL_iiv"] = (("chain", "draw"), np.exp(random.normal(np.log(0.3), 0.1, (4, 500))))
    health = fit_health(posterior, stats, prior, STATISTICAL)
    return posterior, parameter_table(health, posterior, prior, STATISTICAL)


def test_the_coefficient_of_variation_is_that_of_a_log_normal():
    omega = np.array(0.6)
    sample = np.exp(np.random.default_rng(0).normal(0, 0.6, 2_000_000))
    assert float(coefficient_of_variation(omega)) == pytest.approx(100 * sample.std() / sample.mean(), rel=0.01)
    assert float(coefficient_of_variation(np.array(0.3))) == pytest.approx(30.6878, abs=1e-4)


def test_columns_are_what_they_are_called(table):
    posterior, found = table
    omega = posterior["CL_iiv"].to_numpy()
    cv = 100 * np.sqrt(np.exp(omega**2) - 1)
    mine = found.sel(parameter="CL_iiv")
    assert float(mine["median"]) == pytest.approx(np.median(cv))
    assert float(mine["lower"]) == pytest.approx(np.quantile(cv, 0.025))
    assert float(mine["rse"]) == pytest.approx(100 * cv.std(ddof=1) / np.median(cv))
    assert (str(mine["unit"].item()), str(mine["kind"].item())) == ("CV%", "variability between subjects")
    typical = found.sel(parameter="CL")
    assert (str(typical["unit"].item()), float(typical["mean"])) == ("L/h", pytest.approx(posterior["CL"].mean()))
    assert np.isnan(typical["shrinkage"])
    assert [str(k) for k in dict.fromkeys(found["kind"].to_numpy())] == [
        "typical value",
        "variability between subjects",
        "residual error",
    ]


def test_no_digit_beyond_the_monte_carlo_error(table):
    """CL is 10 with SD 0.05: of 2,000 draws the median is known to about 0.0015."""
    _, found = table
    tree = xr.DataTree.from_dict({schema.PARAMETER_TABLE: found})
    row = dict(zip(rendered(tree).header, rendered(tree).rows[0], strict=True))
    assert row["Parameter"] == "CL"
    error = float(found["mcse_median"].sel(parameter="CL"))
    shown = row["Median"].partition(".")[2]
    assert 10.0 ** -len(shown) >= error / 10
    noisy = found.assign(mcse_median=found["mcse_median"] * 0 + 0.3, mcse_mean=found["mcse_mean"] * 0 + 30)
    row = rendered(xr.DataTree.from_dict({schema.PARAMETER_TABLE: noisy})).rows[0]
    assert row[3:5] == ["10.0", "10"]


def test_files_hold_the_table_in_full(table, tmp_path):
    _, found = table
    files = parameter_files(xr.DataTree.from_dict({schema.PARAMETER_TABLE: found}))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for frame in (pl.read_csv(tmp_path / "parameters.csv"), pl.read_parquet(tmp_path / "parameters.parquet")):
        assert frame["parameter"].to_list() == [str(n) for n in found["parameter"].to_numpy()]
        np.testing.assert_array_equal(frame["median"].to_numpy(), found["median"].to_numpy())
        assert frame.filter(pl.col("parameter") == "CL")["shrinkage"].to_list() == [None]
    assert files == parameter_files(xr.DataTree.from_dict({schema.PARAMETER_TABLE: found}))


def test_correlations_are_named_by_their_pair():
    statistical, random = theophylline(), np.random.default_rng(0)
    posterior, stats, prior = fit()
    matrix = np.broadcast_to(np.eye(3), (4, 500, 3, 3)) + 0.0
    matrix[..., 1, 0] = matrix[..., 0, 1] = random.uniform(0.1, 0.5, (4, 500))
    dims = (schema.CHAIN, schema.DRAW, schema.EFFECT, schema.EFFECT_TOO)
    posterior = posterior.assign(
        iiv_correlation=(dims, matrix), iiv_cholesky=(dims, np.asarray(jax.numpy.linalg.cholesky(matrix)))
    )
    found = parameter_table(fit_health(posterior, stats, prior, statistical), posterior, prior, statistical)
    rows = rendered(xr.DataTree.from_dict({schema.PARAMETER_TABLE: found})).rows
    labels = [row[1] for row in rows]
    assert labels[6:9] == ["CL – VC", "CL – KA", "VC – KA"]
    assert float(found["median"].sel(parameter="corr_CL_VC")) == pytest.approx(0.3, abs=0.02)
    assert "LKJ" in rows[6][-1]
    assert rows[6][6] == "–"  # no relative error of what may be 0


def test_occasions_studies_and_other_scales():
    """Their standard deviations are rows of variability: in percent where the scale is the logarithm."""
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(3.0, 0.3), half(0.5), iov=half(0.3), study=half(0.2)),
            "VC": Parameter("L", NormalPrior(30.0, 3.0), half(2.0), scale=Normal(), iov=half(1.0)),
            "KA": Parameter("1/h", Fixed(1.5)),
        }
    )
    model = OneCompartmentOral()
    statistical = StatisticalModel(model, population.for_model(model), Auto(), {"concentration": Additive(half(1.0))})
    random, dims = np.random.default_rng(0), ("chain", "draw")
    posterior = xr.Dataset({n: (dims, random.uniform(0.2, 0.4, (4, 100))) for n in statistical.priors()})
    posterior["KA"] = (dims, np.full((4, 100), 1.5))
    stats = xr.Dataset({"diverging": (dims, np.zeros((4, 100), bool)), "energy": (dims, random.normal(size=(4, 100)))})
    prior = groups.prior(jax.random.key(0), statistical)
    found = parameter_table(fit_health(posterior, stats, prior, statistical), posterior, prior, statistical)
    rows = {str(n): (str(k), str(u)) for n, k, u in zip(*(found[c].to_numpy() for c in ROW), strict=True)}
    assert rows == {
        "CL": ("typical value", "L/h"),
        "VC": ("typical value", "L"),
        "KA": ("typical value", "1/h"),
        "CL_iiv": ("variability between subjects", "CV%"),
        "VC_iiv": ("variability between subjects", "L"),
        "CL_iov": ("variability between occasions", "CV%"),
        "VC_iov": ("variability between occasions", "L"),
        "CL_study": ("variability between studies", "CV%"),
        "concentration_sigma_add": ("residual error", "mg/L"),
    }
    cv = 100 * np.sqrt(np.exp(posterior["CL_iov"].to_numpy() ** 2) - 1)
    assert float(found["median"].sel(parameter="CL_iov")) == pytest.approx(np.median(cv))
    ka = found.sel(parameter="KA")
    assert (bool(ka["fixed"]), float(ka["median"]), str(ka["prior"].item())) == (True, 1.5, "fixed at 1.5 1/h")
    shown = rendered(xr.DataTree.from_dict({schema.PARAMETER_TABLE: found})).rows
    assert [row[1] for row in shown] == ["CL", "VC", "KA", "CL", "VC", "CL", "VC", "CL", "concentration_sigma_add"]
