"""The way up a density by L-BFGS, and the normal approximations along it.

Source: Zhang, Carpenter, Gelman and Vehtari 2022, Pathfinder: parallel quasi-Newton variational inference,
JMLR 23(306).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from vtrial.inference.density import UnconstrainedDensity

_HISTORY = 6
"""Steps that the inverse Hessian remembers; Zhang et al. 2022."""
_ELBO_DRAWS = 25
"""Draws that judge one approximation."""
_ITERATIONS = 1000
_NOWHERE = 1e12
"""What the line search is told where there is no density."""


@dataclass(frozen=True)
class Normal:
    """A normal distribution [coordinate] whose covariance is diagonal plus low rank: diag(a) + B G B'."""

    mean: np.ndarray
    scale: np.ndarray
    """Square root of a."""
    basis: np.ndarray
    """Orthonormal basis Q of diag(a)^-1/2 B [coordinate, rank]."""
    factor: np.ndarray
    """Lower Cholesky factor L of the covariance in that basis [rank, rank]."""

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return draws [draw coordinate] and their log densities [draw]."""
        u = random.standard_normal((count, len(self.mean)))
        inside = u @ self.basis
        x = self.mean + self.scale * (u + (inside @ self.factor.T - inside) @ self.basis.T)
        size = np.log(self.scale).sum() + np.log(np.diagonal(self.factor)).sum()
        return x, -0.5 * (u**2).sum(1) - size - 0.5 * len(self.mean) * np.log(2 * np.pi)


@dataclass(frozen=True)
class Path:
    """The points of a climb [step coordinate], and the gradient of the potential there."""

    points: np.ndarray
    gradients: np.ndarray


def climb(density: UnconstrainedDensity, start: np.ndarray) -> Path:
    """Minimise the potential from a vector; return every point on the way."""
    seen: dict[bytes, np.ndarray] = {}

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        u, g = (np.asarray(part, np.float64) for part in density.slope(jnp.asarray(x)))
        if not (np.isfinite(u) and np.isfinite(g).all()):
            return _NOWHERE, np.zeros_like(x)
        seen[np.asarray(x).tobytes()] = g
        return float(u), g

    value(start)
    points = [np.array(start, np.float64)]
    options = {"maxcor": _HISTORY, "maxiter": _ITERATIONS, "maxfun": 4 * _ITERATIONS}
    minimize(value, points[0], jac=True, method="L-BFGS-B", callback=lambda x: points.append(x.copy()), options=options)
    kept = [x for x in points if x.tobytes() in seen]
    return Path(np.stack(kept), np.stack([seen[x.tobytes()] for x in kept]))


def normals(path: Path) -> list[Normal]:
    """Return the approximation at each point but the first, from the inverse Hessian that the steps so far tell of."""
    diagonal, history, found = np.ones(path.points.shape[1]), [], []
    for i in range(1, len(path.points)):
        s, z = path.points[i] - path.points[i - 1], path.gradients[i] - path.gradients[i - 1]
        if s @ z > 1e-12 * (z @ z):
            diagonal = _diagonal(diagonal, s, z)
            history = [*history, (s, z)][-_HISTORY:]
        if history and (normal := _normal(path.points[i], path.gradients[i], diagonal, history)) is not None:
            found.append(normal)
    return found


def _diagonal(a: np.ndarray, s: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the diagonal of the inverse Hessian updated by one step (Gilbert and Lemaréchal 1989)."""
    b, c, d = z @ (a * z), s @ z, s @ (s / a)
    return 1.0 / (b / (c * a) + z**2 / c - b * s**2 / (c * d * a**2))


def _normal(x: np.ndarray, g: np.ndarray, a: np.ndarray, history: list[tuple[np.ndarray, np.ndarray]]) -> Normal | None:
    """Return the approximation with the compact L-BFGS inverse Hessian; None if it is not positive definite."""
    if not ((a > 0).all() and np.isfinite(a).all()):
        return None
    s, z = (np.stack(part, axis=1) for part in zip(*history, strict=True))
    products = s.T @ z
    inverse = solve_triangular(np.triu(products), np.eye(len(history)))
    corner = inverse.T @ (np.diag(np.diagonal(products)) + z.T @ (a[:, None] * z)) @ inverse
    middle = np.block([[np.zeros_like(corner), -inverse], [-inverse.T, corner]])
    wide = np.concatenate([a[:, None] * z, s], axis=1)
    scale = np.sqrt(a)
    basis, r = np.linalg.qr(wide / scale[:, None])
    inner = np.eye(len(r)) + r @ middle @ r.T
    try:
        factor = np.linalg.cholesky((inner + inner.T) / 2)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(factor).all():
        return None
    step = a * g + wide @ (middle @ (wide.T @ g))
    return Normal(x - step, scale, basis, factor)


def best(density: UnconstrainedDensity, path: Path, random: np.random.Generator) -> Normal | None:
    """Return the approximation with the greatest evidence lower bound; None if none has any density."""
    found, most = None, -np.inf
    for normal in normals(path):
        x, log_q = normal.draw(random, _ELBO_DRAWS)
        if (bound := float(np.mean(density.log_density(x) - log_q))) > most:
            found, most = normal, bound
    return found


def last(density: UnconstrainedDensity, path: Path, random: np.random.Generator) -> Normal | None:
    """Return the approximation at the top: Laplace's, with the Hessian as L-BFGS knows it."""
    del density, random
    return next(reversed(normals(path)), None)
