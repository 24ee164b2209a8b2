"""Prediction and variability correction of a visual predictive check.

Source: Bergstrand, Hooker, Wallin and Karlsson 2011, doi:10.1208/s12248-011-9255-z. Observations of a
bin differ because doses, covariates and times in it do; corrected, they differ by variability between subjects and
residual error alone.
"""

import numpy as np
from jaxtyping import Float, Int


def prediction_corrected(
    values: Float[np.ndarray, "*any obs"], prediction: Float[np.ndarray, " obs"], group: Int[np.ndarray, " obs"]
) -> Float[np.ndarray, "*any obs"]:
    """Return values times the median population prediction of their bin over their own.

    Outputs have the lower bound 0. Where the own prediction, or the median, is 0 or negative, values stay as they are.
    """
    middle = _within(prediction, group, np.median)
    sound = (prediction > 0) & (middle > 0)
    return values * np.where(sound, middle / np.where(sound, prediction, 1.0), 1.0)


def variability_corrected(
    values: Float[np.ndarray, "*any obs"],
    simulated: Float[np.ndarray, "replicate obs"],
    prediction: Float[np.ndarray, " obs"],
    group: Int[np.ndarray, " obs"],
) -> Float[np.ndarray, "*any obs"]:
    """Return prediction-corrected values, brought to the typical spread of their bin too.

    Args:
        values: prediction-corrected values.
        simulated: prediction-corrected replicates; their standard deviation is the expected spread of each observation.
        prediction: population predictions.
        group: bin of each observation.
    """
    spread, middle = np.nanstd(simulated, axis=0, ddof=1), _within(prediction, group, np.median)
    typical = _within(spread, group, np.median)
    sound = (spread > 0) & (typical > 0)
    return middle + (values - middle) * np.where(sound, typical / np.where(sound, spread, 1.0), 1.0)


def _within(value: Float[np.ndarray, " obs"], group: Int[np.ndarray, " obs"], statistic) -> Float[np.ndarray, " obs"]:
    """Return a statistic of each observation's bin."""
    result = np.empty(len(value))
    for g in np.unique(group):
        result[group == g] = statistic(value[group == g])
    return result
