import re
from html.parser import HTMLParser

import pytest
import xarray as xr

from vtrial import schema
from vtrial.report import figures, render, tables
from vtrial.report.page import _etas


@pytest.fixture(scope="module")
def page(quick):
    return (quick / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(page):
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)[^"']*["']""", page)
    assert "<script" not in page
    assert len(page) < 3_000_000


def test_the_page_is_well_formed_and_complete(page):
    class Count(HTMLParser):
        open_tags, headings, void = [], [], {"meta", "br", "link", "img", "input", "hr"}

        def handle_starttag(self, tag, attrs):
            if tag not in self.void:
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    parser = Count()
    parser.feed(page)
    assert parser.open_tags == []
    for part in (
        "Data",
        "Model",
        "Health of the fit",
        "Posterior",
        "Goodness of fit",
        "Predictive checks",
        "Virtual trials",
        "Decision",
        "Provenance",
    ):
        assert re.search(rf"<h2>\d\. {part}</h2>", page)
    assert page.count("<svg") == page.count('role="img" aria-label="') == 11
    assert "mg/L" in page


def test_the_same_result_gives_the_same_page(tree, page):
    assert render(tree) == page


def test_long_trials_are_said_in_days_as_well(tree):
    assert f"h ({float(tree[schema.OPERATING_CHARACTERISTICS]['duration']) / 24:.3g} d)." in tables.course_of_trials(
        tree
    )


@pytest.mark.parametrize(("share", "scale"), [(0.5, "linear"), (0.01, "log")])
def test_a_limit_far_below_the_courses_is_drawn_on_a_logarithmic_axis(share, scale, tree, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "svg", lambda draw, _: drawn.append(draw()) or "")
    group = tree[schema.OUTCOMES].dataset
    primary = tree[schema.OPERATING_CHARACTERISTICS].attrs["primary"]
    top = float(group[f"course_{group[primary].attrs['output']}"].max())
    copied = tree.copy()
    copied[schema.OUTCOMES] = xr.DataTree(group.assign({primary: group[primary].assign_attrs(marks=[share * top])}))
    figures.courses(copied)
    assert {axes.get_yscale() for axes in drawn[0].axes} == {scale}
    assert all(axes.get_ylim()[0] < share * top < axes.get_ylim()[1] for axes in drawn[0].axes)


def test_tables_have_a_row_for_everything(tree):
    assert len(tables.posterior(tree).rows) == 3 + 3 + 3 + 2  # typical values, omegas, correlations, residual error
    assert len(tables.arms(tree).rows) == 7 * 3
    assert [row[0] for row in tables.characteristics(tree).rows] == [
        f"{dose} mg every 12 h" for dose in (200, 300, 400)
    ]


def test_a_forced_fit_is_in_red(tree):
    failed = tree.copy()
    health = tree[schema.FIT_HEALTH].to_dataset()
    passed = health["passed"].copy()
    passed[0] = False
    failed[schema.FIT_HEALTH] = xr.DataTree(
        health.assign(passed=passed).assign_attrs(gate_passed=False, gate_forced=True)
    )
    page = render(failed)
    assert 'class="warning">The fit below did NOT pass' in page
    assert 'tr class="alarm"' in page


def test_failed_solves_are_named_by_reason(tree, page):
    assert re.search(
        r"Solves of the observed subjects at the draws kept: all \d+ succeeded\. Failed where the sampler", page
    )
    assert tables.failures(tree).rows == []
    outcomes = tree[schema.OUTCOMES].to_dataset()
    code = outcomes["code"].copy()
    code[1, 5, 2] = 2
    failed = tree.copy()
    failed[schema.OUTCOMES] = xr.DataTree(outcomes.assign(code=code))
    (row,) = tables.failures(failed).rows
    assert row[0::2] == ["2", "1"]
    assert row[3] == "replicate 1, subject 5, arm high"
    assert row[1] in render(failed)


def test_no_recommendation_is_said(tree):
    other = tree.copy()
    oc = tree[schema.OPERATING_CHARACTERISTICS].to_dataset()
    other[schema.OPERATING_CHARACTERISTICS] = xr.DataTree(oc.assign_attrs(oc.attrs | {"recommended": ""}))
    assert "No arm is recommended" in render(other)


def test_without_covariates_or_random_effects_their_figures_are_left_out(tree):
    other, constant = tree.copy(), tree[schema.CONSTANT_DATA].to_dataset()
    other[schema.CONSTANT_DATA] = xr.DataTree(
        constant.drop_vars([n for n in constant if constant[n].dims == ("subject",)])
    )
    found = _etas(other)
    assert found["distributions"]
    assert not found["covariates"]
    other[schema.GOODNESS_OF_FIT] = xr.DataTree(tree[schema.GOODNESS_OF_FIT].to_dataset().drop_dims(schema.EFFECT))
    assert not any(_etas(other).values())
