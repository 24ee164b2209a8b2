"""The check stage: the data against what the fit says they should be."""

import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import keys, schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.diagnose.goodness import goodness_of_fit
from vtrial.diagnose.limits import limits
from vtrial.diagnose.predictive import predictive_bands
from vtrial.diagnose.replicate import population_predictions, replicated
from vtrial.diagnose.survival import survival
from vtrial.diagnose.vpc import VisualCheck
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractDiscrete


def categories(statistical: StatisticalModel) -> dict[str, int]:
    """Return the largest number of each output that is a category."""
    found = {o: noise.largest() for o, noise in statistical.noise.items() if isinstance(noise, AbstractDiscrete)}
    return {o: largest for o, largest in found.items() if largest is not None}


def check_fit(
    key: Key[Array, ""],
    visual: VisualCheck,
    statistical: StatisticalModel,
    data: Dataset,
    *,
    prior: Values,
    posterior: Values,
    individual: Float[np.ndarray, " obs"],
) -> dict[str, xr.Dataset]:
    """Return the visual and predictive checks, and the goodness-of-fit table, by group.

    Args:
        key: random key.
        visual: the visual predictive check.
        statistical: the fitted model.
        data: the observed data.
        prior: draws of the prior, leading axis the draw; each is replicated once at most.
        posterior: draws of the posterior, likewise.
        individual: IPRED of all outputs on one long axis: the posterior median.
    """
    count, known = visual.replicates, len(next(iter(prior.values())))
    before = replicated(keys.named(key, "before"), prior, statistical, data, min(count, known))
    simulated = replicated(keys.named(key, "replicate"), posterior, statistical, data, count)
    prediction = population_predictions(posterior, statistical, data)
    censored = limits(statistical, data)
    check = visual(simulated, prediction, data, censored, categories(statistical))
    table = goodness_of_fit(
        keys.named(key, "ranks"),
        posterior,
        statistical,
        data,
        censored=censored,
        simulated=simulated,
        prediction=prediction,
        individual=individual,
    )
    curves = survival(keys.named(key, "survival"), posterior, statistical, data, count, visual.layers(data))
    bands = predictive_bands(before, simulated, check, data)
    group = xr.merge([check, bands, *curves], combine_attrs="override")
    return {schema.VPC: group, schema.GOODNESS_OF_FIT: table}
