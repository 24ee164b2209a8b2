"""Prior and posterior predictive checks: what the model expected to be measured, before the data and after."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float

from vtrial import schema
from vtrial.data import Dataset
from vtrial.diagnose.discrete import INTERVAL


def predictive_bands(
    before: Mapping[str, Float[np.ndarray, "earlier obs"]],
    after: Mapping[str, Float[np.ndarray, "replicate obs"]],
    check: xr.Dataset,
    data: Dataset,
) -> xr.Dataset:
    """Return 2.5, 50 and 97.5 % quantiles of single measurements in new subjects, in the bins of a visual check.

    Args:
        before: replicates of each output from draws of the prior; those that could not be solved are left out.
        after: replicates from draws of the posterior.
        check: the visual check, which says in which bin an observation is.
        data: the observed data.
    """
    result = {}
    for output in data.observations:
        member, bins = check[f"{output}_point_bin"].to_numpy(), f"{schema.BIN}_{output}"
        for name, simulated in (("prior", before[output]), ("posterior", after[output])):
            bands = [_quantiles(simulated[:, member == b]) for b in range(check.sizes[bins])]
            about = {
                "units": data.output_units[output],
                "long_name": f"{name.capitalize()} predictive quantiles of {output}",
            }
            result[f"{output}_{name}_predictive"] = (("interval", bins), np.stack(bands, axis=-1), about)
    return xr.Dataset(result)


def _quantiles(values: Float[np.ndarray, "replicate obs"]) -> Float[np.ndarray, " interval"]:
    known = values[np.isfinite(values)]
    return np.quantile(known, INTERVAL) if known.size else np.full(len(INTERVAL), np.nan)
