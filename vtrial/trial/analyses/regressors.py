"""Columns of regression analyses: one for each arm, and covariates around their means."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Seen
from vtrial.errors import UserError, nearest
from vtrial.trial.analyses.base import FEW, INFINITE


def regressors(
    seen: Seen, arms: int, names: Sequence[str], counts: Bool[Array, " patient"]
) -> Float[Array, "patient column"]:
    """Return indicators of the arms, then covariates less their means among patients who count.

    So coefficients of arms are means adjusted to the average patient. A covariate that is not known is taken to be
    average, which in a randomised trial biases nothing (White and Thompson 2005, doi:10.1002/sim.1981).

    Raises:
        UserError: the trial does not know a covariate.
    """
    columns = [(seen.arm[:, None] == jnp.arange(arms)[None]).astype(seen.outcome.dtype)]
    for name in names:
        if name not in seen.covariates:
            raise UserError(f"analysis.covariates has '{name}', not known here. {nearest(name, seen.covariates)}")
        value = seen.covariates[name]
        known = counts & jnp.isfinite(value)
        mean = jnp.where(known, value, 0.0).sum() / jnp.maximum(known.sum(), 1)
        columns.append(jnp.where(known, value - mean, 0.0)[:, None])
    return jnp.concatenate(columns, axis=1)


def check_names(names: Sequence[str]) -> None:
    """Refuse a covariate named twice.

    Raises:
        UserError: one is.
    """
    for name in names:
        if list(names).count(name) > 1:
            raise UserError(f"analysis.covariates names '{name}' twice; leave one out.")


def visited(seen: Seen, arms: int) -> tuple[Bool[Array, "patient visit"], Int[Array, " arm"], Int[Array, " arm"]]:
    """Return which visits count, the patients of each arm who have one, and the code of each arm.

    An arm needs two patients at the last visit, since that is what is compared.
    """
    known = jnp.isfinite(seen.outcome) & (seen.arm >= 0)[:, None]
    given = seen.arm[:, None] == jnp.arange(arms)[None]
    infinite = (given & jnp.isinf(seen.outcome).any(1)[:, None]).any(0)
    last = (given & known[:, -1:]).sum(0)
    code = jnp.where(infinite, INFINITE, jnp.where(last < 2, FEW, 0))
    return known, (given & known.any(1)[:, None]).sum(0), code


def alike(value: Float[Array, " patient"], known: Bool[Array, " patient"]) -> Bool[Array, ""]:
    """Return whether all known values are one."""
    return jnp.where(known, value, -jnp.inf).max() <= jnp.where(known, value, jnp.inf).min()


def said(names: Sequence[str]) -> str:
    """Say the covariates."""
    return f" adjusted for {', '.join(names)}" if names else ""
