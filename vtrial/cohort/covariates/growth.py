"""Covariates of children, by growth charts."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, Key

from vtrial import keys, units
from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.cohort.covariates.copula import correlated_scores, correlation_factor
from vtrial.cohort.covariates.margins import AbstractMargin, EmpiricalMargin
from vtrial.data import Dataset, read_columns
from vtrial.errors import UserError

_BOY, _GIRL = 1.0, 2.0
"""What SEX is in the tables of growth charts."""


class Chart(eqx.Module):
    """A growth chart in LMS form: at z-score z a measure is M (1 + L S z)^(1/L), or M exp(S z) where L is 0.

    The file has columns SEX (1 boys, 2 girls), L, M, S and the age, as the tables of the CDC and WHO have; between
    ages, L, M and S go along straight lines.

    Source: Cole and Green 1992, doi:10.1002/sim.4780111005.

    Args:
        path: the file.
        unit: unit of M.
        age: column of the age.
        age_unit: its unit.
    """

    unit: str = eqx.field(static=True)
    age_unit: str = eqx.field(static=True)
    file: tuple[str, str] = eqx.field(static=True)
    """Name and hash of the file."""
    boys: Float[np.ndarray, "4 age"]
    """Age, L, M and S, ascending by age."""
    girls: Float[np.ndarray, "4 girl_age"]

    def __init__(self, path: str, unit: str, age: str = "AGE", age_unit: str = "month"):
        """Read the table."""
        read = read_columns(path, ("SEX", age, "L", "M", "S"))
        self.unit, self.age_unit, self.file = unit, age_unit, (read.source, read.sha256)
        units.factor(age_unit, "month", where="The age_unit of a growth chart")
        lines = np.stack([read.values[name] for name in (age, "L", "M", "S")])
        if np.isnan(lines).any() or not (lines[2:] > 0).all():
            raise UserError(f"{read.source} is no growth chart: L, M or S is missing, or M or S is not above 0.")
        by_sex = [lines[:, read.values["SEX"] == sex] for sex in (_BOY, _GIRL)]
        if any(part.shape[1] < 2 for part in by_sex):
            raise UserError(f"{read.source} is no growth chart: SEX is 1 for boys and 2 for girls, with rows each.")
        self.boys, self.girls = (part[:, np.argsort(part[0])] for part in by_sex)

    def ages(self) -> tuple[float, float]:
        """Return the first and the last age of both sexes."""
        return float(max(self.boys[0, 0], self.girls[0, 0])), float(min(self.boys[0, -1], self.girls[0, -1]))

    def value(self, age: Float[Array, ""], girl: Array, score: Float[Array, ""]) -> Float[Array, ""]:
        """Return the measure of a child at a z-score; `age` is in `age_unit`."""
        boy_line, girl_line = (
            jnp.stack([jnp.interp(age, table[0], row) for row in table[1:]])
            for table in (jnp.asarray(self.boys), jnp.asarray(self.girls))
        )
        power, middle, spread = jnp.where(girl, girl_line, boy_line)
        straight = jnp.abs(power) < 1e-8
        safe = jnp.where(straight, 1.0, power)
        return middle * jnp.where(straight, jnp.exp(spread * score), (1.0 + safe * spread * score) ** (1.0 / safe))


class GrowthCharts(AbstractCovariates):
    """Children: age and sex drawn, then weight, height and the like by growth charts, with correlated z-scores.

    Args:
        age: distribution of the age.
        charts: for each covariate, its growth chart.
        correlation: of the z-scores, by pairs, for example {WT: {HT: 0.6}}; pairs left out are independent.
        girls: share of girls.
        limit: z-scores are normal within plus and minus this; charts mean little beyond 3.
        female: value of SEX of a girl.
        male: value of SEX of a boy.
        names: what age and sex are called.
    """

    age: AbstractMargin
    names: tuple[str, ...] = eqx.field(static=True)
    charts: tuple[Chart, ...]
    factor: Float[np.ndarray, "covariate covariate_too"]
    pairs: tuple[str, ...] = eqx.field(static=True)
    girls: float
    limit: float
    sexes: tuple[float, float] = eqx.field(static=True)
    """Value of SEX of a girl, and of a boy."""

    def __init__(
        self,
        age: AbstractMargin,
        charts: Mapping[str, Chart],
        correlation: Mapping[str, Mapping[str, float]] | None = None,
        girls: float = 0.5,
        limit: float = 3.0,
        female: float = 0.0,
        male: float = 1.0,
    ):
        """Keep the charts in order, and check that they cover the ages."""
        if not (charts and 0 <= girls <= 1 and limit > 0 and female != male):
            raise UserError(
                "Growth charts need at least one chart, girls from 0 to 1, limit above 0, and female other than male."
            )
        self.age, self.names, self.charts = age, tuple(charts), tuple(charts.values())
        self.factor = correlation_factor(self.names, correlation or {}, "cohort.covariates.correlation")
        self.pairs = tuple(f"{a} and {b} {r:g}" for a, row in (correlation or {}).items() for b, r in row.items())
        self.girls, self.limit, self.sexes = girls, limit, (float(female), float(male))
        ends = [float(age.value(jnp.asarray(score))) for score in (-8.0, 8.0)]
        for name, chart in charts.items():
            per = units.factor(age.unit, chart.age_unit, where="The age of growth charts")
            first, last = chart.ages()
            if not (first - 1e-6 <= ends[0] * per and ends[1] * per <= last + 1e-6):
                raise UserError(
                    f"The growth chart of {name} goes from {first:g} to {last:g} {chart.age_unit}s, but ages from "
                    f"{ends[0] * per:g} to {ends[1] * per:g} are drawn; narrow the age, or give a wider chart."
                )

    def units(self, data: Dataset) -> dict[str, str]:
        """Return those of age, sex and charts."""
        return {"AGE": self.age.unit, "SEX": ""} | {n: c.unit for n, c in zip(self.names, self.charts, strict=True)}

    def check(self, data: Dataset) -> None:
        """Nothing more: all was checked at once."""

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw age, sex and z-scores."""
        age = self.age.value(jax.random.normal(keys.named(key, "AGE")))
        girl = jax.random.uniform(keys.named(key, "SEX")) < self.girls
        beyond = ndtr(-self.limit)
        ranks = beyond + (1.0 - 2.0 * beyond) * ndtr(correlated_scores(key, self.names, self.factor))
        scores = ndtri(ranks)
        drawn = {"AGE": age, "SEX": jnp.where(girl, *self.sexes)}
        for i, (name, chart) in enumerate(zip(self.names, self.charts, strict=True)):
            per = units.factor(self.age.unit, chart.age_unit, where="The age of growth charts")
            drawn[name] = chart.value(per * age, girl, scores[i])
        return drawn

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell nothing."""
        return {}

    def inputs(self) -> dict[str, str]:
        """Name the charts, and the table of an empirical age."""
        found = {chart.file[0]: chart.file[1] for chart in self.charts}
        return found | ({self.age.file[0]: self.age.file[1]} if isinstance(self.age, EmpiricalMargin) else {})

    def describe(self) -> str:
        """Say ages, charts and correlations."""
        charts = ", ".join(f"{n} by {c.file[0]}" for n, c in zip(self.names, self.charts, strict=True))
        said = f"children: AGE {self.age.describe()}, {100 * self.girls:g} % girls; growth charts: {charts}"
        said += f", z-scores within {self.limit:g}"
        return said + (f", correlation of z-scores: {', '.join(self.pairs)}" if self.pairs else "")
