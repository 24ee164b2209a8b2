"""Trials over several models: outcomes of finished runs mixed by stacking weight, conducted and decided anew."""

from collections.abc import Mapping
from pathlib import Path

import jax
import xarray as xr

from vtrial import diagnose, keys, schema
from vtrial.errors import UserError
from vtrial.run import conducted
from vtrial.study import Study
from vtrial.trial import mix

_SAME = ("cohort", "design", "arms", "regimens", "endpoints", "primary", "analysis", "decision_rule", "seed")
"""What runs must share: everything about the trials, nothing about the model."""


def average(study: Study, trees: Mapping[str, xr.DataTree]) -> xr.DataTree:
    """Return the groups of trials and decision averaged over models, and the comparison that gave the weights.

    Args:
        study: that of any of the runs; its design, analysis and decision are theirs too.
        trees: finished results by model.

    Raises:
        UserError: the runs are of different data or trials.
    """
    compared = diagnose.compare(trees)
    first, *others = trees
    for name in others:
        if different := [k for k in _SAME if trees[first].attrs[k] != trees[name].attrs[k]]:
            raise UserError(
                f"'{first}' and '{name}' have another {' and '.join(different)}; trials are averaged over models that "
                "share all but the model."
            )
    weights = {name: float(compared["weight"].sel(model=name)) for name in trees}
    key = keys.named(jax.random.key(study.seed), "average")
    outcomes = mix(keys.named(key, "model"), {n: t[schema.OUTCOMES].to_dataset() for n, t in trees.items()}, weights)
    groups = {schema.OUTCOMES: outcomes, "comparison": compared} | conducted(keys.named(key, "trial"), study, outcomes)
    return xr.DataTree.from_dict(groups)


def write(tree: xr.DataTree, place: Path, page: str) -> None:
    """Write averaged.zarr and averaged.html into a directory that has neither.

    Raises:
        UserError: one is there.
    """
    place.mkdir(parents=True, exist_ok=True)
    if (place / "averaged.zarr").exists():
        raise UserError(f"{place} holds averaged trials already; give another directory.")
    tree.to_zarr(place / "averaged.zarr", mode="w", zarr_format=3, consolidated=False)
    (place / "averaged.html").write_text(page, encoding="utf-8")
