"""One parameter of the population."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial._types import Values
from vtrial.errors import UserError
from vtrial.population.covariates import AbstractCovariateEffect
from vtrial.population.priors import AbstractPrior, Fixed
from vtrial.population.scales import AbstractScale, LogNormal


class Parameter(eqx.Module):
    """A typical value with its prior, the variability of subjects, occasions and studies, and covariate effects.

    A subject's value follows from the typical value, times the covariate factors, and the sum of its random effects
    (eta of the subject, kappa of the occasion, and that of its study), as the scale says: times exp(sum) for the
    log-normal.

    Args:
        unit: unit of the typical value and its prior.
        prior: of the typical value, at the reference covariates; `Fixed` where it is known and not estimated.
        iiv: prior of omega, the standard deviation of eta between subjects; left out, they share the typical value.
        iov: prior of the standard deviation of kappa between a subject's occasions.
        study: prior of the standard deviation of the random effect of studies.
        covariates: effects, each under a name of its own.
        scale: log-normal, normal, logit-normal, probit-normal or Box-Cox.
        degrees: degrees of freedom of a Student-t eta, for populations with outlying subjects; left out, eta is normal.
        classes: by class of the population's mixture, the prior of its typical value; of other classes it is `prior`.
    """

    unit: str = eqx.field(static=True)
    prior: AbstractPrior
    iiv: AbstractPrior | None = None
    covariates: Mapping[str, AbstractCovariateEffect] = eqx.field(default_factory=dict)
    scale: AbstractScale = LogNormal()
    iov: AbstractPrior | None = None
    study: AbstractPrior | None = None
    degrees: float | None = eqx.field(static=True, default=None)
    classes: Mapping[str, AbstractPrior] = eqx.field(default_factory=dict)

    def __check_init__(self):
        """Refuse what has no density or no meaning."""
        for prior in (self.prior, *self.classes.values()):
            if not self.scale.allows(prior.centre()):
                raise UserError(
                    f"The prior median {prior.centre():g} {self.unit} is no typical value that "
                    f"{type(self.scale).__name__} allows; change the prior or the scale."
                )
        for level in ("iiv", "iov", "study"):
            prior = getattr(self, level)
            if prior is not None and not prior.positive():
                raise UserError(
                    f"{level} is the prior of a standard deviation and must allow positive values only, but it is "
                    f"{prior.describe('')}; to have no variability, leave {level} out."
                )
        if self.degrees is not None and (self.iiv is None or not self.degrees > 2):
            raise UserError(
                f"degrees, of a Student-t eta, needs iiv and must be above 2 (for the variance to exist), not "
                f"{self.degrees:g}."
            )

    def converted(self, name: str, unit: str) -> "Parameter":
        """Return the same parameter in the unit of the model.

        Raises:
            UserError: the units do not measure the same thing.
        """
        by = units.factor(self.unit, unit, where=f"Parameter {name}")
        if self.unit == unit:
            return self
        same = self.scale.omega_unit("x") == ""

        def level(prior: AbstractPrior | None) -> AbstractPrior | None:
            return prior if same or prior is None else prior.scaled(by)

        return Parameter(
            unit,
            self.prior.scaled(by),
            level(self.iiv),
            self.covariates,
            self.scale.converted(by),
            level(self.iov),
            level(self.study),
            self.degrees,
            {name: prior.scaled(by) for name, prior in self.classes.items()},
        )

    def priors(self, name: str) -> dict[str, AbstractPrior]:
        """Return the prior of each number of the population level that belongs to it, by site."""
        found = {name: self.prior} | {f"{name}_{one}": prior for one, prior in self.classes.items()}
        levels = {"iiv": self.iiv, "iov": self.iov, "study": self.study}
        found |= {f"{name}_{level}": prior for level, prior in levels.items() if prior is not None}
        for key, effect in self.covariates.items():
            found |= {f"{name}_{key}_{c}": prior for c, prior in effect.coefficients().items()}
        return found

    def units(self, name: str) -> dict[str, str]:
        """Return the unit of each of them."""
        found = dict.fromkeys((name, *(f"{name}_{one}" for one in self.classes)), self.unit) | {
            f"{name}_{level}": self.scale.omega_unit(self.unit) for level in ("iiv", "iov", "study")
        }
        for key, effect in self.covariates.items():
            known = effect.coefficient_units()
            found |= {f"{name}_{key}_{c}": known.get(c, "") for c in effect.coefficients()}
        return {site: found[site] for site in self.priors(name)}

    def factor(self, name: str, key: str, draw: Values, covariates: Values) -> Float[Array, "..."]:
        """Return the factor of one covariate effect."""
        effect = self.covariates[key]
        estimated = {c: draw[f"{name}_{key}_{c}"] for c in effect.coefficients()}
        return jnp.asarray(effect.factor(jnp.asarray(covariates[effect.covariate]), estimated))

    def individual(
        self, name: str, draw: Values, effect: Float[Array, "..."], covariates: Values
    ) -> Float[Array, "..."]:
        """Return subjects' values.

        Args:
            name: of the parameter.
            draw: the population level: typical value (or that of each subject's class) and coefficients, by site.
            effect: the sum of their random effects.
            covariates: with the shape of `effect`, or one axis more if they vary with time; so may `effect` have, where
                it varies by occasion; then the values have it too.
        """
        typical = jnp.asarray(draw[name])
        factors = [self.factor(name, key, draw, covariates) for key in self.covariates]
        rank = max((f.ndim for f in [effect, *factors]), default=0)
        for one in factors:
            factor = one[..., None] if one.ndim < rank else one
            typical = factor * (typical[..., None] if 0 < typical.ndim < rank else typical)
        typical = typical[..., None] if 0 < typical.ndim < rank else typical
        wide = effect[..., None] if effect.ndim < rank else effect
        return jnp.asarray(
            self.scale.value(jnp.broadcast_to(typical, jnp.broadcast_shapes(typical.shape, wide.shape)), wide)
        )

    def describe(self, name: str) -> str:
        """Write a subject's value as a formula."""
        levels = {"eta": self.iiv, "kappa": self.iov, "study": self.study}
        effects = [f"{level}_{name}" for level, prior in levels.items() if prior is not None]
        typical = " · ".join([name, *(effect.describe() for effect in self.covariates.values())])
        tails = f", eta Student-t with {self.degrees:g} degrees of freedom" if self.degrees is not None else ""
        own = ", ".join(f"{name}_{one} of class {one}" for one in self.classes)
        other = f", {name} being {own}" if own else ""
        return (self.scale.describe(typical, " + ".join(effects)) if effects else typical) + tails + other

    @property
    def fixed(self) -> bool:
        """Whether the typical value is known and not estimated."""
        return isinstance(self.prior, Fixed)
