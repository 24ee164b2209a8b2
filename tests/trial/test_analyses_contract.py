"""Every analysis of values and visits, found by listing: shapes, mapping, the reference, and hopeless tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import finished, layouts
from vtrial import schema
from vtrial.design import revealed
from vtrial.errors import UserError
from vtrial.statistics.multiplicity import Fallback, Holm
from vtrial.trial import (
    AbstractAnalysis,
    Adjusted,
    Ancova,
    BayesianMeans,
    BayesianProportions,
    BorrowedMeans,
    BorrowedProportions,
    ConcentrationQtc,
    LinearShape,
    Logistic,
    LogLinearShape,
    McpMod,
    Means,
    Mmrm,
    MultipleImputation,
    Proportions,
    ReferenceBased,
)

EXAMPLES = {
    Adjusted: Adjusted(Means("a"), Holm()),
    Ancova: Ancova("a", ["x"]),
    BayesianMeans: BayesianMeans("a", prior_sd=2.0),
    BayesianProportions: BayesianProportions("a"),
    BorrowedMeans: BorrowedMeans("a", [0.0, 0.3], [0.2, 0.3], 1.0),
    BorrowedProportions: BorrowedProportions("a", [12, 9], [25, 20], components=1),
    ConcentrationQtc: ConcentrationQtc("a"),
    Logistic: Logistic("a", ["x"]),
    McpMod: McpMod("a", {"a": 0.0, "b": 5.0, "c": 10.0}, {"line": LinearShape(), "log": LogLinearShape(0.1)}),
    Means: Means("a"),
    Mmrm: Mmrm("a", ["x"]),
    MultipleImputation: MultipleImputation("a", ["x"], number=5),
    Proportions: Proportions("a"),
    ReferenceBased: ReferenceBased("a", ["x"]),
}
"""One of each, with reference a."""
SLOW = (ConcentrationQtc, Mmrm, MultipleImputation, ReferenceBased)
KINDS = [
    pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k
    for k in finished(AbstractAnalysis)
    if not {"event", "periods"} & set(layouts(k))
]
"""Those on events and crossovers are in `test_analyses`."""
PATIENTS, ARMS = 60, 3
TABLES = ("whole", "other", "missing", "unknown", "infinite", "constant", "empty")


def trials(analysis):
    """Return trials by name: arms and outcomes, of the layout and kind the analysis reads."""
    draw = np.random.default_rng(5)
    rest = {"visits": (3,)}.get(analysis.layouts[0], ()) + ((2,) if analysis.beside else ())
    shape = (len(TABLES), PATIENTS, *rest)
    outcome = draw.integers(0, 2, shape).astype(float) if analysis.binary else draw.normal(size=shape)
    if rest == (3, 2):
        outcome[..., 1] = np.exp(outcome[..., 1])  # concentrations
    arm = np.tile(np.arange(PATIENTS) % ARMS, (len(TABLES), 1))
    at = {name: i for i, name in enumerate(TABLES)}
    outcome[at["missing"]] = np.where(draw.random(shape[1:]) < 0.3, np.nan, outcome[at["missing"]])
    outcome[at["unknown"]] = np.nan
    outcome[at["infinite"], 1] = np.inf
    outcome[at["constant"]] = 1.0
    arm[at["empty"]] = np.where(arm[at["empty"]] == 2, -1, arm[at["empty"]])
    outcome[at["empty"]][arm[at["empty"]] < 0] = np.nan
    return jnp.asarray(arm), jnp.asarray(outcome), at


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind):
    analysis = EXAMPLES[kind]
    arm, outcome, at = trials(analysis)
    covariates = {"x": jnp.asarray(np.random.default_rng(6).normal(size=PATIENTS))}

    def compare(arm, outcome):
        return analysis.compare(revealed(arm, outcome, covariates=covariates), ARMS, 0)

    many = jax.jit(jax.vmap(compare))(arm, outcome)
    assert {field.shape for field in jax.tree.leaves(many)} == {(len(TABLES), ARMS)}
    # A code and what is not a number say the same, and every code has words.
    for name in ("difference", "lower", "upper", "p", "statistic"):
        np.testing.assert_array_equal(np.isfinite(getattr(many, name)), many.code == 0, err_msg=name)
    assert set(np.unique(many.code)) <= set(schema.ANALYSIS_CODES)
    for table, codes in {"whole": (0, 0, 0), "missing": (0, 0, 0), "unknown": (1, 1, 1), "infinite": (0, 4, 0)}.items():
        assert many.code[at[table]].tolist() == list(codes), table
    assert many.code[at["empty"]].tolist() == [0, 0, 1]
    assert analysis.binary or (np.asarray(many.code[at["constant"], 1:]) != 0).all()
    good = np.asarray(many.code) == 0
    assert (np.asarray(many.lower) <= np.asarray(many.difference) + 1e-12)[good].all()
    assert ((np.asarray(many.p) >= 0) & (np.asarray(many.p) <= 1))[good].all()
    # Against itself the reference shows no difference.
    own = good[:, 0]
    assert (np.asarray(many.difference)[own, 0] == 0).all()
    assert (np.asarray(many.p)[own, 0] == 1).all()
    one = jax.jit(compare)(arm[at["missing"]], outcome[at["missing"]])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b[at["missing"]], rtol=1e-6, atol=1e-9)
    table = outcome[at["whole"]].reshape(PATIENTS // ARMS, ARMS, *outcome.shape[2:])
    level, effect = analysis.target(table, 0)
    assert level.shape == effect.shape == (ARMS,)
    assert effect[0] == 0
    assert 0 < analysis.alpha < 1
    assert analysis.describe()
    assert analysis.unit("mg") in ("mg", "")


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        (Adjusted(Means("a"), Fallback((0.5, 0.3, 0.2))), "weights for 3 hypotheses, but there are 2"),
        (EXAMPLES[McpMod], r"doses of a, b, c, but the arms of the design are a, c, b"),
        (Adjusted(EXAMPLES[McpMod], Holm()), "give the dose of each arm, in their order"),
    ],
)
def test_settings_for_each_arm_are_checked_against_the_design(analysis, said):
    with pytest.raises(UserError, match=said):
        analysis.check_arms(("a", "c", "b"))
