"""The table of parameters as files for other programs."""

import io

import polars as pl
import xarray as xr

from vtrial import schema

_ORDER = (
    *("median", "mean", "sd", "rse", "lower", "upper", "shrinkage", "shrinkage_variance", "contraction"),
    *("r_hat", "ess_bulk", "ess_tail", "mcse_median", "mcse_mean", "mcse_sd", "mcse_lower", "mcse_upper", "fixed"),
)


def parameter_frame(tree: xr.DataTree) -> pl.DataFrame:
    """Return the table of parameters, every number in full; `long_name`s in the group explain them."""
    group = tree[schema.PARAMETER_TABLE].dataset
    names = [schema.PARAMETER, "kind", "unit", *_ORDER, "prior"]
    return pl.DataFrame({n: group[n].to_numpy().tolist() for n in names}).with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )


def parameter_files(tree: xr.DataTree) -> dict[str, bytes]:
    """Return the contents of parameters.csv and parameters.parquet."""
    frame, buffer = parameter_frame(tree), io.BytesIO()
    frame.write_parquet(buffer)
    return {"parameters.csv": frame.write_csv().encode(), "parameters.parquet": buffer.getvalue()}
