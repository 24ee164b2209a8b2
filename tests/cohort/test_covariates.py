"""Sources of covariates: margins and correlations against closed forms, criteria, genotypes, charts, tables."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import SHARED, finished
from vtrial.cohort import (
    AbstractCovariates,
    AbstractMargin,
    Allele,
    Bootstrap,
    CategoricalMargin,
    Chart,
    Copula,
    Criteria,
    Derived,
    EmpiricalMargin,
    GammaMargin,
    Genotypes,
    GrowthCharts,
    LogNormalMargin,
    Table,
    TruncatedNormalMargin,
    UniformMargin,
    preview,
)
from vtrial.dosing import BodyMassIndex, DuBois, PostmenstrualAge
from vtrial.errors import UserError

N = 20_000
PEOPLE = str(Path(__file__).parent / "data" / "people.csv")
WEIGHT, HEIGHT = TruncatedNormalMargin("kg", 75.0, 13.0, 45.0, 120.0), UniformMargin("cm", 150.0, 200.0)
SIZES = Copula({"WT": WEIGHT, "HT": HEIGHT}, {"WT": {"HT": 0.6}})
ALLELES = {"*1": Allele(0.8, 1.0), "*2": Allele(0.13, 0.5), "*3": Allele(0.07, 0.0)}
CHART = Chart(PEOPLE, "kg")
CHILDREN = GrowthCharts(UniformMargin("year", 2.0, 18.0), {"WT": CHART, "HT": CHART}, {"WT": {"HT": 0.6}})
SOURCES = [
    Bootstrap(),
    Table(PEOPLE, {"WT": "kg", "HT": "cm"}),
    SIZES,
    CHILDREN,
    Criteria(SIZES, at_least={"WT": "60 kg"}, at_most={"HT": "1.8 m"}),
    Genotypes(SIZES, "CYP2C9", ALLELES),
    Derived(SIZES, {"BMI": BodyMassIndex()}),
]

# Each margin, and the same law in SciPy.
MARGINS = [
    (LogNormalMargin("kg", 79.0, 0.25), stats.lognorm(0.25, scale=79.0)),
    (WEIGHT, stats.truncnorm(-30 / 13, 45 / 13, 75.0, 13.0)),
    (GammaMargin("mg/dL", 0.9, 0.3), stats.gamma(1 / 0.09, scale=0.9 * 0.09)),
    (HEIGHT, stats.uniform(150, 50)),
    (CategoricalMargin({0: 0.51, 1: 0.3, 2: 0.19}), stats.rv_discrete(values=((0, 1, 2), (0.51, 0.3, 0.19)))),
    (EmpiricalMargin(PEOPLE, "WT", "kg"), stats.rv_discrete(values=((58, 62, 70, 80, 95), (0.2,) * 5))),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
def test_contract(source, data):
    source.check(data)
    assert source.describe()
    assert isinstance(source.inputs(), dict)
    many = jax.random.split(jax.random.key(1), 50)
    drawn = jax.vmap(lambda k: source.draw(k, data))(many)
    assert set(drawn) == set(source.units(data))
    alone = jax.jit(lambda k: source.draw(k, data))(many[7])
    for name, value in drawn.items():
        assert jnp.isfinite(value).all()
        np.testing.assert_allclose(value[7], alone[name], rtol=1e-12)
    assert all(np.isfinite(fact) for fact in source.facts(jax.random.key(2), data).values())


def test_every_source_and_margin_is_tested():
    assert set(finished(AbstractCovariates)) == {type(source) for source in SOURCES}
    assert set(finished(AbstractMargin)) == {type(margin) for margin, _ in MARGINS}


@pytest.mark.parametrize(("margin", "law"), MARGINS, ids=lambda m: type(m).__name__)
def test_a_margin_is_the_quantile_function(margin, law):
    ranks = np.array([1e-6, 0.0123, 0.25, 0.497, 0.75, 0.99, 1 - 1e-6])
    found = jax.vmap(margin.value)(jnp.asarray(stats.norm.ppf(ranks)))
    np.testing.assert_allclose(found, law.ppf(ranks), rtol=1e-6)
    assert margin.describe()


def test_a_copula_has_its_margins_and_correlations(data):
    """Each mean within four standard errors; Spearman's correlation is 6/pi asin(rho / 2), pairs left out have none."""
    named = {type(margin).__name__: margin for margin, _ in MARGINS[:4]}
    a, b, c, d = named
    drawn = preview(Copula(named, {a: {b: 0.6}, c: {d: -0.7}}), data, jax.random.key(3), N)
    for name, (_, law) in zip(named, MARGINS[:4], strict=True):
        assert abs(drawn[name].mean() - law.mean()) < 4 * law.std() / np.sqrt(N), name
    for one, other, rho in ((a, b, 0.6), (c, d, -0.7), (a, c, 0.0), (b, d, 0.0)):
        found = stats.spearmanr(drawn[one], drawn[other]).statistic
        assert abs(found - 6 / np.pi * np.arcsin(rho / 2)) < 4 / np.sqrt(N), (one, other)


