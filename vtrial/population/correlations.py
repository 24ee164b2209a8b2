"""Correlations of the etas of a block of parameters: to estimate, fixed, or known with uncertainty."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping

import equinox as eqx
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro.distributions.transforms import CorrCholeskyTransform

from vtrial._types import texts
from vtrial.errors import UserError

type Pairs = tuple[tuple[str, str, float], ...]
"""Two parameters and the correlation of their etas, pair by pair."""


class AbstractCorrelation(eqx.Module):
    """The correlation matrix of the etas of some parameters: a block of OMEGA."""

    names: eqx.AbstractVar[tuple[str, ...]]
    """The parameters, in the order of the matrix."""

    @abstractmethod
    def ordered(self, names: Iterable[str]) -> "AbstractCorrelation":
        """Return the same correlation with its parameters in the order they have among `names`."""

    @abstractmethod
    def distribution(self) -> dist.Distribution | None:
        """Return the prior of its Cholesky factor; None where it is known and not estimated."""

    @abstractmethod
    def log_prior(self, factor: Float[np.ndarray, "*draw effect effect"]) -> Float[np.ndarray, "*draw"]:
        """Return the log density of the prior at Cholesky factors, up to a constant."""

    @abstractmethod
    def centre(self) -> Float[np.ndarray, "effect effect"]:
        """Return the matrix it is centred on."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class LKJCorrelation(AbstractCorrelation):
    """To estimate, with a prior of density det(R)^(concentration - 1): 1 is flat, larger is nearer to none.

    Source: Lewandowski, Kurowicka and Joe 2009, doi:10.1016/j.jmva.2009.04.008.
    """

    names: tuple[str, ...] = eqx.field(static=True, converter=texts)
    concentration: float = eqx.field(static=True)

    def __check_init__(self):
        """Refuse what is no distribution."""
        if not self.concentration > 0:
            raise UserError(
                "population.correlation is the concentration of an LKJ prior and must be positive, not "
                f"{self.concentration}."
            )

    def ordered(self, names: Iterable[str]) -> "LKJCorrelation":
        """Reorder the names: the prior is the same for all."""
        return LKJCorrelation(_in_order(self.names, names), self.concentration)

    def distribution(self) -> dist.Distribution:
        """Return the LKJ prior."""
        return dist.LKJCholesky(len(self.names), concentration=self.concentration)

    def log_prior(self, factor: Float[np.ndarray, "*draw effect effect"]) -> Float[np.ndarray, "*draw"]:
        """Return (concentration - 1) log det(R)."""
        diagonal = np.diagonal(factor, axis1=-2, axis2=-1)
        return 2.0 * (self.concentration - 1.0) * np.log(diagonal).sum(-1)

    def centre(self) -> Float[np.ndarray, "effect effect"]:
        """Return no correlation."""
        return np.eye(len(self.names))

    def describe(self) -> str:
        """Say names and concentration."""
        return f"LKJ of {' and '.join(self.names)}, concentration {self.concentration:g}"


