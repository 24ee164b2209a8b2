import io

import numpy as np
import polars as pl
import pytest
import xarray as xr

from vtrial import schema
from vtrial.report import checks, etas, figures, goodness, nonmem, tables
from vtrial.report.style import smooth, spans_decades


def test_sdtab_has_every_record_by_its_nonmem_name(quick, tree):
    table = pl.read_csv(quick / "sdtab.csv", null_values=".")
    wanted = "ID TIME TAD EVID MDV AMT CMT DVID DV PRED IPRED RES IRES WRES CWRES IWRES NPDE NPD"
    assert table.columns[:18] == wanted.split()
    assert {"ETA_CL", "ETA_VC", "ETA_KA", "WT"} <= set(table.columns)
    assert table["EVID"].value_counts().sort("EVID")["count"].to_list() == [132, 12]
    dose, first = table.row(0, named=True), table.row(1, named=True)
    assert (dose["EVID"], dose["MDV"], dose["AMT"], dose["CMT"], dose["PRED"]) == (1, 1, 319.992, 1, None)
    assert (first["EVID"], first["TIME"], first["TAD"], first["DV"], first["DVID"]) == (0, 0.0, 0.0, 0.74, 1)
    seen = table.filter(pl.col("EVID") == 0)
    np.testing.assert_array_equal(seen["DV"], tree["observed_data"]["DV"])
    np.testing.assert_allclose(seen["RES"], seen["DV"] - seen["PRED"], atol=1e-12)
    np.testing.assert_allclose(seen["IRES"], seen["DV"] - seen["IPRED"], atol=1e-12)


@pytest.mark.parametrize("name", ["sdtab", "patab"])
def test_both_kinds_of_file_hold_the_same(name, quick):
    one, other = (
        pl.read_csv(quick / f"{name}.csv", null_values=".", schema_overrides={"ID": pl.String}),
        pl.read_parquet(quick / f"{name}.parquet"),
    )
    assert one.equals(other)


def test_a_subject_has_its_etas_and_parameters(tree):
    table = nonmem.patab(tree)
    assert table.columns == [
        "ID",
        "ETA_CL",
        "ETA_VC",
        "ETA_KA",
        "WT",
        *(f"ETA_{e}_SD" for e in ("CL", "VC", "KA")),
        "CL",
        "VC",
        "KA",
    ]
    np.testing.assert_allclose(table["ETA_CL"], tree["posterior"]["CL_eta"].mean(("chain", "draw")), atol=1e-6)


def test_kappas_of_each_occasion_and_classes_are_in_both_tables(tree):
    other, fit = tree.copy(), tree[schema.GOODNESS_OF_FIT].to_dataset()
    kappa = np.arange(24.0).reshape(12, 2)
    fit = fit.assign(KAPPA_CL=((schema.ID, schema.OCCASION), kappa)).assign_coords({schema.OCCASION: [1.0, 2.0]})
    posterior = tree[schema.POSTERIOR].to_dataset()
    chance = np.broadcast_to(np.where(np.arange(12) < 5, 0.9, 0.2), (*posterior["CL"].shape, 12))
    dims = (schema.CHAIN, schema.DRAW, schema.SUBJECT, schema.CLASS)
    posterior = posterior.assign(class_probability=(dims, np.stack([chance, 1 - chance], -1)))
    other[schema.GOODNESS_OF_FIT] = xr.DataTree(fit)
    other[schema.POSTERIOR] = xr.DataTree(posterior.assign_coords({schema.CLASS: ["poor", "other"]}))
    table, records = nonmem.patab(other), nonmem.sdtab(other)
    np.testing.assert_array_equal(table["KAPPA_CL_2"], kappa[:, 1])
    assert table["P_poor"].to_list() == pytest.approx([0.9] * 5 + [0.2] * 7)
    assert table["MIXEST"].to_list() == [1] * 5 + [2] * 7
    assert {"KAPPA_CL_1", "KAPPA_CL_2", "P_poor", "MIXEST"} <= set(records.columns)


def test_a_covariate_that_varies_is_in_every_record(tree):
    other, given, fit = tree.copy(), tree[schema.CONSTANT_DATA].to_dataset(), tree[schema.GOODNESS_OF_FIT].to_dataset()
    doses, seen = np.arange(given.sizes[schema.RECORD]) + 0.5, 100.0 + np.arange(fit.sizes[schema.OBS])
    other[schema.CONSTANT_DATA] = xr.DataTree(given.assign(dose_covariate_AGE=(schema.RECORD, doses)))
    other[schema.GOODNESS_OF_FIT] = xr.DataTree(fit.assign(covariate_AGE=(schema.OBS, seen)))
    table = nonmem.sdtab(other)
    assert sorted(table.filter(pl.col("EVID") > 0)["AGE"]) == doses.tolist()
    assert sorted(table.filter(pl.col("EVID") == 0)["AGE"]) == seen.tolist()


