"""`vtrial optimise`: a search for doses or sampling times, on the posterior of a study."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from vtrial import __version__, keys, schema
from vtrial.errors import UserError
from vtrial.inference import Prior, Saved, groups
from vtrial.optimise import AbstractSearch, Ground
from vtrial.store import locked, write_whole
from vtrial.study import Study

log = logging.getLogger(__name__)


def optimise(search: AbstractSearch, study: Study, directory: Path, about: Mapping[str, str]) -> str:
    """Search, write optimum.zarr and optimum.json, and return what to tell in a terminal.

    Raises:
        UserError: the study's inference would fit first, or the search does not fit the study.
    """
    if not isinstance(study.inference, Prior | Saved):
        raise UserError(
            "vtrial optimise stands on a posterior that has passed its gate: run the study, then say inference=saved "
            "inference.path=RUN/result.zarr; or inference=prior for the priors themselves."
        )
    data = study.data.read(study.model)
    statistical = study.statistical(data)
    log.info("%s", study.solver.check(study.model, statistical.population.typical()))
    key = jax.random.key(study.seed)
    fitted = study.inference(keys.named(keys.named(key, "calibrate"), "sample"), statistical, data)
    posterior = groups.draws(fitted[schema.POSTERIOR])
    arms = dict(zip(study.design.names, study.design.arms, strict=True))
    found = search(keys.named(key, "optimise"), Ground(statistical, data, posterior, study.cohort, arms))
    found.attrs |= dict(about) | {"search": str(search), "seed": study.seed, "version": __version__}
    with locked(directory):
        found.to_zarr(directory / "optimum.zarr", mode="w", zarr_format=3, consolidated=False)
        write_whole(directory / "optimum.json", _written(found))
    return "\n".join([*found.attrs["sentences"], f"Everything is in {directory}"])


def _written(found: xr.Dataset) -> str:
    """Return sentences, and every variable that is no matter of replicates, as JSON."""
    kept = {str(n): _known(v.to_numpy().tolist()) for n, v in found.variables.items() if schema.REPLICATE not in v.dims}
    return json.dumps({"sentences": found.attrs["sentences"], **kept}, indent=1, allow_nan=False) + "\n"


def _known(value: Any) -> Any:
    """Return numbers, in lists or not, with null for what is none, as JSON has it."""
    if isinstance(value, list):
        return [_known(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
