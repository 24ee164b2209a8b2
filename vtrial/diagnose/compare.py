"""Models compared by how well each predicts subjects it has not seen."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.errors import UserError

_STEPS = 100_000
_CLOSE = 1e-10
"""The weights stand still when a step changes none by more."""


def stacking_weights(elpd: Float[np.ndarray, "subject model"]) -> Float[np.ndarray, " model"]:
    """Return the weights with which a mixture of the models' predictions is best for subjects left out.

    They maximise the sum over subjects of log(sum over models of weight x density), which is concave; every step of
    expectation maximisation raises it. Source: Yao et al. 2018, doi:10.1214/17-BA1091.
    """
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))
    weight = np.full(density.shape[1], 1.0 / density.shape[1])
    for _ in range(_STEPS):
        shares = density * weight
        after = (shares / shares.sum(axis=1, keepdims=True)).mean(0)
        if np.abs(after - weight).max() < _CLOSE:
            break
        weight = after
    return weight / weight.sum()


def compare(trees: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Return leave-one-subject-out of each model, differences from the best, and stacking weights, best first.

    The standard error of a difference is over subjects, and paired: models that find the same subjects difficult differ
    by less than their own errors say (Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4).

    Args:
        trees: finished results, by the name each shall have.

    Raises:
        UserError: fewer than two, or they are of different data, or one has no leave-one-out by subject.
    """
    if len(trees) < 2:
        raise UserError("Comparing needs at least two finished runs.")
    first, *others = trees
    for name, tree in trees.items():
        if schema.LOO not in tree.children or "elpd" not in tree[schema.LOO]:
            raise UserError(
                f"'{name}' has no leave-one-out by subject; run it again with loo.draws above 0, on its observations."
            )
        if (missing := ~np.isfinite(tree[schema.LOO]["elpd"].to_numpy())).any():
            who = tree[schema.LOO][schema.SUBJECT].to_numpy()[missing]
            raise UserError(
                f"'{name}' has no elpd of ID {', '.join(map(str, who))}: the solve of some draws fails there."
            )
    for name in others:
        _refuse_other_data(first, trees[first], name, trees[name])
    loo = {name: tree[schema.LOO].dataset for name, tree in trees.items()}
    subjects = loo[first][schema.SUBJECT].to_numpy()
    values = {n: np.stack([g[n].sel({schema.SUBJECT: subjects}).to_numpy() for g in loo.values()]) for n in _BY_SUBJECT}
    elpd, error = values["elpd"], values["elpd_mcse"]
    best = int(elpd.sum(1).argmax())
    away, count = elpd - elpd[best], elpd.shape[1]
    columns = {
        "elpd": (elpd.sum(1), "Log predictive density of all subjects left out, their etas integrated out"),
        "elpd_se": (_spread(elpd, count), "Standard error of it over subjects"),
        "elpd_mcse": (np.sqrt((error**2).sum(1)), "Monte-Carlo standard error of it"),
        "p_loo": (values["p_loo"].sum(1), "Effective number of parameters"),
        "difference": (away.sum(1), "Difference from the best model"),
        "difference_se": (_spread(away, count), "Standard error of the difference over subjects"),
        "high_k": ((~(values["pareto_k"] <= 0.7)).sum(1), "Subjects with a Pareto k above 0.7"),
        "weight": (stacking_weights(elpd.T), "Stacking weight"),
        "passed": (np.array([_passed(t) for t in trees.values()]), "Whether the fit passed its gate"),
    }
    own = np.hypot(columns["elpd_mcse"][0], columns["elpd_mcse"][0][best])
    columns["difference_mcse"] = (
        np.where(np.arange(len(own)) == best, 0.0, own),
        "Monte-Carlo error of the difference",
    )
    rows = {n: ("model", v, {"long_name": what, "units": ""}) for n, (v, what) in columns.items()}
    each = xr.Variable(("model", schema.SUBJECT), elpd, {"long_name": "elpd of each subject", "units": ""})
    k = xr.Variable(each.dims, values["pareto_k"], {"long_name": "Pareto k of each subject", "units": ""})
    found = xr.Dataset(rows, {"model": list(trees), schema.SUBJECT: subjects}).assign(
        subject_elpd=each, subject_pareto_k=k
    )
    return found.isel(model=np.argsort(-elpd.sum(1), kind="stable"))


_BY_SUBJECT = ("elpd", "elpd_mcse", "p_loo", "pareto_k")


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """Return the standard error of the sum of each row."""
    return np.sqrt(count) * values.std(axis=1, ddof=1) if count > 1 else np.full(len(values), np.nan)


def _passed(tree: xr.DataTree) -> bool:
    return bool(tree[schema.FIT_HEALTH].attrs["gate_passed"])


def _refuse_other_data(name: str, tree: xr.DataTree, other_name: str, other: xr.DataTree) -> None:
    """Refuse runs whose observations differ: their densities are of different things.

    Raises:
        UserError: saying in what.
    """
    one, two = (t[schema.OBSERVED_DATA].dataset for t in (tree, other))
    if one.sizes[schema.OBS] != two.sizes[schema.OBS]:
        what = f"{one.sizes[schema.OBS]} and {two.sizes[schema.OBS]} observations"
    else:
        parts = (schema.DV, "time", "subject", "output", "unit")
        different = [p for p in parts if not np.array_equal(one[p].to_numpy(), two[p].to_numpy())]
        if not different:
            return
        what = f"another {' and '.join(different)}"
    raise UserError(
        f"'{name}' and '{other_name}' were fitted to different observations ({what}); only models of the same "
        "observations can be compared."
    )