class FixedCorrelation(AbstractCorrelation):
    """Known, and not estimated.

    Args:
        pairs: correlations of etas by pairs, for example {CL: {VC: 0.25}}; pairs left out have 0.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    pairs: Pairs = eqx.field(static=True)

    def __init__(self, pairs: Mapping[str, Mapping[str, float]]):
        """Keep the pairs as a tuple, for a static field is hashed; refuse what is no correlation matrix."""
        self.names, self.pairs = _read(pairs)

    def ordered(self, names: Iterable[str]) -> "FixedCorrelation":
        """Reorder the matrix."""
        return FixedCorrelation(_reordered(self.names, self.pairs, names))

    def distribution(self) -> None:
        """Return none."""

    def log_prior(self, factor: Float[np.ndarray, "*draw effect effect"]) -> Float[np.ndarray, "*draw"]:
        """Return 0."""
        return np.zeros(factor.shape[:-2])

    def centre(self) -> Float[np.ndarray, "effect effect"]:
        """Return the matrix."""
        return _matrix(self.names, self.pairs)

    def describe(self) -> str:
        """Say the pairs."""
        return f"fixed: {_said(self.pairs)}"


class KnownCorrelation(AbstractCorrelation):
    """Known with uncertainty, as a published study leaves it.

    Fisher's z, the inverse hyperbolic tangent, of each partial correlation (of a parameter with an earlier one, given
    those before that) is normal around the published one, with SD 1 / sqrt(subjects - 3 - those given): how well so
    many people would tell it whose etas were seen. Of two parameters it is Fisher's law of their correlation. Every
    draw is a correlation matrix. With more, the spread depends a little on the order, which is the model's.

    Sources: Fisher 1924, Metron 3:329, of partial correlations; Lewandowski, Kurowicka and Joe 2009,
    doi:10.1016/j.jmva.2009.04.008, of a matrix by its partial correlations.

    Args:
        pairs: published correlations of etas by pairs, for example {CL: {VC: 0.25}}; pairs left out are around 0.
        subjects: how many people the publication is worth.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    pairs: Pairs = eqx.field(static=True)
    subjects: float = eqx.field(static=True)

    def __init__(self, pairs: Mapping[str, Mapping[str, float]], subjects: float):
        """Keep the pairs as a tuple, for a static field is hashed; refuse what is no correlation matrix."""
        self.names, self.pairs = _read(pairs)
        self.subjects = float(subjects)
        least = len(self.names) + 2
        if not self.subjects >= least:
            raise UserError(
                f"A known correlation of {', '.join(self.names)} must be worth at least {least} subjects, not "
                f"{subjects:g}; if less is known, leave it to an LKJ prior."
            )

    def ordered(self, names: Iterable[str]) -> "KnownCorrelation":
        """Reorder the matrix."""
        return KnownCorrelation(_reordered(self.names, self.pairs, names), self.subjects)

    def _law(self) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
        """Return mean and SD of Fisher's z of each partial correlation, row by row below the diagonal."""
        given = np.tril_indices(len(self.names), -1)[1]
        return _partial(np.linalg.cholesky(self.centre())), 1.0 / np.sqrt(self.subjects - 3.0 - given)

    def distribution(self) -> dist.Distribution:
        """Return the law of the matrix that normal partial correlations make."""
        return dist.TransformedDistribution(dist.Normal(*self._law()).to_event(1), CorrCholeskyTransform())

    def log_prior(self, factor: Float[np.ndarray, "*draw effect effect"]) -> Float[np.ndarray, "*draw"]:
        """Return that of Fisher's z, on whose scale the prior is normal."""
        middle, spread = self._law()
        return -0.5 * (((_partial(factor) - middle) / spread) ** 2).sum(-1)

    def centre(self) -> Float[np.ndarray, "effect effect"]:
        """Return the published matrix."""
        return _matrix(self.names, self.pairs)

    def describe(self) -> str:
        """Say the pairs, and how well they are known."""
        return f"{_said(self.pairs)}, known as from {self.subjects:g} people"


def _partial(factor: Float[np.ndarray, "*draw effect effect"]) -> Float[np.ndarray, "*draw pair"]:
    """Return Fisher's z of the partial correlations that a Cholesky factor has, row by row below the diagonal."""
    row, column = np.tril_indices(factor.shape[-1], -1)
    left = 1.0 - np.cumsum(factor**2, axis=-1) + factor**2  # of a row's variance, before each column
    return np.arctanh(factor[..., row, column] / np.sqrt(left[..., row, column]))


def _read(pairs: Mapping[str, Mapping[str, float]]) -> tuple[tuple[str, ...], Pairs]:
    """Return the names, and the pairs one by one; refuse what is no correlation matrix."""
    found = tuple((a, b, float(r)) for a, row in pairs.items() for b, r in row.items())
    if not found:
        raise UserError("A correlation of etas needs pairs, for example {CL: {VC: 0.25}}.")
    seen = [frozenset((a, b)) for a, b, _ in found]
    for a, b, r in found:
        if a == b or seen.count(frozenset((a, b))) > 1:
            raise UserError(f"population.blocks has the pair {a} and {b} more than once; a pair has one correlation.")
        if not (math.isfinite(r) and abs(r) < 1):
            raise UserError(f"The correlation of the etas of {a} and {b} must be between -1 and 1, not {r:g}.")
    names = tuple(dict.fromkeys(name for a, b, _ in found for name in (a, b)))
    least = float(np.linalg.eigvalsh(_matrix(names, found)).min())
    if not least > 1e-9:
        raise UserError(
            f"The correlations of the etas of {', '.join(names)} are no positive definite matrix (least eigenvalue "
            f"{least:.3g}): no etas correlate so; correct them, or bring them nearer to 0."
        )
    return names, found


def _matrix(names: tuple[str, ...], pairs: Pairs) -> Float[np.ndarray, "effect effect"]:
    found = np.eye(len(names))
    for a, b, r in pairs:
        i, j = names.index(a), names.index(b)
        found[i, j] = found[j, i] = r
    return found


def _reordered(mine: tuple[str, ...], pairs: Pairs, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return all pairs, those of 0 too, so that the parameters come in the order of `names`."""
    order, matrix = _in_order(mine, names), _matrix(mine, pairs)
    return {
        a: {b: float(matrix[mine.index(a), mine.index(b)]) for b in order[i + 1 :]}
        for i, a in enumerate(order)
        if i + 1 < len(order)
    }


def _in_order(mine: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in mine)


def _said(pairs: Pairs) -> str:
    return ", ".join(f"{a} and {b} {r:g}" for a, b, r in pairs if r != 0.0) or "none"
