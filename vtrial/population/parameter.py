"""One parameter of the population."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from vtrial import units
from vtrial._types import Values
from vtrial.errors import UserError
from vtrial.population.covariates import AbstractCovariateEffect, AbstractMultiplier
from vtrial.population.priors import AbstractPrior, Fixed
from vtrial.population.scales import AbstractScale, LogNormal
from vtrial.population.shifts import AbstractShift


class Parameter(eqx.Module):
    """A typical value with its prior, the variability of subjects, occasions and studies, and covariate effects.

    A subject's value follows from the typical value, plus the covariates' shifts, times their factors, and the sum of
    its random effects (eta of the subject, kappa of the occasion, and that of its study), as the scale says: times
    exp(sum) for the log-normal.

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
            {n: e.scaled(by) if isinstance(e, AbstractShift) else e for n, e in self.covariates.items()},
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
            known = effect.coefficient_units(self.unit)
            found |= {f"{name}_{key}_{c}": known.get(c, "") for c in effect.coefficients()}
        return {site: found[site] for site in self.priors(name)}

    def multipliers(self) -> dict[str, AbstractMultiplier]:
        """Return the covariate effects that multiply, by name."""
        return {key: effect for key, effect in self.covariates.items() if isinstance(effect, AbstractMultiplier)}

    def shifts(self) -> dict[str, AbstractShift]:
        """Return those that add."""
        return {key: effect for key, effect in self.covariates.items() if isinstance(effect, AbstractShift)}

    def factor(self, name: str, key: str, draw: Values, covariates: Values) -> Float[Array, "..."]:
        """Return the factor of one covariate effect."""
        effect = self.multipliers()[key]
        return jnp.asarray(effect.factor(jnp.asarray(covariates[effect.covariate]), self._estimated(name, key, draw)))

    def shift(self, name: str, key: str, draw: Values, covariates: Values) -> Float[Array, "..."]:
        """Return what one covariate effect adds."""
        effect = self.shifts()[key]
        return jnp.asarray(effect.shift(jnp.asarray(covariates[effect.covariate]), self._estimated(name, key, draw)))

    def _estimated(self, name: str, key: str, draw: Values) -> dict[str, Array]:
        """Return the coefficients of a covariate effect that are estimated."""
        return {c: jnp.asarray(draw[f"{name}_{key}_{c}"]) for c in self.covariates[key].coefficients()}

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
        shifts = [self.shift(name, key, draw, covariates) for key in self.shifts()]
        factors = [self.factor(name, key, draw, covariates) for key in self.multipliers()]
        rank = max((f.ndim for f in [effect, *shifts, *factors]), default=0)

        def wide(x: Array) -> Array:
            return x[..., None] if 0 < x.ndim < rank else x

        for one in shifts:
            typical = wide(one) + wide(typical)
        for one in factors:
            typical = wide(one) * wide(typical)
        typical, effect = wide(typical), wide(effect)
        whole = jnp.broadcast_shapes(typical.shape, effect.shape)
        return jnp.asarray(self.scale.value(jnp.broadcast_to(typical, whole), effect))

    def describe(self, name: str) -> str:
        """Write a subject's value as a formula."""
        levels = {"eta": self.iiv, "kappa": self.iov, "study": self.study}
        effects = [f"{level}_{name}" for level, prior in levels.items() if prior is not None]
        added = " + ".join([name, *(effect.describe() for effect in self.shifts().values())])
        first = f"({added})" if self.shifts() else added
        typical = " · ".join([first, *(effect.describe() for effect in self.multipliers().values())])
        tails = f", eta Student-t with {self.degrees:g} degrees of freedom" if self.degrees is not None else ""
        own = ", ".join(f"{name}_{one} of class {one}" for one in self.classes)
        other = f", {name} being {own}" if own else ""
        return (self.scale.describe(typical, " + ".join(effects)) if effects else typical) + tails + other

    @property
    def fixed(self) -> bool:
        """Whether the typical value is known and not estimated."""
        return isinstance(self.prior, Fixed)
