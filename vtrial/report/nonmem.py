"""The goodness-of-fit tables as files: `sdtab` of every record and `patab` of every subject, by NONMEM's names.

`sdtab` has dose records (EVID 1 or 4, MDV 1) and observations, by subject and time; what a dose record does not have,
such as PRED, is missing. ID is the subject as the data name it. CMT is the number of the model's state dosed into and
DVID that of the output observed, both from 1 in the model's order. CENS is 1 for a value only known to be below DV, -1
for one above it. ETAs, KAPPAs of each occasion (`KAPPA_CL_2`), the probability of each class (`P_poor`), MIXEST (the
number of the most probable one, from 1) and covariates stand in every row. `patab` has the posterior mean etas, their
standard deviations, and the posterior mean of every parameter that varies between people.
"""

import io

import numpy as np
import polars as pl
import xarray as xr

from vtrial import schema
from vtrial.population.mixture import PROBABILITY

_RECORD = ["ID", "TIME", "TAD", "EVID", "MDV", "AMT", "CMT", "DVID", "DV"]
_FIT = ["PRED", "IPRED", "RES", "IRES", "WRES", "CWRES", "IWRES", "NPDE", "NPD", "PI05", "PI95", "CENS"]
_VARYING = "covariate_"
_OWN = "_individual"


def sdtab(tree: xr.DataTree) -> pl.DataFrame:
    """Return every record with its predictions and residuals."""
    rows = pl.concat([_doses(tree), _observations(tree)], how="diagonal_relaxed")
    subjects = _subjects(tree)
    order = {name: i for i, name in enumerate(subjects["ID"])}
    # An observation at the time of a dose comes after it where its time after dose is 0.
    after = pl.when(pl.col("EVID") > 0).then(1).when(pl.col("TAD") == 0).then(2).otherwise(0)
    rows = rows.with_columns(
        pl.col("ID").replace_strict(order, return_dtype=pl.Int64).alias("_who"), after.alias("_at")
    )
    rows = (
        rows.sort("_who", "TIME", "_at", maintain_order=True)
        .drop("_who", "_at")
        .join(subjects, on="ID", how="left", maintain_order="left")
    )
    for name in [c for c in rows.columns if c.startswith(_VARYING)]:
        rows = rows.with_columns(pl.col(name).alias(name.removeprefix(_VARYING))).drop(name)
    return rows.select([*_RECORD, *_FIT, *[c for c in rows.columns if c not in {*_RECORD, *_FIT}]])


def patab(tree: xr.DataTree) -> pl.DataFrame:
    """Return every subject with its etas, parameters and covariates."""
    posterior, table, columns = tree[schema.POSTERIOR].dataset, _subjects(tree), {}
    over = (schema.CHAIN, schema.DRAW)
    effects = [c.removeprefix("ETA_") for c in table.columns if c.startswith("ETA_")]
    for effect in effects:
        columns[f"ETA_{effect}_SD"] = posterior[f"{effect}_eta"].std(over, ddof=1).to_numpy()
    every = [str(n).removesuffix(_OWN) for n in posterior.data_vars if str(n).endswith(_OWN)]
    for name in dict.fromkeys([*effects, *every]):
        columns[name] = posterior[name + _OWN].mean(over).to_numpy()
    return table.with_columns(**{n: pl.Series(v) for n, v in columns.items()})


def nonmem_files(tree: xr.DataTree) -> dict[str, bytes]:
    """Return the contents of sdtab and patab, each as CSV and as Parquet."""
    found = {}
    for name, table in (("sdtab", sdtab(tree)), ("patab", patab(tree))):
        found |= {f"{name}.csv": csv(table).encode(), f"{name}.parquet": parquet(table)}
    return found


def csv(table: pl.DataFrame) -> str:
    """Return a table as text; a missing value is ".", as NONMEM has it."""
    return table.with_columns(pl.selectors.float().fill_nan(None)).write_csv(null_value=".")


