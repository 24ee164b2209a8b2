"""A hierarchical model with everything in closed form: y_ij = log P + eta_i + error, normal at each level.

P is log-normal, so that log P is normal; omega and sigma are fixed. Its posterior, its marginal likelihood and what it
predicts of a subject left out are normal distributions.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.data import NonmemTable
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel
from vtrial.noise import Additive
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population
from vtrial.solve import Auto

OMEGA, SIGMA, CENTRE, SPREAD = 0.4, 0.3, 0.5, 1.0
"""SD of the etas, of the residual error, and of log P before the data, whose mean is CENTRE."""


class LogMean(AbstractModel):
    """Observes the logarithm of its one parameter."""

    time: ClassVar = "h"
    states: ClassVar = {"amount": "mg"}
    parameters: ClassVar = {"P": ""}
    outputs: ClassVar = {"y": ""}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"amount": 0.0}

    def rates(self, t, y, p):
        """Eliminate."""
        return {"amount": -y["amount"]}

    def observe(self, t, y, p):
        """Observe the logarithm."""
        return {"y": jnp.log(p["P"])}


def statistical() -> StatisticalModel:
    model = LogMean()
    population = Population({"P": Parameter("", LogNormalPrior(float(np.exp(CENTRE)), SPREAD), HalfNormalPrior(0.5))})
    return StatisticalModel(model, population.for_model(model), Auto(), {"y": Additive(HalfNormalPrior(0.5))})


def observations(counts: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Simulate each subject's observations at log P = 1."""
    random = np.random.default_rng(seed)
    return [1.0 + random.normal(0, OMEGA) + random.normal(0, SIGMA, n) for n in counts]


def dataset(values: list[np.ndarray], folder):
    """Write and read the data."""
    lines = ["ID,TIME,AMT,DV,EVID"]
    for i, mine in enumerate(values):
        lines.append(f"{i + 1},0,1,0,1")
        lines += [f"{i + 1},{t + 1},0,{v:.17g},0" for t, v in enumerate(mine)]
    path = folder / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    reader = NonmemTable(
        path=str(path), units={"TIME": "h", "AMT": "mg", "DV": ""}, outputs={"y": 1}, compartments={1: "amount"}
    )
    return reader.read(LogMean())


def covariance(count: int) -> np.ndarray:
    """Covariance of a subject's observations given log P."""
    return OMEGA**2 + SIGMA**2 * np.eye(count)


def normal_log_density(value, mean, cov) -> float:
    residual = np.asarray(value) - mean
    sign, volume = np.linalg.slogdet(2 * np.pi * cov)
    assert sign > 0
    return float(-0.5 * volume - 0.5 * residual @ np.linalg.solve(cov, residual))


def level(values: list[np.ndarray]) -> tuple[float, float]:
    """Mean and variance of log P given the data."""
    precision, weighted = 1 / SPREAD**2, CENTRE / SPREAD**2
    for mine in values:
        inverse = np.linalg.inv(covariance(len(mine)))
        precision += inverse.sum()
        weighted += (inverse @ mine).sum()
    return weighted / precision, 1 / precision


def exact_elpd(values: list[np.ndarray]) -> np.ndarray:
    """Log predictive density of each subject given all others."""
    found = []
    for i, mine in enumerate(values):
        mean, variance = level(values[:i] + values[i + 1 :])
        found.append(normal_log_density(mine, mean, covariance(len(mine)) + variance))
    return np.array(found)


def posterior(values: list[np.ndarray], chains: int = 4, draws: int = 1000, seed: int = 1) -> xr.Dataset:
    """Independent draws from the exact posterior."""
    random = np.random.default_rng(seed)
    mean, variance = level(values)
    mu = random.normal(mean, np.sqrt(variance), (chains, draws))
    etas = []
    for mine in values:
        precision = 1 / OMEGA**2 + len(mine) / SIGMA**2
        centre = (mine.sum() - len(mine) * mu) / SIGMA**2 / precision
        etas.append(random.normal(centre, 1 / np.sqrt(precision)))
    dims = (schema.CHAIN, schema.DRAW)
    return xr.Dataset(
        {
            "P": (dims, np.exp(mu)),
            "P_iiv": (dims, np.full((chains, draws), OMEGA)),
            "y_sigma_add": (dims, np.full((chains, draws), SIGMA)),
            "P_eta": ((*dims, schema.SUBJECT), np.stack(etas, -1)),
        },
        {schema.SUBJECT: [str(i + 1) for i in range(len(values))]},
    )
