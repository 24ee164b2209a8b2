"""The joint density of population, solver, residual error and data, as a NumPyro model and subject by subject."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial import keys
from vtrial._types import Values
from vtrial.data import Dataset, Observations
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel
from vtrial.noise import AbstractNoise, Visits, adding
from vtrial.population import AbstractPrior, Fixed, Population, sampled
from vtrial.population import effects as random_effects
from vtrial.population.centring import Centring
from vtrial.population.mixture import CLASS, PROBABILITY
from vtrial.solve import AbstractSolver, ResultCode

LIKELIHOOD = "log_likelihood"
"""Site of the log-likelihood of all data."""
MISSING = "_missing"
"""Suffix of the site of a covariate's missing values."""
TOGETHER = "together"
"""A site's hint for samplers: the site whose part of the same error it adds to, and by what that one is multiplied."""


class StatisticalModel(eqx.Module):
    """All that is assumed about the data: structure, population, solver and residual error of each output."""

    model: AbstractModel
    population: Population
    solver: AbstractSolver
    noise: Mapping[str, AbstractNoise]
    """By output."""
    centring: tuple[Centring, ...] = ()
    """Which etas are not sampled standardised, and how; this changes how well samplers work, not the posterior."""

    def joint(self, data: Dataset) -> Callable[[], None]:
        """Return the NumPyro model of a dataset.

        A subject whose solve fails makes the log density -inf, so that no sampler accepts it.
        """
        levels = self.levels(data)
        population_level = self.population_level(data)

        def numpyro_model() -> None:
            draw, factor = population_level()
            draw = draw | random_effects.sample_effects(self.population, draw, factor, levels, self.centring)
            # One program even where NumPyro runs the model eagerly, at initialisation.
            if self.population.mixture:
                each = jax.jit(lambda draw: self.class_log_likelihood(draw, data))(draw)
                numpyro.deterministic(PROBABILITY, jax.nn.softmax(each, axis=0).T)
                found = _sum_of_classes(each)
            else:
                p = self.same_subjects(draw, data)
                for site, value in self.individual_values(draw, data).items():
                    numpyro.deterministic(site, value)
                found = jax.jit(lambda p, draw: self.subject_log_likelihood(p, draw, data))(p, draw)
            numpyro.factor(LIKELIHOOD, found.sum())

        return numpyro_model

    def population_level(self, data: Dataset) -> Callable[[], Any]:
        """Return the NumPyro model of what subjects share, which gives its numbers by site and the factor of OMEGA.

        It also has the missing covariates, each of which is one subject's, but outside its random effects.
        """
        levels, hints = self.levels(data), self._hints(data)

        def numpyro_model() -> tuple[dict[str, Array], Float[Array, "effect effect"]]:
            draw, factor = self.population.sample()
            draw = draw | random_effects.sample_studies(self.population, draw, levels)
            for covariate, prior in self.population.missing.items():
                if count := int(np.isnan(data.covariates[covariate]).sum()):
                    law = prior.distribution().expand((count,)).to_event(1)
                    draw[covariate + MISSING] = jnp.asarray(numpyro.sample(covariate + MISSING, law))
            draw |= {site: sampled(site, prior, hints.get(site)) for site, prior in self.noise_priors().items()}
            return draw, factor

        return numpyro_model

    def _hints(self, data: Dataset) -> dict[str, dict[str, Any]]:
        """Return what samplers are told: which two standard deviations are of one error, and at what prediction."""
        both = {o: names for o, noise in self.noise.items() if (names := adding(noise)) and not data.empty}
        return {
            f"{o}_{one}": {TOGETHER: (f"{o}_{other}", _middle(data.observations[o]))}
            for o, (one, other) in both.items()
        }

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the parameters that vary between subjects, occasions, studies or classes."""
        population = self.population
        levels = {*population.effects, *population.occasion_effects, *population.study_effects, *population.by_class}
        return tuple(name for name in population.names if name in levels)

    def levels(self, data: Dataset) -> random_effects.Levels:
        """Return the occasions and studies of the data."""
        return random_effects.levels(self.population, data.every_covariate, len(data.subjects))

    def subject_log_likelihood(
        self, p: Mapping[str, Float[Array, "subject *span"]], draw: Values, data: Dataset
    ) -> Float[Array, " subject"]:
        """Return each subject's log-likelihood given its parameters; -inf where its solve fails."""
        predicted, code = self.predict(p, data)
        solved = code == ResultCode.SOLVED
        # Any number at which every law has a density: the density is -inf already.
        where = {name: solved[data.observations[o].subject] for name, (o, _) in self._wanted(data).items()}
        finite = {name: jnp.where(where[name], value, 1.0) for name, value in predicted.items()}
        total = jnp.where(solved, 0.0, -jnp.inf)
        for output, value in self.log_likelihood(finite, draw, data).items():
            total = total.at[data.observations[output].subject].add(value)
        return total

    def class_log_likelihood(self, draw: Values, data: Dataset) -> Float[Array, "class subject"]:
        """Return the log of each class's share times the likelihood of each subject's data in it, given its effects."""
        mixture = self.population.mixture
        assert mixture is not None

        def one(which: Int[Array, ""]) -> Float[Array, " subject"]:
            own = {**draw, CLASS: jnp.broadcast_to(which, len(data.subjects))}
            return self.subject_log_likelihood(self.same_subjects(own, data), own, data)

        return mixture.log_shares(draw)[:, None] + jax.vmap(one)(jnp.arange(len(mixture.names)))

    def log_likelihood_given_effects(self, draw: Values, data: Dataset) -> Float[Array, " subject"]:
        """Return each subject's log-likelihood given its random effects at one draw, its class summed out."""
        if self.population.mixture:
            return _sum_of_classes(self.class_log_likelihood(draw, data))
        return self.subject_log_likelihood(self.same_subjects(draw, data), draw, data)

    def predict(
        self, p: Mapping[str, Float[Array, "subject *span"]], data: Dataset
    ) -> tuple[dict[str, Array], Int[Array, " subject"]]:
        """Return each output's predictions [obs] given the subjects' parameters, and each subject's result code.

        Where the noise of an output asks for another one, this is there too, at the same observations, see `_beside`.

        A parameter that varies with time has an axis of spans, the rows of the subject. Subjects are solved in buckets
        of similar numbers of records, one program each.

        Raises:
            UserError: the model has system noise: a path is no prediction.
        """
        if isinstance(self.model, AbstractStochasticModel):
            raise UserError(
                f"Model {type(self.model).__name__} has system noise, for which there is no likelihood here; "
                "calibrate a model without it, and simulate cohorts with this one."
            )
        wanted = self._wanted(data)
        values: dict[str, list[Array]] = {other: [] for _, other in wanted.values()}
        code = jnp.zeros(len(data.subjects), jnp.int32)
        for table, members in zip(data.events.tables, data.events.members, strict=True):
            spans = table.sizes[3]
            own = {name: v[members] if v.ndim == 1 else v[members, :spans] for name, v in p.items()}
            solve = jax.vmap(self.solver, in_axes=(None, 0, 0))
            profiles = solve(self.model, own, jax.tree.map(jnp.asarray, table))
            code = code.at[members].set(profiles.code)
            for o in values:
                values[o].append(profiles.outputs[o].reshape(-1))
        joined = {o: jnp.concatenate(parts) for o, parts in values.items()}
        where = {o: data.events.positions(obs.subject, obs.sample) for o, obs in data.observations.items()}
        return {name: joined[other][where[o]] for name, (o, other) in wanted.items()}, code

    def log_likelihood(
        self, predicted: Mapping[str, Float[Array, " _"]], draw: Values, data: Dataset
    ) -> dict[str, Array]:
        """Return the log-likelihood of each observation [obs], by output, given what `predict` returns.

        It is given the subject's earlier observations of that output where the noise depends on them.
        """
        return {
            o: noise.log_likelihood(
                predicted[o], self._others(o, predicted), self.noise_values(o, draw), data.observations[o]
            )
            for o, noise in self.noise.items()
        }

    def replicate(
        self,
        key: Key[Array, ""],
        p: Mapping[str, Float[Array, "subject *span"]],
        draw: Values,
        data: Dataset,
    ) -> dict[str, Array]:
        """Return what would be measured [obs] at the samples of `data` in subjects with parameters `p`."""
        predicted, _ = self.predict(p, data)
        return self.observe(key, predicted, draw, data)

    def observe(
        self, key: Key[Array, ""], predicted: Mapping[str, Float[Array, " _"]], draw: Values, data: Dataset
    ) -> dict[str, Array]:
        """Return what would be measured [obs] at the samples of `data`, given what `predict` returns."""
        result = {}
        for o in self.noise:
            seen = data.observations[o]
            person = keys.numbered(keys.named(key, o), len(data.subjects))[seen.subject]
            own = jax.vmap(jax.random.fold_in)(person, seen.sample)
            visits = Visits(seen.time, seen.previous, own, person)
            result[o] = self._measured(o, predicted[o], self._others(o, predicted), draw, visits)
        return result

    def measure(
        self,
        key: Key[Array, ""],
        output: str,
        time: Float[np.ndarray, " time"],
        true: Mapping[str, Float[Array, " time"]],
        draw: Values,
    ) -> Float[Array, " time"]:
        """Return what one person's measurements of an output at ascending times would be.

        Args:
            key: the person's key.
            output: what is measured.
            time: when.
            true: the model's outputs at those times.
            draw: one draw of the posterior; gives the parameters of the noise.
        """
        own = keys.each_named(key, [f"{output} at {t:.12g}" for t in time.tolist()])
        person = jnp.broadcast_to(keys.named(key, output), own.shape)
        visits = Visits(time, np.arange(-1, len(time) - 1), own, person)
        return self._measured(output, true[output], {name: true[name] for name in self._also(output)}, draw, visits)

    def observed_at(self, name: str, data: Dataset) -> str:
        """Return the output at whose observations an entry of what `predict` returns is given."""
        return self._wanted(data)[name][0]

    def _wanted(self, data: Dataset) -> dict[str, tuple[str, str]]:
        """Return what `predict` gives: the observed output and the model's output that each of its entries is."""
        beside = {_beside(o, other): (o, other) for o in data.observations for other in self._also(o)}
        return {o: (o, o) for o in data.observations} | beside

    def _measured(
        self, output: str, prediction: Array, also: Mapping[str, Array], draw: Values, visits: Visits
    ) -> Array:
        """Return measurements; not a number where the prediction is none, whatever the noise makes of that."""
        found = self.noise[output].replicate(prediction, also, self.noise_values(output, draw), visits)
        return jnp.where(jnp.isnan(prediction), jnp.nan, found)

    def noise_values(self, output: str, draw: Values) -> dict[str, Array]:
        """Return the noise parameters of an output by short name."""
        return {short: jnp.asarray(draw[f"{output}_{short}"]) for short in self.noise[output].priors()}

    def _also(self, output: str) -> tuple[str, ...]:
        """Return the further outputs that the noise of an output asks for."""
        return self.noise[output].also if output in self.noise else ()

    def _others(self, output: str, predicted: Mapping[str, Array]) -> dict[str, Array]:
        """Return the further outputs at the observations of an output, given what `predict` returns."""
        return {other: predicted[_beside(output, other)] for other in self._also(output)}

    def covariates(self, draw: Values, data: Dataset) -> dict[str, Array]:
        """Return the observed subjects' covariates, missing ones as the draw has them."""
        found = {name: jnp.asarray(value) for name, value in data.every_covariate.items()}
        for name in self.population.missing:
            gaps = np.flatnonzero(np.isnan(data.covariates[name]))
            if len(gaps):
                value = jnp.asarray(draw[name + MISSING])
                found[name] = found[name].at[gaps].set(value if found[name].ndim == 1 else value[:, None])
        return found

    def same_subjects(self, draw: Values, data: Dataset) -> dict[str, Array]:
        """Return the observed subjects' parameters at one posterior draw, from their random effects and classes."""
        draw = self._in_classes(draw)
        return random_effects.individual(self.population, draw, self.covariates(draw, data), self.levels(data))

    def _in_classes(self, draw: Values) -> Values:
        """Return a draw with the typical values of the subjects' classes, where it says what these are."""
        return self.population.of_class(draw, jnp.asarray(draw[CLASS])) if CLASS in draw else draw

    def individual_values(self, draw: Values, data: Dataset) -> dict[str, Float[Array, " subject"]]:
        """Return the observed subjects' values of the parameters that vary between them, by site `CL_individual`.

        Of a parameter that varies with time it is the value at the subject's first row.
        """
        p = self.same_subjects(draw, data)
        return {f"{n}_individual": p[n] if p[n].ndim == 1 else p[n][:, 0] for n in self.varying}

    def new_subjects(self, key: Key[Array, ""], draw: Values, data: Dataset) -> dict[str, Array]:
        """Return parameters of new subjects with the covariates of the observed ones, at one posterior draw.

        They are seen on the same occasions, in new studies in place of the observed ones.
        """
        population, levels = self.population, self.levels(data)
        each, factor = keys.numbered(key, len(data.subjects)), population.factor(draw)
        eta, kappa = jax.vmap(lambda k: population.new_effects(k, draw, factor, len(levels.occasions)))(each)
        columns = {f"{n}_eta": eta[:, i] for i, n in enumerate(population.effects)}
        columns |= {f"{n}_kappa": kappa[..., i] for i, n in enumerate(population.occasion_effects)}
        studies = keys.numbered(keys.named(key, "studies"), len(levels.studies))
        shifts = jax.vmap(lambda k: population.new_study(k, draw))(studies)
        columns |= {f"{n}_study_eta": shift for n, shift in shifts.items()}
        if population.mixture:
            columns[CLASS] = self.new_classes(key, draw, data)
        covariates = self.covariates(draw, data)
        return random_effects.individual(population, self._in_classes({**draw, **columns}), covariates, levels)

    def new_classes(self, key: Key[Array, ""], draw: Values, data: Dataset) -> Int[Array, " subject"]:
        """Draw the classes of as many people as the data have, by their shares."""
        mixture = self.population.mixture
        assert mixture is not None
        each = keys.numbered(keys.named(key, "classes"), len(data.subjects))
        return jax.vmap(lambda k: mixture.new_class(k, draw))(each)

    def typical_subjects(self, draw: Values, data: Dataset) -> dict[str, Array]:
        """Return the parameters of subjects with the observed covariates and all etas 0, at one posterior draw.

        A covariate that is missing has the median of its distribution; a class is the draw's, or without one the last.
        """
        medians = {n + MISSING: jnp.asarray(prior.centre()) for n, prior in self.population.missing.items()}
        eta = jnp.zeros((len(data.subjects), len(self.population.effects)))
        covariates = self.covariates({**medians, **draw}, data)
        return self.population.individual(self._in_classes(draw), eta, covariates)

    def words(self) -> dict[str, Any]:
        """Say the statistical model in words: what a posterior was fitted with."""
        units = self.units()
        named = zip(self.population.names, self.population.parameters, strict=True)
        return {
            "model": (type(self.model).__doc__ or type(self.model).__name__).strip().splitlines()[0],
            "population": [parameter.describe(name) for name, parameter in named] + self._classes_in_words(),
            "correlation": self.population.describe_correlation(),
            "residual_error": {output: noise.describe() for output, noise in self.noise.items()},
            "priors": {site: prior.describe(units[site]) for site, prior in self.every_prior().items()},
        }

    def _classes_in_words(self) -> list[str]:
        return [self.population.mixture.describe()] if self.population.mixture else []

    def every_prior(self) -> dict[str, AbstractPrior]:
        """Return the prior of every number of the population level but the correlation, fixed ones too, by site."""
        return self.population.priors() | self.noise_priors()

    def noise_priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of each parameter of the residual errors, fixed ones too, by site."""
        return {f"{o}_{short}": prior for o, one in self.noise.items() for short, prior in one.priors().items()}

    def priors(self) -> dict[str, AbstractPrior]:
        """Return those that are estimated."""
        return {site: prior for site, prior in self.every_prior().items() if not isinstance(prior, Fixed)}

    def starts(self) -> dict[str, Any]:
        """Return where chains start, by site: prior medians, and what these make typical of centred subjects."""
        found: dict[str, Any] = {site: prior.centre() for site, prior in self.priors().items()}
        for some in self.centring:
            own = [self.population[name] for name in some.effects]
            spread = [one.iiv.centre() for one in own if one.iiv is not None]
            middle = [one.scale.location(jnp.asarray(one.prior.centre())) for one in own]
            frame = some.frame(middle, jnp.diag(jnp.array(spread)))
            found[some.site] = jnp.stack(jnp.broadcast_arrays(*frame.shift), -1)
        return found | {n + MISSING: prior.centre() for n, prior in self.population.missing.items()}

    def units(self) -> dict[str, str]:
        """Return the unit of each number of the population level; of most standard deviations of etas, none."""
        found = self.population.units()
        for output, noise in self.noise.items():
            own = noise.units(self.model.outputs[output], self.model.time)
            found |= {f"{output}_{short}": unit for short, unit in own.items()}
        return found


def _sum_of_classes(each: Float[Array, "class subject"]) -> Float[Array, " subject"]:
    """Return log of the sum over classes; -inf, with finite derivatives, where no class has any."""
    dead = ~jnp.isfinite(each).any(axis=0)
    return jnp.where(dead, -jnp.inf, jax.scipy.special.logsumexp(jnp.where(dead, 0.0, each), axis=0))


def _middle(seen: Observations) -> Float[Array, ""]:
    """Return the median size of measured values, without those that are 0; 1 if there are none."""
    return _median(jnp.asarray(seen.value), jnp.asarray(seen.censored))


@jax.jit
def _median(value: Float[Array, " obs"], censored: Bool[Array, " obs"]) -> Float[Array, ""]:
    size = jnp.abs(value)
    found = jnp.nanmedian(jnp.where((size > 0) & ~censored, size, jnp.nan))
    return jnp.where(jnp.isfinite(found), found, 1.0)


def _beside(output: str, other: str) -> str:
    """Return under which name `predict` has another output at the observations of an output."""
    return f"{other} at {output}"