def parquet(table: pl.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file; what is missing is null."""
    buffer = io.BytesIO()
    table.with_columns(pl.selectors.float().fill_nan(None)).write_parquet(buffer)
    return buffer.getvalue()


def _subjects(tree: xr.DataTree) -> pl.DataFrame:
    """Return the etas and covariates of every subject."""
    group, constant = tree[schema.GOODNESS_OF_FIT].dataset, tree[schema.CONSTANT_DATA].dataset
    varying = {str(n).removeprefix(_VARYING) for n in group.data_vars if str(n).startswith(_VARYING)}
    columns: dict[str, np.ndarray] = {"ID": constant[schema.SUBJECT].to_numpy().astype(str)}
    effects = group[schema.EFFECT].to_numpy() if schema.EFFECT in group.dims else []
    columns |= {f"ETA_{effect}": group[f"ETA_{effect}"].to_numpy() for effect in effects}
    for name in (str(n) for n in group.data_vars if str(n).startswith("KAPPA_")):
        columns |= {
            f"{name}_{o:g}": group[name].sel({schema.OCCASION: o}).to_numpy() for o in group[schema.OCCASION].values
        }
    columns |= _classes(tree)
    for name in (str(n) for n in constant.data_vars):
        if constant[name].dims == (schema.SUBJECT,) and name not in varying:
            columns[name] = constant[name].to_numpy()
    return pl.DataFrame(columns)


def _classes(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the posterior probability of each class of every subject, and the most probable one."""
    posterior = tree[schema.POSTERIOR].dataset
    if PROBABILITY not in posterior:
        return {}
    mean = posterior[PROBABILITY].mean((schema.CHAIN, schema.DRAW)).transpose(schema.SUBJECT, schema.CLASS)
    found = {f"P_{name}": mean.sel({schema.CLASS: name}).to_numpy() for name in mean[schema.CLASS].to_numpy()}
    return found | {"MIXEST": 1 + mean.to_numpy().argmax(1)}


def _doses(tree: xr.DataTree) -> pl.DataFrame:
    """Return the dose records, additional doses not written out (ADDL and II say them)."""
    group = tree[schema.CONSTANT_DATA].dataset
    count, states = group.sizes[schema.RECORD], [str(s) for s in tree.attrs["states"]]
    varying = [str(n) for n in group.data_vars if str(n).startswith(f"dose_{_VARYING}")]
    return pl.DataFrame(
        {
            "ID": group["dose_subject"].to_numpy().astype(str),
            "TIME": group["dose_time"].to_numpy(),
            "TAD": np.zeros(count),
            "EVID": group["dose_evid"].to_numpy(),
            "MDV": np.ones(count, int),
            "AMT": group["dose_amount"].to_numpy(),
            "CMT": np.array([states.index(str(s)) + 1 for s in group["dose_state"].to_numpy()], int),
            "ADDL": group["dose_additional"].to_numpy(),
            "II": group["dose_interval"].to_numpy(),
        }
        | {name.removeprefix("dose_"): group[name].to_numpy() for name in varying}
    )


def _observations(tree: xr.DataTree) -> pl.DataFrame:
    """Return the observations with all that the goodness-of-fit group says of them."""
    group, seen = tree[schema.GOODNESS_OF_FIT].dataset, tree[schema.OBSERVED_DATA].dataset
    count, outputs = seen.sizes[schema.OBS], [str(o) for o in tree.attrs["outputs"]]
    columns = {
        "ID": seen["subject"].to_numpy().astype(str),
        "TIME": seen["time"].to_numpy(),
        "EVID": np.zeros(count, int),
        "MDV": np.zeros(count, int),
        "AMT": np.zeros(count),
        "DVID": np.array([outputs.index(str(o)) + 1 for o in seen["output"].to_numpy()], int),
        "DV": seen[schema.DV].to_numpy(),
        "ADDL": np.zeros(count, int),
        "II": np.zeros(count),
    }
    own = {str(n): group[n].to_numpy() for n in group.data_vars if group[n].dims == (schema.OBS,)}
    return pl.DataFrame(columns | own)
