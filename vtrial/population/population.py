"""The population: all parameters together, and how their random effects correlate."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial._types import Values
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel, parameter_units
from vtrial.population.correlations import AbstractCorrelation, LKJCorrelation
from vtrial.population.mixture import Mixture
from vtrial.population.parameter import Parameter
from vtrial.population.priors import AbstractPrior, Fixed

CHOLESKY = "iiv_cholesky"
"""Site of the Cholesky factor of the correlation of the etas; of a block of them, with their names behind it."""
CORRELATION = "iiv_correlation"
"""Site of that correlation matrix."""


class Population(eqx.Module):
    """The distribution of a model's parameters over people.

    Sites, named after the parameters: `CL` (typical value), `CL_iiv` (omega, the SD of its eta), `CL_iov` (SD of its
    kappa), `CL_study` (SD of its study effect), `CL_WT_exponent` (a coefficient of its covariate effect WT), `CL_eta`
    (by subject), `CL_kappa` (by subject and occasion), `CL_study_eta` (by study), `CL_poor` (typical value of a class).

    Args:
        parameters: by name, every parameter of the model; and, where doses enter otherwise than as recorded, F, ALAG, D
            and R by state, as `F_depot`.
        correlation: concentration of the LKJ prior of the correlation of the etas: 1 is flat, larger is nearer to
            none; left out, the etas are independent.
        blocks: groups of parameters whose etas correlate with each other alone (block OMEGA): a list of names has the
            LKJ prior, a `FixedCorrelation` is known, a `KnownCorrelation` known with uncertainty; left out, all
            correlate.
        missing: by covariate, the distribution over subjects of a covariate that some have no value of; their values
            are then estimated with the rest.
        occasion: covariate that numbers a subject's occasions, for parameters with `iov`.
        study: covariate that numbers the studies, for parameters with `study`.
        mixture: classes that people belong to; left out, there is one.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    parameters: tuple[Parameter, ...]
    correlation: float | None = eqx.field(static=True)
    blocks: tuple[AbstractCorrelation, ...]
    missing: Mapping[str, AbstractPrior]
    occasion: str = eqx.field(static=True)
    study: str = eqx.field(static=True)
    mixture: Mixture | None

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        correlation: float | None = None,
        blocks: Sequence[Sequence[str] | AbstractCorrelation] | None = None,
        missing: Mapping[str, AbstractPrior] | None = None,
        occasion: str = "OCC",
        study: str = "STUDY",
        mixture: Mixture | None = None,
    ):
        """Keep the parameters as an ordered tuple, for `jit` sorts dictionaries."""
        self.names = tuple(parameters)
        self.parameters = tuple(parameters.values())
        self.correlation = correlation
        self.missing = dict(missing or {})
        self.occasion, self.study, self.mixture = occasion, study, mixture
        self.blocks = self._correlations(blocks)
        self._check_classes()

    def _check_classes(self) -> None:
        """Refuse typical values of classes that there are not, and classes that nothing tells apart."""
        known = self.mixture.names[:-1] if self.mixture else ()
        for name in self.by_class:
            for one in self[name].classes:
                if one not in known:
                    raise UserError(
                        f"Parameter {name} has a typical value for class '{one}', but population.mixture.shares has "
                        f"no such class. {nearest(one, known) if known else 'Add the mixture, or leave classes out.'}"
                    )
        if known and not self.by_class:
            raise UserError(
                "population.mixture has classes, but no parameter differs between them; give one `classes`."
            )

    def _correlations(
        self, blocks: Sequence[Sequence[str] | AbstractCorrelation] | None
    ) -> tuple[AbstractCorrelation, ...]:
        """Return the correlation of each block, its parameters in the order of the etas."""
        if blocks is None:
            blocks = [] if self.correlation is None else [self.effects]
        given: list[AbstractCorrelation] = []
        for block in blocks:
            if isinstance(block, AbstractCorrelation):
                given.append(block)
            elif self.correlation is None:
                raise UserError(
                    f"population.blocks has the list {', '.join(block)}, which needs population.correlation, the "
                    "concentration of its LKJ prior."
                )
            else:
                given.append(LKJCorrelation(block, self.correlation))
        if given and self.correlation is not None and not any(isinstance(b, LKJCorrelation) for b in given):
            raise UserError(
                "population.correlation, the concentration of an LKJ prior, has no block to act on: population.blocks "
                "says all correlations itself; leave one of the two out."
            )
        self._check_blocks(given)
        return tuple(block.ordered(self.effects) for block in given if len(block.names) > 1)

    def _check_blocks(self, blocks: Sequence[AbstractCorrelation]) -> None:
        """Refuse blocks of what does not vary, an eta in two blocks, and correlated t etas."""
        seen = [name for block in blocks if len(block.names) > 1 for name in block.names]
        for name in seen:
            if name not in self.effects:
                raise UserError(f"population.blocks has '{name}', which has no iiv. {nearest(name, self.effects)}")
            if seen.count(name) > 1:
                raise UserError(f"population.blocks has '{name}' twice; an eta belongs to one block.")
            if self[name].degrees is not None:
                raise UserError(
                    f"Parameter {name} has a Student-t eta, which cannot be correlated with others; leave it out of "
                    "population.blocks."
                )

    def __getitem__(self, name: str) -> Parameter:
        """Return a parameter by name."""
        return self.parameters[self.names.index(name)]

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
        used = {n: given[n].converted(n, unit) for n, unit in known.items() if n in given}
        return Population(used, self.correlation, self.blocks, self.missing, self.occasion, self.study, self.mixture)

    def _with(self, level: str) -> tuple[str, ...]:
        named = zip(self.names, self.parameters, strict=True)
        return tuple(n for n, p in named if getattr(p, level) is not None)

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the parameters that vary between subjects: the axis of the etas."""
        return self._with("iiv")

    @property
    def occasion_effects(self) -> tuple[str, ...]:
        """Names of the parameters that vary between a subject's occasions: the axis of the kappas."""
        return self._with("iov")

    @property
    def study_effects(self) -> tuple[str, ...]:
        """Names of the parameters that vary between studies."""
        return self._with("study")

    @property
    def by_class(self) -> tuple[str, ...]:
        """Names of the parameters whose typical values differ between classes."""
        return tuple(n for n, p in zip(self.names, self.parameters, strict=True) if p.classes)

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of every number of the population level but the correlation, fixed ones too, by site."""
        named = zip(self.names, self.parameters, strict=True)
        found = {site: prior for name, parameter in named for site, prior in parameter.priors(name).items()}
        return found | (self.mixture.priors() if self.mixture else {})

    def units(self) -> dict[str, str]:
        """Return the unit of each of them."""
        named = zip(self.names, self.parameters, strict=True)
        found = {site: unit for name, parameter in named for site, unit in parameter.units(name).items()}
        return found | dict.fromkeys(self.mixture.priors() if self.mixture else (), "")

    def correlated_pairs(self, *, estimated: bool = False) -> tuple[tuple[str, str], ...]:
        """Return the pairs of parameters whose etas correlate; of those only the ones to estimate, if asked for."""
        blocks = [b.names for b in self.blocks if not estimated or b.distribution() is not None]
        return tuple((b[j], b[i]) for b in blocks for i in range(len(b)) for j in range(i))

    def describe_correlation(self) -> str:
        """Say the correlation of the etas, or its prior, in words."""
        return "; ".join(block.describe() for block in self.blocks) or "none"

    def typical(self) -> dict[str, float]:
        """Return the prior medians: a typical subject at the reference covariates."""
        return {n: p.prior.centre() for n, p in zip(self.names, self.parameters, strict=True)}

    def centre(self) -> dict[str, float]:
        """Return the prior median of every number of the population level but the correlation, by site."""
        return {site: prior.centre() for site, prior in self.priors().items()}

    def sample(self) -> tuple[dict[str, Array], Float[Array, "effect effect"]]:
        """Sample the population level inside a NumPyro model.

        Returns:
            The numbers by site, and the Cholesky factor of OMEGA.
        """
        draw = {site: sampled(site, prior) for site, prior in self.priors().items()}
        for block in self.blocks:
            law = block.distribution()
            if law is not None:
                draw[self.site(block)] = jnp.asarray(numpyro.sample(self.site(block), law))
        if self.blocks:
            cholesky = self._cholesky(draw)
            numpyro.deterministic(CORRELATION, cholesky @ cholesky.T)
        return draw, self.factor(draw)

    def site(self, block: AbstractCorrelation) -> str:
        """Return the site of the Cholesky factor of a block that is estimated."""
        return CHOLESKY if block.names == self.effects else "_".join((CHOLESKY, *block.names))

    def _cholesky(self, draw: Values) -> Float[Array, "effect effect"]:
        """Return the Cholesky factor of the correlation of all etas, from those of the blocks.

        A block is in the order of the etas, so its factor stays lower triangular among all.
        """
        whole = jnp.eye(len(self.effects))
        for block in self.blocks:
            known = block.distribution() is None
            own = np.linalg.cholesky(block.centre()) if known else jnp.asarray(draw[self.site(block)])
            if block.names == self.effects:
                return jnp.asarray(own)
            where = np.array([self.effects.index(name) for name in block.names])
            whole = whole.at[np.ix_(where, where)].set(own)
        return whole

    def factor(self, draw: Values) -> Float[Array, "effect effect"]:
        """Return the Cholesky factor of OMEGA at one posterior draw."""
        omega = jnp.asarray([draw[f"{name}_iiv"] for name in self.effects])
        return omega[:, None] * self._cholesky(draw) if self.blocks else jnp.diag(omega)

    def spread(self, draw: Values, level: str) -> Float[Array, " effect"]:
        """Return the standard deviations of the random effects of occasions ("iov") or studies ("study")."""
        return jnp.asarray([draw[f"{name}_{level}"] for name in self._with(level)])

    def standard(self, name: str) -> dist.Distribution:
        """Return the distribution of an eta over its omega: normal, or Student t scaled to variance 1."""
        degrees = self[name].degrees
        if degrees is None:
            return dist.Normal(0.0, 1.0)
        return dist.StudentT(degrees, 0.0, np.sqrt((degrees - 2.0) / degrees))

    def of_class(self, draw: Values, which: Int[Array, "*any"]) -> dict[str, Array]:
        """Return a draw whose typical values are those of people's classes, numbers of `Mixture.names`."""
        found = {name: jnp.asarray(value) for name, value in draw.items()}
        classes = self.mixture.names if self.mixture else ()
        for name in self.by_class:
            own = [f"{name}_{one}" if one in self[name].classes else name for one in classes]
            found[name] = jnp.stack([jnp.asarray(draw[site]) for site in own])[which]
        return found

    def individual(
        self,
        draw: Values,
        eta: Float[Array, "*any effect"],
        covariates: Values,
        kappa: Float[Array, "... occasion_effect"] | None = None,
        study: Values | None = None,
    ) -> dict[str, Float[Array, "..."]]:
        """Return subjects' parameters.

        A covariate that varies with time has one axis more, of spans; so have the parameters it acts on.

        Args:
            draw: the population level, by site; see `of_class`.
            eta: the subjects' random effects, last axis the effect.
            covariates: by name.
            kappa: the random effects of their occasions, last axis the effect; one axis more, of spans, where a
                subject has several occasions. Left out, none.
            study: random effect of their study by parameter. Left out, none.
        """
        found = {}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            total = eta[..., self.effects.index(name)] if parameter.iiv is not None else jnp.zeros(eta.shape[:-1])
            if study is not None and parameter.study is not None:
                total = total + study[name]
            if kappa is not None and parameter.iov is not None:
                own = kappa[..., self.occasion_effects.index(name)]
                total = own + (total[..., None] if own.ndim > total.ndim else total)
            found[name] = parameter.individual(name, draw, total, covariates)
        return found

    def new_study(self, key: Key[Array, ""], draw: Values) -> dict[str, Array]:
        """Draw the random effects of a study the data have not seen, by parameter."""
        each = zip(self.study_effects, self.spread(draw, "study"), strict=True)
        return {name: spread * jax.random.normal(keys.named(key, name)) for name, spread in each}

    def complete(self, key: Key[Array, ""], covariates: Values) -> dict[str, Array]:
        """Return the covariates of one person, missing ones drawn from their distribution."""
        found = {name: jnp.asarray(value) for name, value in covariates.items()}
        for name, prior in self.missing.items():
            drawn = prior.distribution().sample(keys.named(key, name))
            found[name] = jnp.where(jnp.isnan(found[name]), drawn, found[name])
        return found

    def new_effects(
        self, key: Key[Array, ""], draw: Values, factor: Float[Array, "effect effect"], occasions: int
    ) -> tuple[Float[Array, " effect"], Float[Array, "occasion occasion_effect"]]:
        """Draw the etas, and the kappas of each occasion, of one person the data have not seen."""
        raw = jax.random.normal(key, (len(self.effects),))
        for i, name in enumerate(self.effects):
            if self[name].degrees is not None:
                raw = raw.at[i].set(self.standard(name).sample(keys.named(key, name)))
        spread = self.spread(draw, "iov")
        kappa = jax.random.normal(keys.named(key, "occasions"), (occasions, len(spread)))
        return factor @ raw, spread[None, :] * kappa

    def new_subject(
        self,
        key: Key[Array, ""],
        draw: Values,
        factor: Float[Array, "effect effect"],
        covariates: Values,
        study: Values | None = None,
        occasions: int = 1,
    ) -> dict[str, Array]:
        """Draw the parameters of one person the data have not seen, given a population-level draw.

        Parameters are scalars on one occasion; on several each is [occasion].
        """
        eta, kappa = self.new_effects(key, draw, factor, occasions)
        if self.mixture:
            draw = self.of_class(draw, self.mixture.new_class(keys.named(key, "class"), draw))
        each = [self.individual(draw, eta, covariates, kappa[i], study) for i in range(occasions)]
        return each[0] if occasions == 1 else {name: jnp.stack([own[name] for own in each]) for name in each[0]}


def sampled(site: str, prior: AbstractPrior, hint: Mapping[str, Any] | None = None) -> Array:
    """Sample a number inside a NumPyro model, with a hint for samplers; a fixed one is recorded as it is."""
    if isinstance(prior, Fixed):
        return jnp.asarray(numpyro.deterministic(site, jnp.asarray(prior.value)))
    return jnp.asarray(numpyro.sample(site, prior.distribution(), infer=dict(hint or {})))