def test_criteria_select_and_say_how_many_fulfil_them(data):
    """Independent uniform and normal: the accepted have the truncated laws, the share is the product of two."""
    free = Copula({"WT": WEIGHT, "HT": HEIGHT})
    source = Criteria(free, at_least={"WT": "60 kg"}, at_most={"HT": "1.6 m", "WT": "90 kg"})
    drawn = preview(source, data, jax.random.key(4), N)
    assert drawn["WT"].min() >= 60
    assert drawn["WT"].max() <= 90
    assert abs(drawn["HT"].mean() - 155) < 4 * 10 / np.sqrt(12 * N)
    law = stats.truncnorm(-15 / 13, 15 / 13, 75.0, 13.0)
    assert abs(drawn["WT"].mean() - law.mean()) < 4 * law.std() / np.sqrt(N)
    facts = source.facts(jax.random.key(5), data)
    inside = MARGINS[1][1].cdf(90) - MARGINS[1][1].cdf(60)
    assert abs(facts["acceptance"] - 0.2 * inside) < 4 * facts["acceptance_mcse"]


def test_genotypes_are_in_hardy_weinberg_proportions(data):
    found = preview(Genotypes(SIZES, "CYP2C9", ALLELES), data, jax.random.key(6), N)["CYP2C9"]
    wanted = {2.0: 0.64, 1.5: 2 * 0.8 * 0.13, 1.0: 2 * 0.8 * 0.07 + 0.13**2, 0.5: 2 * 0.13 * 0.07, 0.0: 0.0049}
    assert set(np.unique(found)) == set(wanted)
    for score, share in wanted.items():
        assert abs((found == score).mean() - share) < 4 * np.sqrt(share * (1 - share) / N)


def test_a_wrapper_leaves_what_it_wraps_as_it_is(data):
    key = jax.random.key(7)
    plain = SIZES.draw(key, data)
    for source in (Genotypes(SIZES, "CYP2C9", ALLELES), Derived(SIZES, {"BSA": DuBois("WT", "kg", "HT", "cm")})):
        assert {name: source.draw(key, data)[name] for name in plain} == plain


def test_a_chart_at_its_scores():
    """L 1: M (1 + S z); L 0: M exp(S z); half way between two ages, half way between their medians."""
    for girl, age, z, wanted in (
        (False, 30.0, 1.0, None),
        (True, 24.0, 2.0, 11 * np.exp(0.2)),
        (True, 24.0, 0.0, 11.0),
    ):
        found = float(CHART.value(jnp.asarray(age), jnp.asarray(girl), jnp.asarray(z)))
        line = np.interp(age, [24, 65, 240], [12, 20, 72]) * 1.1
        assert found == pytest.approx(line if wanted is None else wanted, rel=1e-12)


def test_children_by_charts(data):
    drawn = preview(CHILDREN, data, jax.random.key(8), N)
    assert abs(drawn["SEX"].mean() - 0.5) < 4 * 0.5 / np.sqrt(N)
    assert drawn["AGE"].min() >= 2
    boys = drawn["SEX"] == 1
    middle = np.interp(12 * drawn["AGE"][boys], [24, 65, 240], [12, 20, 72])
    z = (drawn["WT"][boys] / middle - 1) / 0.1
    law = stats.truncnorm(-3, 3)
    assert abs(z.mean()) < 4 * law.std() / np.sqrt(boys.sum())
    assert abs(z.std() - law.std()) < 4 * law.std() / np.sqrt(2 * boys.sum())
    assert np.abs(z).max() <= 3 + 1e-9
    assert abs(np.corrcoef(z, drawn["HT"][boys] / middle)[0, 1] - 0.6) < 4 * 0.64 / np.sqrt(boys.sum()) + 0.01


@pytest.mark.external
def test_a_table_of_real_people_keeps_its_numbers(data):
    """NHANES: means, and the correlation of weight and height, of the drawn within four standard errors of the file."""
    folder = SHARED / "data" / "covariates_nhanes"
    source = Table(str(folder / "covariates_nhanes.csv"), {"AGE": "year", "SEX": "", "WT": "kg", "HT": "cm"})
    assert len(source.rows) == 6475  # meta.json: rows
    drawn = preview(source, data, jax.random.key(9), N)
    for name, column in zip(source.unit, source.rows.T, strict=True):
        assert abs(drawn[name].mean() - column.mean()) < 4 * column.std() / np.sqrt(N)
    wanted = np.corrcoef(source.rows[:, 2], source.rows[:, 3])[0, 1]
    assert abs(np.corrcoef(drawn["WT"], drawn["HT"])[0, 1] - wanted) < 4 / np.sqrt(N)
    # Grown men: 88.7 kg and 175.9 cm; the survey's own weighted means differ from plain ones by less than 1 kg or cm.
    men = source.rows[(source.rows[:, 0] >= 20) & (source.rows[:, 1] == 1)]
    assert np.abs(men[:, 2:].mean(0) - [88.7, 175.9]).max() < 1.0


