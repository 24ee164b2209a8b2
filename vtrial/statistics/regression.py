"""Least squares with missing patients: model-based and heteroscedasticity-consistent covariance, traceable."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics.linear import invert


class Fit(NamedTuple):
    """A linear model fitted by least squares."""

    coefficient: Float[Array, " column"]
    covariance: Float[Array, "column column"]
    """Of the coefficients, if all residuals have one variance."""
    robust: Float[Array, "column column"]
    """HC3, whatever the variances (MacKinnon and White 1985, doi:10.1016/0304-4076(85)90158-7)."""
    variance: Float[Array, ""]
    """Of the residuals."""
    df: Float[Array, ""]
    """Patients less columns that count."""
    estimable: Bool[Array, " column"]
    """Whether a column adds to those before it; one that does not has coefficient 0."""
    explained: Float[Array, ""]
    """Share of the sum of squares of the outcome (about 0) that the columns explain: 1 if nothing is left."""


def least_squares(
    design: Float[Array, "patient column"], outcome: Float[Array, " patient"], known: Bool[Array, " patient"]
) -> Fit:
    """Fit outcome = design × coefficient among the known.

    The normal equations are solved for columns scaled to length 1 and the solution refined once. With no degrees of
    freedom left the covariances are not numbers, as is HC3 where a patient alone determines a coefficient.
    """
    x = jnp.where(known[:, None], design, 0.0)
    y = jnp.where(known, outcome, 0.0)
    length = jnp.sqrt((x * x).sum(0))
    length = jnp.where(length > 0, length, 1.0)
    x = x / length[None]
    inverse, _, estimable = invert(x.T @ x)
    solution = inverse @ (x.T @ y)
    solution = solution + inverse @ (x.T @ (y - x @ solution))
    residual = y - x @ solution
    df = (known.sum() - estimable.sum()).astype(y.dtype)
    squares = residual @ residual
    variance = squares / jnp.where(df > 0, df, jnp.nan)
    score = (x @ inverse) * (residual / (1 - ((x @ inverse) * x).sum(1)))[:, None]
    scale = 1 / (length[:, None] * length[None])
    total = y @ y
    return Fit(
        coefficient=solution / length,
        covariance=variance * inverse * scale,
        robust=jnp.where(df > 0, score.T @ score, jnp.nan) * scale,
        variance=variance,
        df=df,
        estimable=estimable,
        explained=1 - squares / jnp.where(total > 0, total, 1.0),
    )
