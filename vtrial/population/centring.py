"""How random effects of observed people are sampled, where not by themselves: about what the data say of each subject.

Formulas are written out for each pair of effects: there are few, and each is an operation on all subjects at once.
What one of them gives is computed once: left alone, XLA repeats it in every later one, and so on, so that five effects
take twice as long to compile and a fifth longer to compute.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.lax import optimization_barrier as once
from jaxtyping import Array, Float, Key
from numpyro.distributions import constraints

from vtrial import keys


class Frame(NamedTuple):
    """Coordinates u = A z + shift of some effects z, each over its SD given those before it."""

    rows: tuple[tuple[Float[Array, "*subject"], ...], ...]
    """A, lower triangular, row by row up to the diagonal."""
    shift: tuple[Float[Array, "*subject"], ...]

    def coordinates(self, z: Sequence[Float[Array, "*draw subject"]]) -> list[Float[Array, "*draw subject"]]:
        """Return u."""
        return [
            sum((a * x for a, x in zip(row, z, strict=False)), s) for row, s in zip(self.rows, self.shift, strict=True)
        ]

    def standard(self, u: Sequence[Float[Array, "*draw subject"]]) -> list[Float[Array, "*draw subject"]]:
        """Return z."""
        z: list[Array] = []
        for row, shift, own in zip(self.rows, self.shift, u, strict=True):
            z.append(once((own - shift - sum(a * x for a, x in zip(row, z, strict=False))) / row[-1]))
        return z

    @property
    def log_size(self) -> Float[Array, "*subject"]:
        """The log of how much larger u is than z: of A's determinant."""
        return sum((jnp.log(row[-1]) for row in self.rows), jnp.zeros(()))


class Coordinates(dist.Distribution):
    """The distribution of a frame's coordinates of each subject."""

    support = constraints.real_vector  # pyright: ignore[reportAssignmentType]

    def __init__(self, laws: Sequence[dist.Distribution], frame: Frame, subjects: int):
        """Take the distribution of each standardised effect, and the frame."""
        self.laws, self.frame = tuple(laws), frame
        super().__init__((subjects,), (len(self.laws),))

    def sample(self, key: Key[Array, ""], sample_shape: tuple[int, ...] = ()) -> Float[Array, "*draw subject effect"]:
        """Draw coordinates."""
        shape = (*sample_shape, *self.batch_shape)
        each = keys.numbered(key, len(self.laws))
        z = [jnp.asarray(law.sample(own, shape)) for law, own in zip(self.laws, each, strict=True)]
        return jnp.stack([jnp.broadcast_to(u, shape) for u in self.frame.coordinates(z)], -1)

    def log_prob(self, value: Float[Array, "*draw subject effect"], intermediates: None = None) -> Array:
        """Return the log density."""
        z = self.frame.standard(list(jnp.moveaxis(jnp.asarray(value), -1, 0)))
        total = sum(jnp.asarray(law.log_prob(x)) for law, x in zip(self.laws, z, strict=True))
        return total - self.frame.log_size


class Told(eqx.Module):
    """Sample effects so that, given a subject's own data, they vary by 1, each on its own, whatever OMEGA is.

    Let L be the factor of their part of OMEGA, z the effects over it, and the data tell a subject's own values with
    precision I (as much as normal measurements m of covariance I^-1). Then z has the precision P = 1 + L' I L, and with
    P = A' A, A lower triangular, the coordinates are

        u = A z + A'^-1 L' I (location - m).

    Where L is small they are z, and where the data say much, the subject's own values less m over their error:
    neither an omega near 0 nor a large one makes a funnel. Effects that data tell together only (VMAX and KM, of which
    they know the ratio) are independent whatever their omegas. It is the exact form, for normal data, of what partial
    centring is on average.
    Source: the conditional law of a normal mean; Papaspiliopoulos, Roberts and Skold 2007,
    doi:10.1214/088342307000000014, for the centring that this makes depend on omega.
    """

    effects: tuple[str, ...] = eqx.field(static=True)
    root: Float[Array | np.ndarray, "subject effect effect"]
    """B of each subject, lower triangular, with I = B B', on the parameters' scales."""
    around: Float[Array | np.ndarray, " effect"]
    """Typical values of the locations, on those scales."""
    seen: Float[Array | np.ndarray, "subject effect"]
    """B' (m - around) of each subject."""

    @property
    def site(self) -> str:
        """The name of the site of these coordinates [subject, effect]."""
        return "_".join(self.effects) + "_phi"

    def frame(self, location: Sequence[Float[Array, "*subject"]], factor: Float[Array, "effect effect"]) -> Frame:
        """Return the coordinates, given the locations and L."""
        known, told, count = jnp.asarray(self.root), jnp.asarray(self.seen), len(self.effects)
        root = {(i, j): known[:, i, j] for i in range(count) for j in range(i + 1)}
        column = [
            [sum(root[i, j] * factor[i, k] for i in range(max(j, k), count)) for j in range(count)]
            for k in range(count)
        ]
        away = [jnp.asarray(own) - around for own, around in zip(location, self.around, strict=True)]
        beyond = [sum((root[i, j] * away[i] for i in range(j, count)), -told[:, j]) for j in range(count)]
        column, beyond = once((column, beyond))
        precision = {
            (i, j): float(i == j) + sum(a * b for a, b in zip(column[i], column[j], strict=True))
            for i in range(count)
            for j in range(i + 1)
        }
        pull = [sum(a * b for a, b in zip(each, beyond, strict=True)) for each in column]
        return _factored(*once((precision, pull)))


def _factored(precision: Mapping[tuple[int, int], Array], pull: Sequence[Array]) -> Frame:
    """Return A with A' A = P, lower triangular, and the shift A'^-1 of a pull, the last row first."""
    count = len(pull)
    rows: dict[tuple[int, int], Array] = {}
    shift: dict[int, Array] = {}
    for i in reversed(range(count)):
        below = range(i + 1, count)
        rows[i, i] = jnp.sqrt(precision[i, i] - sum(rows[k, i] ** 2 for k in below))
        for j in range(i):
            rows[i, j] = (precision[i, j] - sum(rows[k, i] * rows[k, j] for k in below)) / rows[i, i]
        shift[i] = (pull[i] - sum(rows[k, i] * shift[k] for k in below)) / rows[i, i]
        rows, shift = once((rows, shift))
    lower = tuple(tuple(rows[i, j] for j in range(i + 1)) for i in range(count))
    return Frame(lower, tuple(shift[i] for i in range(count)))


class Centred(eqx.Module):
    """Sample the subject's own values on the parameters' scales: the locations plus the effects."""

    effects: tuple[str, ...] = eqx.field(static=True)

    @property
    def site(self) -> str:
        """The name of the site of these coordinates [subject, effect]."""
        return "_".join(self.effects) + "_phi"

    def frame(self, location: Sequence[Float[Array, "*subject"]], factor: Float[Array, "effect effect"]) -> Frame:
        """Return the coordinates, given the locations and the factor of the effects' part of OMEGA."""
        rows = tuple(tuple(factor[i, j] for j in range(i + 1)) for i in range(len(self.effects)))
        return Frame(rows, tuple(jnp.asarray(own) for own in location))


type Centring = Told | Centred
"""Either of them."""