# Months of age, and the 3rd, 5th, 50th, 95th and 97th percentile that the CDC prints (growth charts 2000, tables of
# weight-for-age and stature-for-age, 2 to 20 years).
PERCENTILES = [
    ("wtage", "kg", False, 24.0, (10.38209, 10.64009, 12.67076, 15.18777, 15.59648)),
    ("wtage", "kg", False, 120.5, (24.19264, 24.94392, 32.08799, 46.15753, 49.41515)),
    ("htage", "cm", False, 180.5, (154.6056, 156.6566, 170.1393, 182.4429, 184.127)),
    ("htage", "cm", True, 60.5, (99.35047, 100.3891, 107.9566, 116.1301, 117.3552)),
    ("htage", "cm", True, 120.5, (125.9599, 127.4524, 138.2112, 149.6044, 151.292)),
]


@pytest.mark.external
@pytest.mark.parametrize(("name", "unit", "girl", "month", "printed"), PERCENTILES)
def test_real_growth_charts_have_their_printed_percentiles(name, unit, girl, month, printed):
    """To the digits printed, seven: half a unit of the last is at most 5e-7 of the value, and the LMS have as many."""
    chart = Chart(str(SHARED / "data" / "covariates_growth" / f"cdc_{name}.csv"), unit)
    scores = jnp.asarray(stats.norm.ppf([0.03, 0.05, 0.5, 0.95, 0.97]))
    found = jax.vmap(lambda z: chart.value(jnp.asarray(month), jnp.asarray(girl), z))(scores)
    np.testing.assert_allclose(found, printed, rtol=1e-6)


def test_rows_are_drawn_in_proportion_to_their_weights(data, tmp_path):
    """Within four standard errors; a row of weight 0 is never drawn, one without a weight is left out."""
    path = tmp_path / "survey.csv"
    path.write_text("WT,W\n50,1\n60,3\n70,0\n80,6\n90,\n")
    source = Table(str(path), {"WT": "kg"}, weight="W")
    found = preview(source, data, jax.random.key(10), N)["WT"]
    assert set(np.unique(found)) == {50.0, 60.0, 80.0}
    for value, share in ((50, 0.1), (60, 0.3), (80, 0.6)):
        assert abs((found == value).mean() - share) < 4 * np.sqrt(share * (1 - share) / N)
    assert "in proportion to W" in source.describe()
    path.write_text("WT,W\n50,-1\n60,3\n")
    with pytest.raises(UserError, match=r"weights W of .* must be 0 or more"):
        Table(str(path), {"WT": "kg"}, weight="W")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Table("nowhere.csv", {"WT": "kg"}), "There is no file 'nowhere.csv'"),
        (lambda: Table(PEOPLE, {"WTT": "kg"}), r"has no column WTT. Did you mean 'WT'"),
        (lambda: Table(PEOPLE, {}), "needs units"),
        (lambda: Copula({"WT": WEIGHT}, {"WT": {"HT": 0.5}}), "has 'HT', which is no covariate here"),
        (lambda: Copula({"WT": WEIGHT, "HT": HEIGHT}, {"WT": {"HT": 1.2}}), "no correlation of any numbers"),
        (lambda: Copula({"WT": WEIGHT, "HT": HEIGHT}, {"WT": {"HT": 0.1}, "HT": {"WT": 0.1}}), "twice"),
        (lambda: LogNormalMargin("kg", -1.0, 0.2), "median > 0"),
        (lambda: TruncatedNormalMargin("kg", 1.0, 0.2, 2.0, 1.0), "lower < upper"),
        (lambda: GammaMargin("kg", 1.0, 0.0), "cv > 0"),
        (lambda: CategoricalMargin({0: 0.5, 1: 0.6}), "1 together"),
        (lambda: Genotypes(SIZES, "G", {"a": Allele(0.5, 0.0)}), "1 together"),
        (lambda: Genotypes(SIZES, "WT", ALLELES), "gives WT already"),
        (lambda: Criteria(SIZES), "need at_least or at_most"),
        (lambda: Criteria(SIZES, {"WTT": "5 kg"}), "Criteria go by WTT.*Did you mean 'WT'"),
        (lambda: Criteria(SIZES, {"WT": "5 cm"}), "cannot be converted"),
        (lambda: Criteria(SIZES, {"WT": "90 kg"}, {"WT": "80 kg"}), "nobody is"),
        (lambda: Criteria(SIZES, {"WT": "119.9 kg"}), "candidates .* fulfil the criteria .*less than the 1 %"),
        (lambda: Derived(SIZES, {"PMA": PostmenstrualAge()}), "PMA needs AGE, which its source does not give"),
        (lambda: Derived(SIZES, {"BMI": BodyMassIndex(height_unit="m")}), "HT is in 'cm', but the formula of BMI"),
        (
            lambda: GrowthCharts(UniformMargin("year", 1.0, 18.0), {"WT": CHART}),
            "24 to 240 months, but ages from 12",
        ),
        (lambda: GrowthCharts(UniformMargin("kg", 1.0, 18.0), {"WT": CHART}), "cannot be converted"),
    ],
)
def test_mistakes(make, said, data):
    with pytest.raises(UserError, match=said):
        make().check(data)
