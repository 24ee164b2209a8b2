"""Several models in one set of trials: each virtual trial happens in the world of one model, chosen by weight."""

from collections.abc import Mapping

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, Key

from vtrial import schema
from vtrial.errors import UserError


def allotted(key: Key[Array, ""], weights: Mapping[str, float], replicates: int) -> Int[np.ndarray, " replicate"]:
    """Return which model each replicate is of: as many of each as its weight says, to the nearest, in random order."""
    share = replicates * np.array(list(weights.values())) / sum(weights.values())
    count = np.floor(share).astype(int)
    for model in np.argsort(count - share, kind="stable")[: replicates - count.sum()]:
        count[model] += 1
    return np.asarray(jax.random.permutation(key, np.repeat(np.arange(len(count)), count)))


def mix(key: Key[Array, ""], outcomes: Mapping[str, xr.Dataset], weights: Mapping[str, float]) -> xr.Dataset:
    """Return potential outcomes in which replicate r is replicate r of one model, chosen by weight.

    A replicate is a posterior draw of its model: between replicates there is then the uncertainty of parameters and of
    models, within one there is the variability of patients in one possible world. Models need share nothing but what
    patients are given and what is seen of them; `model` says which one each replicate is of.

    Args:
        key: random key.
        outcomes: potential outcomes by model, of the same arms, endpoints and numbers of replicates and patients.
        weights: of each model; they need not sum to 1.

    Raises:
        UserError: the tables are not of the same arms, endpoints and sizes.
    """
    first, *others = outcomes
    for name in others:
        _refuse_other_trials(first, outcomes[first], name, outcomes[name])
    which = allotted(key, {name: weights[name] for name in outcomes}, outcomes[first].sizes[schema.REPLICATE])
    mixed = outcomes[first].copy()
    for name, variable in outcomes[first].data_vars.items():
        values = np.stack([table[name].to_numpy() for table in outcomes.values()])
        mixed[name] = (variable.dims, values[which, np.arange(len(which))], variable.attrs)
    model = np.array(list(outcomes))[which]
    return mixed.assign(model=(schema.REPLICATE, model, {"long_name": "Model the replicate is of"}))


def _refuse_other_trials(name: str, one: xr.Dataset, other_name: str, two: xr.Dataset) -> None:
    """Refuse tables that are not of the same trials.

    Raises:
        UserError: saying in what they differ.
    """
    what = [str(d) for d in one.sizes if one.sizes[d] != two.sizes.get(d)]
    what += [str(c) for c in one.coords if c not in what and not np.array_equal(one[c].to_numpy(), two[c].to_numpy())]
    if set(one.data_vars) != set(two.data_vars):
        what.append("endpoint")
    else:
        what += [str(v) for v in one.data_vars if one[v].attrs != two[v].attrs]
    if what:
        raise UserError(f"'{name}' and '{other_name}' are not of the same trials: they differ in {', '.join(what)}.")
