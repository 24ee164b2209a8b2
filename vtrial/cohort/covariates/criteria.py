"""Inclusion criteria."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from vtrial import keys, units
from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest

_SCREENED = 20_000
"""Patients screened to know how many fulfil the criteria."""
_UNLUCKY = 1e-12
"""Chance that somebody is not found although the share that fulfils the criteria is just the least allowed."""


class Criteria(AbstractCovariates):
    """Patients of another source who fulfil criteria: drawn again until they do.

    Each patient has a series of candidates of its own, so that it does not depend on how many others there are. One
    whose candidates all fail has no covariates (NaN), and its solves fail; with `least` this has a chance of 1e-12.

    Args:
        source: where candidates come from.
        at_least: by covariate, for example {AGE: 18 year}; the limit itself is allowed.
        at_most: likewise.
        least: the share of candidates below which the study is refused.
    """

    source: AbstractCovariates
    at_least: Mapping[str, str | float] = eqx.field(static=True, default_factory=dict)
    at_most: Mapping[str, str | float] = eqx.field(static=True, default_factory=dict)
    least: float = eqx.field(static=True, default=0.01)

    def __check_init__(self):
        """Refuse no criteria, and a share that is none."""
        if not (self.at_least or self.at_most):
            raise UserError("Criteria need at_least or at_most: covariates with their limits.")
        if not 0.0001 <= self.least < 1:
            raise UserError(f"The least share that must fulfil criteria is from 0.0001 to below 1, not {self.least}.")

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the source's."""
        return self.source.units(data)

    def _limits(self, data: Dataset) -> dict[str, tuple[float, float]]:
        """Return the limits of each covariate that has one, in the source's units."""
        given, found = self.source.units(data), {}
        for name in {**self.at_least, **self.at_most}:
            if name not in given:
                raise UserError(f"Criteria go by {name}, which their source does not give. {nearest(name, given)}")
            low, high = (
                units.quantity(side[name], given[name], where=f"The criterion of {name}") if name in side else end
                for side, end in ((self.at_least, -np.inf), (self.at_most, np.inf))
            )
            if not low <= high:
                raise UserError(f"The criterion of {name} is at least {low:g} and at most {high:g}: nobody is.")
            found[name] = (low, high)
        return found

    def check(self, data: Dataset) -> None:
        """Check the limits, and that enough candidates fulfil them."""
        self.source.check(data)
        limits = self._limits(data)
        share, error = self._screen(jax.random.key(0), data)
        if share < self.least:
            said = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in limits.items())
            raise UserError(
                f"Of {_SCREENED} candidates {100 * share:.2g} % (± {100 * error:.1g}) fulfil the criteria ({said}), "
                f"less than the {100 * self.least:g} % that cohort.covariates.least asks for; widen them, or take a "
                "source nearer to the patients wanted."
            )

    def _screen(self, key: Key[Array, ""], data: Dataset) -> tuple[float, float]:
        """Return the share of candidates that fulfil the criteria, and its standard error."""
        limits = self._limits(data)
        many = jax.random.split(key, _SCREENED)
        inside = jax.jit(jax.vmap(lambda k: _inside(self.source.draw(k, data), limits)))(many)
        share = float(np.asarray(inside).mean())
        return share, float(np.sqrt(share * (1 - share) / _SCREENED))

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw candidates until one fulfils the criteria."""
        limits, tries = self._limits(data), int(np.ceil(np.log(_UNLUCKY) / np.log1p(-self.least)))

        def candidate(attempt: Array) -> dict[str, Array]:
            drawn = self.source.draw(jax.random.fold_in(keys.named(key, "candidate"), attempt), data)
            return {name: jnp.asarray(value, float) for name, value in drawn.items()}

        def again(state: tuple[Array, dict[str, Array]]) -> Array:
            return ~_inside(state[1], limits) & (state[0] < tries)

        def step(state: tuple[Array, dict[str, Array]]) -> tuple[Array, dict[str, Array]]:
            return state[0] + 1, candidate(state[0])

        start: Any = (jnp.asarray(1), candidate(jnp.asarray(0)))
        _, last = jax.lax.while_loop(again, step, start)
        found = _inside(last, limits)
        return {name: jnp.where(found, value, jnp.nan) for name, value in last.items()}

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell the share of candidates that fulfil the criteria, and its standard error."""
        share, error = self._screen(key, data)
        return self.source.facts(key, data) | {"acceptance": share, "acceptance_mcse": error}

    def inputs(self) -> dict[str, str]:
        """Name the source's."""
        return self.source.inputs()

    def describe(self) -> str:
        """Say the source and the criteria."""
        said = [f"{name} at least {limit}" for name, limit in self.at_least.items()]
        said += [f"{name} at most {limit}" for name, limit in self.at_most.items()]
        return f"{self.source.describe()}; included: {', '.join(said)}"


def _inside(drawn: Mapping[str, Array], limits: Mapping[str, tuple[float, float]]) -> Bool[Array, ""]:
    """Return whether a candidate fulfils all criteria."""
    return jnp.all(jnp.stack([(drawn[n] >= low) & (drawn[n] <= high) for n, (low, high) in limits.items()]))
