"""The metric of Hamiltonian samplers: a covariance as its square root, learnt from the chains during warm-up."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


class Mass(NamedTuple):
    """A covariance of the coordinates as its square root: a dense block first, a diagonal after it."""

    block: Float[Array | np.ndarray, "dense dense"]
    """Lower Cholesky factor."""
    scale: Float[Array | np.ndarray, " rest"]

    def spread(self, r: Float[Array, "chain coordinate"]) -> Float[Array, "chain coordinate"]:
        """Multiply by the root."""
        n = len(self.block)
        return jnp.concatenate([r[:, :n] @ self.block.T, r[:, n:] * self.scale[None]], axis=1)

    def gather(self, g: Float[Array, "chain coordinate"]) -> Float[Array, "chain coordinate"]:
        """Multiply by the transpose of the root."""
        n = len(self.block)
        return jnp.concatenate([g[:, :n] @ self.block, g[:, n:] * self.scale[None]], axis=1)

    def whiten(self, x: Float[Array, "chain coordinate"]) -> Float[Array, "chain coordinate"]:
        """Multiply by the inverse of the root."""
        n = len(self.block)
        dense = solve_triangular(self.block, x[:, :n].T, lower=True).T
        return jnp.concatenate([dense, x[:, n:] / self.scale[None]], axis=1)


class Moments(NamedTuple):
    """Mean and covariance of the draws, the past slowly forgotten."""

    weight: Float[Array, ""]
    mean: Float[Array, " coordinate"]
    block: Float[Array, "dense dense"]
    square: Float[Array, " rest"]

    def with_draws(self, x: Float[Array, "chain coordinate"], forget: Float[Array, ""]) -> "Moments":
        """Add a draw of every chain."""
        weight = forget * self.weight + len(x)
        away = x - self.mean[None]
        mean = self.mean + away.sum(0) / weight
        now, n = x - mean[None], len(self.block)
        block = forget * self.block + away[:, :n].T @ now[:, :n]
        square = forget * self.square + (away[:, n:] * now[:, n:]).sum(0)
        return Moments(weight, mean, (block + block.T) / 2, square)

    def mass(self, first: Mass, old: Mass, trust: float) -> Mass:
        """Return the root of the covariance, shrunk towards the first one; the old one where it has none.

        Args:
            first: what the chains begin with.
            old: what they have now.
            trust: as many draws is the first one worth, beside those that come.
        """
        share = self.weight / (self.weight + trust)
        block = share * self.block / self.weight + (1 - share) * first.block @ first.block.T
        root = jnp.linalg.cholesky(block)
        root = jnp.where(jnp.isfinite(root).all(), root, old.block)
        return Mass(root, jnp.sqrt(share * self.square / self.weight + (1 - share) * first.scale**2))


def no_moments(mean: Float[Array, " coordinate"], dense: int) -> Moments:
    """Return the moments before the first draw."""
    zero = jnp.zeros(())
    return Moments(zero, mean, jnp.zeros((dense, dense)), jnp.zeros(len(mean) - dense))


def first_mass(size: int, dense: int, width: float) -> Mass:
    """Return what the chains begin with: the same standard deviation of every coordinate."""
    return Mass(width * np.eye(dense), np.full(size - dense, width))
