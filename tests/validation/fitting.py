"""Shipped studies, their population level at stated values, and their maximum likelihood."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from jax.scipy.special import logsumexp

from tests.helpers import SHARED
from vtrial import cli
from vtrial._resources import directory
from vtrial.data import Dataset
from vtrial.inference.marginal import Marginal
from vtrial.likelihood import StatisticalModel
from vtrial.population import Fixed, Parameter, Population
from vtrial.study import Study


class Maximum(NamedTuple):
    """The maximum of a likelihood."""

    draw: dict[str, np.ndarray]
    """Estimates by site."""
    objective: float
    """Minus twice the log-likelihood without its constant, n log(2 pi)."""
    standard_error: dict[str, float]
    """By site of a positive number, that of its logarithm."""


def study(name: str, *overrides: str) -> Study:
    """Build a shipped study as the command line does."""
    Plugins.instance().register(cli._studies_path())
    with initialize_config_dir(version_base="1.3", config_dir=str(directory("conf"))):
        return cli.build(compose(config_name=name, overrides=["directory=unused", *overrides]))


def shared(path: str) -> str:
    """Return the override that gives a study its data from the shared folder."""
    return f"data.path={SHARED / 'data' / path}"


def with_arms(folder: Path) -> Path:
    """Write the data of study `tumour` as it asks for them, each patient's arm in a dose before the first row."""
    with (SHARED / "data" / "tumour_study2" / "tumour_study2.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines, known = ["ID,TIME,DV,AMT,EVID,CMT,MDV,ARM"], set()
    for row in rows:
        start = [f"{row['ID']},{row['TIME']},,1,1,{row['ARM']},1,{row['ARM']}"] if row["ID"] not in known else []
        lines += [*start, f"{row['ID']},{row['TIME']},{row['DV']},0,0,,{row['MDV']},{row['ARM']}"]
        known.add(row["ID"])
    path = folder / "tumour.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def problem(made: Study) -> tuple[StatisticalModel, Dataset]:
    """Return the statistical model and the data of a study."""
    data = made.data.read(made.model)
    return made.statistical(data), data


def at(statistical: StatisticalModel, **stated: float) -> dict[str, jnp.ndarray]:
    """Return the population level at stated values, fixed numbers at theirs."""
    fixed = {n: p.centre() for n, p in statistical.every_prior().items() if isinstance(p, Fixed)}
    assert set(fixed) | set(stated) == set(statistical.every_prior())
    return {name: jnp.asarray(value, float) for name, value in (fixed | stated).items()}


def with_parameters(
    statistical: StatisticalModel, *, correlation: float | None = None, **changed: Parameter
) -> StatisticalModel:
    """Return the same model with other parameters, and independent etas unless a correlation is given."""
    old = statistical.population
    given: Mapping[str, Parameter] = dict(zip(old.names, old.parameters, strict=True)) | changed
    population = Population(given, correlation).for_model(statistical.model)
    return eqx.tree_at(lambda s: s.population, statistical, population, is_leaf=lambda x: x is old)


def maximum(statistical: StatisticalModel, data: Dataset, curvature: str = "interaction", **start: float) -> Maximum:
    """Maximise the approximate likelihood from the prior medians, or from stated values."""
    marginal = Marginal(statistical, data, curvature, prior=False)
    centre = marginal.density.centre(statistical.starts() | start)
    fit = marginal.fit(np.asarray(marginal.density.vector(centre)))
    names = [n for n in marginal.density.order for _ in range(int(np.prod(marginal.density.sites[n][1])))]
    error = np.sqrt(np.diag(fit.covariance))
    draw = {name: np.asarray(value) for name, value in marginal.draw(jnp.asarray(fit.vector)).items()}
    return Maximum(draw, fit.objective, {n: float(e) for n, e in zip(names, error, strict=True)})


def log_likelihood(objective: float, data: Dataset) -> float:
    """Return the log-likelihood of an objective function."""
    count = sum(len(seen.value) for seen in data.observations.values())
    return -0.5 * float(objective) - 0.5 * count * float(np.log(2 * np.pi))


def importance(statistical: StatisticalModel, data: Dataset, values: Mapping[str, float], samples: int) -> float:
    """Return the log-likelihood at stated values by importance sampling of the subjects' random effects."""
    marginal = Marginal(statistical, data, "interaction")
    vector = marginal.density.vector(marginal.density.centre(values))
    start = jnp.zeros((len(data.subjects), marginal.inner.size))
    weights, _ = jax.jit(lambda v, z: marginal.importance(jax.random.key(1), v, z, samples))(vector, start)
    return float((logsumexp(weights, axis=1) - np.log(samples)).sum())


def logs(data: Dataset, output: str) -> float:
    """Return the sum of the logarithms of an output: what a density of values is less than one of their logarithms."""
    return float(np.log(data.observations[output].value).sum())
