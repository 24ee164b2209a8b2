"""The joint density of population, solver, residual error and data, as a NumPyro model."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, Key

from vtrial import keys
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel, parameter_units
from vtrial.noise import AbstractNoise
from vtrial.population import AbstractPrior, Population
from vtrial.solve import AbstractSolver, ResultCode

RAW = "eta_raw"
"""Site of the standardised random effects [subject, effect]: etas before OMEGA, which makes the fit non-centred."""


class StatisticalModel(eqx.Module):
    """All that is assumed about the data: structure, population, solver and residual error of each output."""

    model: AbstractModel
    population: Population
    solver: AbstractSolver
    noise: Mapping[str, AbstractNoise]
    """By output."""

    def joint(self, data: Dataset) -> Callable[[], None]:
        """Return the NumPyro model of a dataset.

        A subject whose solve fails makes the log density -inf, so that no sampler accepts it.
        """

        def numpyro_model() -> None:
            typical, factor = self.population.sample()
            with numpyro.plate("subject", len(data.subjects)):
                raw = jnp.asarray(
                    numpyro.sample(RAW, dist.Normal(jnp.zeros(len(self.population.effects)), 1.0).to_event(1))
                )
            eta = raw @ factor.T
            for i, name in enumerate(self.population.effects):
                numpyro.deterministic(f"{name}_eta", eta[:, i])
            p = self.population.individual(typical, eta, _arrays(data.every_covariate))
            for name in self.population.effects:
                # Of a parameter that varies with time, the value at the subject's first row.
                numpyro.deterministic(f"{name}_individual", p[name] if p[name].ndim == 1 else p[name][:, 0])
            # One program even where NumPyro runs the model eagerly, at initialisation.
            predicted, code = jax.jit(lambda p: self.predict(p, data))(p)
            failed = jnp.any(code != ResultCode.SOLVED)
            numpyro.factor("failed_solves", jnp.where(failed, -jnp.inf, 0.0))
            for output, noise in self.noise.items():
                values = {
                    short: jnp.asarray(numpyro.sample(f"{output}_{short}", prior.distribution()))
                    for short, prior in noise.priors().items()
                }
                finite = jnp.where(failed, 0.0, predicted[output])
                numpyro.sample(
                    output, noise.distribution(finite, values), obs=jnp.asarray(data.observations[output].value)
                )

        return numpyro_model

    def predict(
        self, p: Mapping[str, Float[Array, "subject *span"]], data: Dataset
    ) -> tuple[dict[str, Array], Int[Array, " subject"]]:
        """Return each output's predictions [obs] given the subjects' parameters, and each subject's result code.

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
        values: dict[str, list[Array]] = {o: [] for o in data.observations}
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
        return {o: joined[o][where[o]] for o in joined}, code

    def replicate(
        self,
        key: Key[Array, ""],
        p: Mapping[str, Float[Array, "subject *span"]],
        draw: Mapping[str, Array],
        data: Dataset,
    ) -> dict[str, Array]:
        """Return what would be measured [obs] at the samples of `data` in subjects with parameters `p`."""
        predicted, _ = self.predict(p, data)
        return {o: self.measure(keys.named(key, o), o, predicted[o], draw) for o in self.noise}

    def measure(
        self, key: Key[Array, ""], output: str, prediction: Float[Array, "*any"], draw: Mapping[str, Array]
    ) -> Float[Array, "*any"]:
        """Add residual error to a prediction, with the noise parameters of one draw."""
        noise = self.noise[output]
        values = {short: draw[f"{output}_{short}"] for short in noise.priors()}
        return jnp.asarray(noise.distribution(prediction, values).sample(key))

    def same_subjects(self, draw: Mapping[str, Array], data: Dataset) -> dict[str, Array]:
        """Return the observed subjects' parameters at one posterior draw, from their sampled etas."""
        columns = [draw[f"{name}_eta"] for name in self.population.effects]
        eta = jnp.stack(columns, axis=-1) if columns else jnp.zeros((len(data.subjects), 0))
        return self.population.individual(draw, eta, _arrays(data.every_covariate))

    def new_subjects(self, key: Key[Array, ""], draw: Mapping[str, Array], data: Dataset) -> dict[str, Array]:
        """Return parameters of new subjects with the covariates of the observed ones, at one posterior draw."""
        each, factor = keys.numbered(key, len(data.subjects)), self.population.factor(draw)
        return jax.vmap(lambda k, c: self.population.new_subject(k, draw, factor, c))(
            each, _arrays(data.every_covariate)
        )

    def typical_subjects(self, draw: Mapping[str, Array], data: Dataset) -> dict[str, Array]:
        """Return the parameters of subjects with the observed covariates and all etas 0, at one posterior draw."""
        eta = jnp.zeros((len(data.subjects), len(self.population.effects)))
        return self.population.individual(draw, eta, _arrays(data.every_covariate))

    def words(self) -> dict[str, Any]:
        """Say the statistical model in words: what a posterior was fitted with."""
        units = self.units()
        named = zip(self.population.names, self.population.parameters, strict=True)
        return {
            "model": (type(self.model).__doc__ or type(self.model).__name__).strip().splitlines()[0],
            "population": [parameter.describe(name) for name, parameter in named],
            "correlation": self.population.describe_correlation(),
            "residual_error": {output: noise.describe() for output, noise in self.noise.items()},
            "priors": {site: prior.describe(units[site]) for site, prior in self.priors().items()},
        }

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of every population-level site but the correlation; its centre is where chains start."""
        result = {}
        for name, parameter in zip(self.population.names, self.population.parameters, strict=True):
            result[name] = parameter.prior
            if parameter.iiv is not None:
                result[f"{name}_iiv"] = parameter.iiv
        for output, noise in self.noise.items():
            result |= {f"{output}_{short}": prior for short, prior in noise.priors().items()}
        return result

    def units(self) -> dict[str, str]:
        """Return the unit of each of those sites; omegas have none, they are standard deviations of logarithms."""
        known = parameter_units(self.model)
        result = {name: known[name] for name in self.population.names}
        result |= {f"{name}_iiv": "" for name in self.population.effects}
        for output, noise in self.noise.items():
            result |= {f"{output}_{short}": unit for short, unit in noise.units(self.model.outputs[output]).items()}
        return result


def _arrays(covariates: Values) -> dict[str, Array]:
    return {name: jnp.asarray(value) for name, value in covariates.items()}
