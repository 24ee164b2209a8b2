"""One parameter of the population."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial.population.covariates import AbstractCovariateEffect
from vtrial.population.prior import AbstractPrior


class Parameter(eqx.Module):
    """A typical value with its prior, the variability between subjects, and covariate effects.

    A subject's value is typical value x exp(eta) x covariate factors, eta normal with standard deviation omega:
    log-normal between subjects.

    Args:
        unit: unit of the typical value and its prior.
        prior: of the typical value, at the reference covariates.
        iiv: prior of omega, the standard deviation of eta; left out, all subjects share the typical value.
        covariates: effects, each under a name of its own.
    """

    unit: str = eqx.field(static=True)
    prior: AbstractPrior
    iiv: AbstractPrior | None = None
    covariates: Mapping[str, AbstractCovariateEffect] = eqx.field(default_factory=dict)

    def converted(self, name: str, unit: str) -> "Parameter":
        """Return the same parameter in the unit of the model.

        Raises:
            UserError: the units do not measure the same thing.
        """
        scale = units.factor(self.unit, unit, where=f"Parameter {name}")
        return self if self.unit == unit else Parameter(unit, self.prior.scaled(scale), self.iiv, self.covariates)

    def individual(
        self, typical: Float[Array, "..."], eta: Float[Array, "..."], covariates: Mapping[str, Float[Array, "..."]]
    ) -> Float[Array, "..."]:
        """Return subjects' values from the typical value, their etas and covariates.

        Covariates have the shape of eta, or one axis more if they vary with time; then the values have it too.
        """
        value = jnp.asarray(typical * jnp.exp(eta))
        for effect in self.covariates.values():
            factor = jnp.asarray(effect.factor(covariates[effect.covariate]))
            if factor.ndim < value.ndim:
                factor = factor[..., None]
            elif factor.ndim > value.ndim:
                value = value[..., None]
            value = value * factor
        return value

    def describe(self, name: str) -> str:
        """Write a subject's value as a formula."""
        eta = [f"exp(eta_{name})"] if self.iiv else []
        return " · ".join([name, *(effect.describe() for effect in self.covariates.values()), *eta])