def test_missing_is_a_point_in_text_and_null_in_parquet():
    table = pl.DataFrame({"PRED": [1.5, float("nan")]})
    assert nonmem.csv(table) == "PRED\n1.5\n.\n"
    assert pl.read_parquet(io.BytesIO(nonmem.parquet(table)))["PRED"].to_list() == [1.5, None]


def test_the_words_follow_the_numbers(tree):
    def said(**values):
        other = tree.copy()
        group = tree[schema.GOODNESS_OF_FIT].to_dataset()
        changed = {n: (schema.RESPONSE, [v]) for n, v in values.items()}
        other[schema.GOODNESS_OF_FIT] = xr.DataTree(group.assign(changed))
        return tables.fit_in_words(other, "concentration")

    assert "no reason to doubt" in said(npde_p_global=0.4, outside=0.12)
    assert "12.0 % of the observations lie outside" in said(npde_p_global=0.4, outside=0.12)
    assert "mean is not 0" in said(npde_p_global=0.003, npde_p_mean=0.001, npde_p_variance=0.5, npde_p_normal=0.5)
    assert "too few" in said(npde_p_global=np.nan)


def test_a_smooth_of_a_line_is_the_line():
    x = np.random.default_rng(0).uniform(0, 5, 80)
    at, value = smooth(x, 3 * x - 1)
    np.testing.assert_allclose(value, 3 * at - 1, atol=1e-9)
    assert len(smooth(np.ones(9), np.ones(9))[0]) == 0


def test_an_axis_is_logarithmic_where_values_span_decades():
    assert spans_decades(np.geomspace(0.01, 100, 40))
    assert not spans_decades(np.linspace(1, 12, 40))
    assert not spans_decades(np.linspace(-3, 3, 40))


def test_censored_strata_and_logarithms_are_drawn(tree):
    """A check with strata, corrected, logarithmic and censored has two panels a stratum."""
    other, group = tree.copy(), tree[schema.VPC].to_dataset()
    bins = group.sizes["bin_concentration"]
    stratum = ["WT ≤ 70 kg" if i < bins // 2 else "WT > 70 kg" for i in range(bins)]
    part = np.linspace(0, 0.5, bins)
    changed = group.assign(
        concentration_stratum=("bin_concentration", stratum),
        concentration_below_observed=("bin_concentration", part),
        concentration_below_simulated=(("interval", "bin_concentration"), part + np.array([[-0.1], [0.0], [0.1]])),
    )
    other[schema.VPC] = xr.DataTree(changed.assign_attrs(group.attrs | {"log": 1, "corrected": 1}))
    page = checks.visual(other, "concentration")
    for words in ("WT ≤ 70 kg", "below the limit", "prediction-corrected"):
        assert words in page


def test_observations_and_their_predictive_check_are_logarithmic_where_wanted(tree, monkeypatch):
    """Observations where they span decades, the check where `vpc.log` says so."""
    drawn = []
    for module in (figures, checks):
        monkeypatch.setattr(module, "logarithmic", lambda axes, which: drawn.append(which))
    wide, seen = tree.copy(), tree[schema.OBSERVED_DATA].to_dataset()
    decades = np.geomspace(0.01, 100, seen.sizes[schema.OBS])
    wide[schema.OBSERVED_DATA] = xr.DataTree(seen.assign(DV=seen[schema.DV].copy(data=decades)))
    wide[schema.VPC] = xr.DataTree(tree[schema.VPC].to_dataset().assign_attrs(tree[schema.VPC].attrs | {"log": 1}))
    for one, axes in ((tree, []), (wide, ["y"])):
        for draw in (figures.data, lambda found: checks.predictive(found, "concentration")):
            drawn.clear()
            draw(one)
            assert drawn == axes


def test_a_categorical_covariate_has_boxes(tree):
    other, group = tree.copy(), tree[schema.CONSTANT_DATA].to_dataset()
    sex = ("subject", np.arange(12) % 2.0, {"units": ""})
    other[schema.CONSTANT_DATA] = xr.DataTree(group.assign(SEX=sex))
    page = etas.against_covariates(other)
    assert "(n = 6)" in page
    assert "SEX" in page


def test_many_points_are_an_image(tree):
    again = np.tile(np.arange(132), 20)
    many = xr.DataTree.from_dict(
        {g: tree[g].to_dataset().isel(obs=again) for g in (schema.GOODNESS_OF_FIT, schema.OBSERVED_DATA)}
    )
    few, page = goodness.fits(tree, "concentration"), goodness.fits(many, "concentration")
    assert "data:image/png" in page
    assert len(page) < 4 * len(few)
