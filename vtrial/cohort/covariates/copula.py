"""Covariates by their margins and correlations."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.cohort.covariates.margins import AbstractMargin, EmpiricalMargin
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest


class Copula(AbstractCovariates):
    """Covariates of any margins, with a Gaussian copula: their ranks correlate as those of correlated normals.

    `correlation` is that of the normals; Spearman's of two continuous covariates is 6/pi asin(correlation / 2).

    Args:
        margins: the distribution of each covariate.
        correlation: by pairs, for example {WT: {HT: 0.5}}; pairs left out are independent.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    margins: tuple[AbstractMargin, ...]
    factor: Float[np.ndarray, "covariate covariate_too"]
    """Cholesky factor of the correlation of the normals."""
    pairs: tuple[str, ...] = eqx.field(static=True)
    """The correlations in words."""

    def __init__(
        self, margins: Mapping[str, AbstractMargin], correlation: Mapping[str, Mapping[str, float]] | None = None
    ):
        """Keep the margins in order, and check the correlations."""
        if not margins:
            raise UserError("A copula of covariates needs margins: at least one covariate with its distribution.")
        self.names, self.margins = tuple(margins), tuple(margins.values())
        self.factor = correlation_factor(self.names, correlation or {}, "cohort.covariates.correlation")
        self.pairs = tuple(f"{a} and {b} {r:g}" for a, row in (correlation or {}).items() for b, r in row.items())

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the margins'."""
        return {name: margin.unit for name, margin in zip(self.names, self.margins, strict=True)}

    def check(self, data: Dataset) -> None:
        """Nothing more: all was checked at once."""

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw correlated scores, each from a key of its covariate's name, and take the values of their ranks."""
        scores = correlated_scores(key, self.names, self.factor)
        named = zip(self.names, self.margins, strict=True)
        return {name: margin.value(scores[i]) for i, (name, margin) in enumerate(named)}

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell nothing."""
        return {}

    def inputs(self) -> dict[str, str]:
        """Name the tables of empirical margins."""
        return {m.file[0]: m.file[1] for m in self.margins if isinstance(m, EmpiricalMargin)}

    def describe(self) -> str:
        """Say each margin, and the correlations."""
        named = zip(self.names, self.margins, strict=True)
        said = "; ".join(f"{name} {margin.describe()}" for name, margin in named)
        return said + (f"; correlation of ranks (normal scores): {', '.join(self.pairs)}" if self.pairs else "")


def correlation_factor(
    names: tuple[str, ...], pairs: Mapping[str, Mapping[str, float]], where: str
) -> Float[np.ndarray, "n n"]:
    """Return the Cholesky factor of the correlation that pairs say.

    Raises:
        UserError: a name is unknown, a pair is given twice, or no numbers correlate so.
    """
    matrix = np.eye(len(names))
    for one, row in pairs.items():
        for other, value in row.items():
            for name in (one, other):
                if name not in names:
                    raise UserError(f"{where} has '{name}', which is no covariate here. {nearest(name, names)}")
            i, j = names.index(one), names.index(other)
            if i == j or matrix[i, j] != 0:
                raise UserError(f"{where} gives {one} and {other} twice, or with itself; give each pair once.")
            matrix[i, j] = matrix[j, i] = value
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        least = float(np.linalg.eigvalsh(matrix)[0])
        raise UserError(
            f"{where} is no correlation of any numbers (least eigenvalue {least:.3g}); make the correlations weaker."
        ) from None


def correlated_scores(
    key: Key[Array, ""], names: tuple[str, ...], factor: Float[np.ndarray, "n n"]
) -> Float[Array, " n"]:
    """Return correlated standard normals, made of independent ones that have a key of their name each."""
    independent = jnp.stack([jax.random.normal(keys.named(key, name)) for name in names])
    return jnp.asarray(factor) @ independent
