"""The population: all parameters together, and how their random effects correlate."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from vtrial import units as units_of
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel, parameter_units
from vtrial.population.parameter import Parameter

CHOLESKY = "iiv_cholesky"
"""Site of the Cholesky factor of the correlation of the etas."""
CORRELATION = "iiv_correlation"
"""Site of that correlation matrix."""


class Population(eqx.Module):
    """The distribution of a model's parameters over people.

    Sites, named after the parameters: `CL` (typical value), `CL_iiv` (omega, the SD of its eta), `CL_eta` (by subject).

    Args:
        parameters: by name, every parameter of the model; and, where doses enter otherwise than as recorded, F, ALAG, D
            and R by state, as `F_depot`.
        correlation: concentration of the LKJ prior of the correlation of the etas: 1 is flat, larger is nearer to
            none; left out, the etas are independent.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    parameters: tuple[Parameter, ...]
    correlation: float | None = eqx.field(static=True)

    def __init__(self, parameters: Mapping[str, Parameter], correlation: float | None = None):
        """Keep the parameters as an ordered tuple, for `jit` sorts dictionaries."""
        self.names = tuple(parameters)
        self.parameters = tuple(parameters.values())
        self.correlation = correlation
        if correlation is not None and not correlation > 0:
            raise UserError(
                f"population.correlation is the concentration of an LKJ prior and must be positive, not {correlation}."
            )

    def for_model(self, model: AbstractModel) -> "Population":
        """Return this population in the model's order and units.

        Raises:
            UserError: a parameter is missing or unknown, or its unit does not fit.
        """
        given = dict(zip(self.names, self.parameters, strict=True))
        known = parameter_units(model)
        for name in given:
            if name not in known:
                raise UserError(
                    f"population.parameters has '{name}', which model {type(model).__name__} does not. "
                    f"{nearest(name, known)}"
                )
        for name in model.parameters:
            if name not in given:
                raise UserError(f"population.parameters lacks '{name}', which model {type(model).__name__} needs.")
        used = {n: unit for n, unit in known.items() if n in given}
        return Population({n: given[n].converted(n, unit) for n, unit in used.items()}, self.correlation)

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the parameters that vary between subjects: the axis of the etas."""
        return tuple(n for n, p in zip(self.names, self.parameters, strict=True) if p.iiv is not None)

    def check_covariates(
        self, units: Mapping[str, str], values: Mapping[str, np.ndarray], who: tuple[str, ...]
    ) -> None:
        """Check that every covariate effect can act on the covariates [subject], or [subject span], of subjects `who`.

        Raises:
            UserError: a covariate is missing or in another unit, or makes a parameter 0, negative or not a number.
        """
        for name, parameter in zip(self.names, self.parameters, strict=True):
            for effect in parameter.covariates.values():
                covariate = effect.covariate
                if covariate not in values:
                    raise UserError(
                        f"The population uses covariate {covariate}, which the dataset does not have; add it to "
                        f"data.covariates. {nearest(covariate, values)}"
                    )
                where = f"Covariate {covariate} of the data"
                if units_of.factor(units[covariate], effect.unit, where=where) != 1.0:
                    raise UserError(
                        f"Covariate {covariate} is in '{units[covariate]}' in the data, but its effect on {name} takes "
                        f"'{effect.unit}'; bring the two to one unit."
                    )
                factor = np.asarray(effect.factor(jnp.asarray(values[covariate])))
                wrong = np.argwhere(~(np.isfinite(factor) & (factor > 0)))
                if len(wrong):
                    first = tuple(wrong[0])
                    raise UserError(
                        f"Covariate {covariate} of ID {who[first[0]]} is {values[covariate][first]:g}, which makes "
                        f"its {name} {factor[first]:g} times the typical value; correct the covariate or the effect."
                    )

    @property
    def correlated(self) -> bool:
        """Whether the etas have a correlation to estimate."""
        return self.correlation is not None and len(self.effects) > 1

    def describe_correlation(self) -> str:
        """Say the prior of the correlation of the etas in words."""
        return f"LKJ, concentration {self.correlation:g}" if self.correlated else "none"

    def typical(self) -> dict[str, float]:
        """Return the prior medians: a typical subject at the reference covariates."""
        return {n: p.prior.centre() for n, p in zip(self.names, self.parameters, strict=True)}

    def sample(self) -> tuple[dict[str, Array], Float[Array, "effect effect"]]:
        """Sample the population level inside a NumPyro model: typical values, and the Cholesky factor of OMEGA."""
        typical, omega = {}, []
        for name, parameter in zip(self.names, self.parameters, strict=True):
            typical[name] = numpyro.sample(name, parameter.prior.distribution())
            if parameter.iiv is not None:
                omega.append(numpyro.sample(f"{name}_iiv", parameter.iiv.distribution()))
        if not self.correlated:
            return typical, jnp.diag(jnp.asarray(omega))
        cholesky = jnp.asarray(numpyro.sample(CHOLESKY, dist.LKJCholesky(len(omega), concentration=self.correlation)))
        numpyro.deterministic(CORRELATION, cholesky @ cholesky.T)
        return typical, jnp.asarray(omega)[:, None] * cholesky

    def factor(self, draw: Mapping[str, Array]) -> Float[Array, "effect effect"]:
        """Return the Cholesky factor of OMEGA at one posterior draw."""
        omega = jnp.asarray([draw[f"{name}_iiv"] for name in self.effects])
        return omega[:, None] * draw[CHOLESKY] if self.correlated else jnp.diag(omega)

    def individual(
        self,
        typical: Mapping[str, Array],
        eta: Float[Array, "*any effect"],
        covariates: Mapping[str, Float[Array, "..."]],
    ) -> dict[str, Float[Array, "..."]]:
        """Return subjects' parameters from typical values, etas (last axis: effect) and covariates.

        A covariate that varies with time has one axis more, of spans; so have the parameters it acts on.
        """
        column = {name: eta[..., i] for i, name in enumerate(self.effects)}
        none = jnp.zeros(eta.shape[:-1])
        return {
            name: parameter.individual(typical[name], column.get(name, none), covariates)
            for name, parameter in zip(self.names, self.parameters, strict=True)
        }

    def new_subject(
        self,
        key: Key[Array, ""],
        typical: Mapping[str, Array],
        factor: Float[Array, "effect effect"],
        covariates: Mapping[str, Array],
    ) -> dict[str, Array]:
        """Draw the parameters of one person the data have not seen, given a population-level draw."""
        eta = factor @ jax.random.normal(key, (len(self.effects),))
        return self.individual(typical, eta, covariates)
