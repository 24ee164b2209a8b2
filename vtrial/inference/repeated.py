"""Many data sets of one design, simulated and fitted again: by a Markov chain method in one compiled program.

What is measured is an argument of that program, not a constant in it, so that it is compiled once for all data sets.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from numpyro import handlers

from vtrial import keys, schema
from vtrial._types import Values
from vtrial.data import Dataset, Observations
from vtrial.errors import UserError, nearest
from vtrial.inference import groups
from vtrial.inference.base import AbstractInference
from vtrial.inference.event_times import event_times, seen_event, watch
from vtrial.inference.mcmc import AbstractMarkovChain
from vtrial.inference.prior import Prior
from vtrial.inference.refit import Fitted, Measured, Refit
from vtrial.inference.saved import Saved
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractNoise, RepeatedEvents, TimeToEvent
from vtrial.population import effects as random_effects
from vtrial.population.mixture import CLASS
from vtrial.population.population import CORRELATION

LOG_LIKELIHOOD = "log_likelihood"
"""The log-likelihood of the data as a quantity of its own: its rank finds a posterior that ignores the data."""
_BATCH = 250
"""Draws put into their own scale at once."""
_REDRAWS = 50
"""Data sets that cannot be solved are drawn again so often."""


class Simulated(NamedTuple):
    """Data sets and what is true of them; leading axis the replicate."""

    truth: np.ndarray
    """Quantities [replicate quantity], in the order of `Repeated.quantities`."""
    values: dict[str, np.ndarray]
    """What is measured [replicate obs], by output; the time of an event is [replicate subject]."""
    redrawn: np.ndarray
    """How often a data set that could not be solved was drawn again."""
    valid: np.ndarray
    """Whether at last it could."""


class Repeated:
    """One design and one model: data sets simulated from it, and fitted again.

    `quantities` names what the population level has to estimate, its correlations one by one, and at last the
    log-likelihood of the data.
    """

    def __init__(self, inference: AbstractInference, statistical: StatisticalModel, data: Dataset):
        """Take the design of the data; of what was measured, nothing but limits of quantification.

        Raises:
            UserError: nothing is fitted, or data like these cannot be simulated.
        """
        _check(inference, statistical, data)
        self.inference, self.statistical, self.data = inference, statistical, data
        self._watched = {o: watch(data, o) for o, n in statistical.noise.items() if isinstance(n, TimeToEvent)}
        population = statistical.population
        pairs = population.correlated_pairs(estimated=True)
        self._pairs = [(population.effects.index(a), population.effects.index(b)) for a, b in pairs]
        self.quantities = (*statistical.priors(), *(f"corr_{a}_{b}" for a, b in pairs), LOG_LIKELIHOOD)
        self.units = [statistical.units().get(name, "") for name in self.quantities]
        self._simulate = jax.jit(jax.vmap(self._simulated, in_axes=(0, None)))
        self._quantify = jax.jit(self._every_quantity)

    @property
    def compiled(self) -> bool:
        """Whether all data sets are fitted by one program."""
        return isinstance(self.inference, AbstractMarkovChain)

    @cached_property
    def _refit(self) -> Refit | None:
        """What fits data sets by one program; None if there is none. Not before it is needed: it fits the data."""
        if not isinstance(self.inference, AbstractMarkovChain):
            return None
        given = self._observed, self._quantities, len(self.quantities)
        return Refit(self.inference, self.statistical, self.data, *given)

    def simulate(self, each: Key[Array, " replicate"], at: Values | None = None) -> Simulated:
        """Draw population level and random effects from the prior, and what would be measured in these people.

        A draw whose solve fails has no likelihood, so that the prior does not reach there: it is drawn again.

        Args:
            each: a key for each replicate.
            at: numbers of the population level, by site, that are not drawn but stated.
        """
        redrawn = np.zeros(len(each), int)
        stated = jax.tree.map(jnp.asarray, dict(at or {}))
        found = jax.tree.map(np.array, self._simulate(each, stated))
        for attempt in range(1, _REDRAWS + 1):
            wrong = ~found[2]
            if not wrong.any():
                break
            again = self._simulate(jax.vmap(jax.random.fold_in, in_axes=(0, None))(each, attempt), stated)
            for old, new in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
                old[wrong] = np.asarray(new)[wrong]
            redrawn += wrong
        truth, values, valid = found
        return Simulated(truth, values, redrawn, valid)

    def fit(self, each: Key[Array, " replicate"], values: Mapping[str, np.ndarray]) -> Fitted:
        """Fit data sets with the same design, given what is measured in each [replicate obs]."""
        if self._refit is not None:
            return self._refit(each, {output: jnp.asarray(value) for output, value in values.items()})
        return self._in_turn(each, values)

    def _in_turn(self, each: Key[Array, " replicate"], values: Mapping[str, np.ndarray]) -> Fitted:
        """Fit one data set after the other, each by a program of its own."""
        columns, diverging, trouble = [], [], []
        for i, key in enumerate(each):
            mine = {output: jnp.asarray(value[i]) for output, value in values.items()}
            data = jax.tree.map(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, self._observed(mine))
            try:
                found = self.inference(key, self.statistical, data)
            except UserError as error:
                columns.append(None)
                diverging.append(np.nan)
                trouble.append(f"the fit failed: {error}")
                continue
            posterior, stats = found[schema.POSTERIOR], found[schema.SAMPLE_STATS]
            flat = {n: jnp.asarray(v) for n, v in groups.draws(posterior).items()}
            shape = (posterior.sizes[schema.CHAIN], posterior.sizes[schema.DRAW], len(self.quantities))
            columns.append(np.asarray(self._quantify(flat, mine)).reshape(shape))
            diverging.append(float(stats["diverging"].mean()) if "diverging" in stats else 0.0)
            k = float(stats.attrs.get("pareto_k", 0.0))
            trouble.append("" if k <= 0.7 else "Pareto k of the approximation above 0.7")
        shape = next((c.shape for c in columns if c is not None), (1, 1, len(self.quantities)))
        empty = np.full(shape, np.nan)
        return Fitted(np.stack([empty if c is None else c for c in columns]), np.array(diverging), trouble)

    def _simulated(self, key: Key[Array, ""], at: Values) -> tuple[Array, dict[str, Array], Bool[Array, ""]]:
        """Return the quantities, what is measured, and whether everybody is solved."""
        statistical, data = self.statistical, self.data
        levels, population_level = statistical.levels(data), statistical.population_level(data)

        def model() -> None:
            draw, factor = population_level()
            random_effects.sample_effects(statistical.population, draw, factor, levels, statistical.centring)

        seeded = handlers.seed(
            handlers.substitute(model, data={n: jnp.asarray(x) for n, x in at.items()}), keys.named(key, "truth")
        )
        draw = {name: site["value"] for name, site in handlers.trace(seeded).get_trace().items() if "value" in site}
        if statistical.population.mixture:
            draw[CLASS] = statistical.new_classes(keys.named(key, "classes"), draw, data)
        p = statistical.same_subjects(draw, data)
        predicted, code = statistical.predict(p, data)
        values = statistical.observe(keys.named(key, "observe"), predicted, draw, data)
        for output, watched in self._watched.items():
            values[output] = event_times(keys.named(key, output), statistical, p, output, data, watched)
        finite = jnp.stack([jnp.isfinite(value).all() for value in values.values()])
        return self._quantities(draw, values), values, finite.all() & (code == 0).all()

    def _observed(self, values: Measured) -> Dataset:
        """Return the data with other measured values; those within the limits of censored ones are censored."""
        outputs = {
            o: seen if o in self._watched else _measured(seen, values[o], self.statistical.noise[o])
            for o, seen in self.data.observations.items()
        }
        found = eqx.tree_at(lambda d: d.observations, self.data, outputs)
        for output, watched in self._watched.items():
            found = seen_event(found, output, watched, values[output])
        return found

    def _quantities(self, draw: Values, values: Measured) -> Float[Array, " quantity"]:
        """Return what is ranked, of one draw of all sites."""
        data = self._observed(values)
        total = self.statistical.log_likelihood_given_effects(draw, data).sum()
        correlations = [jnp.asarray(draw[CORRELATION])[i, j] for i, j in self._pairs]
        return jnp.stack([*(jnp.asarray(draw[name]) for name in self.statistical.priors()), *correlations, total])

    def _every_quantity(self, draws: Values, values: Measured) -> Float[Array, "draw quantity"]:
        count = len(next(iter(draws.values())))
        return jax.lax.map(lambda draw: self._quantities(draw, values), dict(draws), batch_size=min(_BATCH, count))


def _measured(seen: Observations, value: Array, noise: AbstractNoise) -> Observations:
    """Return observations with other values, censored by the limits of those that were.

    Of repeated events each value is a number of events since the row before: of unknown times, so that all are
    censored.
    """
    if isinstance(noise, RepeatedEvents):
        nothing = np.full(len(seen.value), -np.inf)
        return eqx.tree_at(lambda o: (o.value, o.lower, o.upper), seen, (value, nothing, -nothing))
    if not seen.censored.any():
        return eqx.tree_at(lambda o: o.value, seen, value)
    first = int(np.flatnonzero(seen.censored)[0])
    lower, upper = seen.lower[first], seen.upper[first]
    inside = (value > lower) & (value < upper)
    shown = jnp.where(inside, seen.value[first], value)
    ends = (jnp.where(inside, end, jnp.nan) for end in (lower, upper))
    return eqx.tree_at(lambda o: (o.value, o.lower, o.upper), seen, (shown, *ends))


def stated(statistical: StatisticalModel, at: Mapping[str, float]) -> dict[str, Array]:
    """Return the sites of a population level at stated values: what is not stated is at its prior median.

    Args:
        statistical: the model.
        at: values by site; correlations as `corr_CL_VC`.

    Raises:
        UserError: a name is unknown, or the correlations are none.
    """
    population, found = statistical.population, {n: p.centre() for n, p in statistical.priors().items()}
    matrix, known = np.eye(len(population.effects)), dict(found)
    place = [np.ix_(*2 * [[population.effects.index(n) for n in block.names]]) for block in population.blocks]
    for block, mine in zip(population.blocks, place, strict=True):
        matrix[mine] = block.centre()
    pairs = population.correlated_pairs(estimated=True)
    where = {f"corr_{a}_{b}": (a, b) for one, other in pairs for a, b in ((one, other), (other, one))}
    for name, value in at.items():
        if name in where:
            i, j = (population.effects.index(n) for n in where[name])
            matrix[i, j] = matrix[j, i] = value
        elif name in known:
            found[name] = float(value)
        else:
            raise UserError(f"recover.at has '{name}', which is not estimated. {nearest(name, [*known, *where])}")
    if np.linalg.eigvalsh(matrix).min(initial=1.0) <= 0:
        raise UserError("recover.at: these correlations cannot be those of one distribution; bring them nearer to 0.")
    sites = {name: jnp.asarray(value) for name, value in found.items()}
    for block, mine in zip(population.blocks, place, strict=True):
        if block.distribution() is not None:
            sites[population.site(block)] = jnp.linalg.cholesky(jnp.asarray(matrix[mine]))
    return sites


def _check(inference: AbstractInference, statistical: StatisticalModel, data: Dataset) -> None:
    """Refuse what fits nothing, and data whose design depends on what is measured."""
    if isinstance(inference, Prior | Saved):
        raise UserError(
            f"inference={type(inference).__name__.lower()} fits nothing, so there is nothing to repeat; use "
            "inference=cross_chain or nuts."
        )
    if not statistical.priors():
        raise UserError("Every parameter of the study is fixed: there is no prior to draw from and nothing to recover.")
    for output, noise in statistical.noise.items():
        seen = data.observations[output]
        happened = np.asarray(seen.value) > 0
        if isinstance(noise, RepeatedEvents) and not (happened & seen.censored).any():
            raise UserError(
                f"noise.{output}: each event that comes back has a row of its own, so that other data of the same "
                "design have another number of rows; give numbers of events since the row before (CENS 1) instead."
            )
        if isinstance(noise, RepeatedEvents | TimeToEvent):
            if seen.censored.any() and (happened & ~seen.censored).any():
                raise UserError(
                    f"Output '{output}' has events of known times and events between two rows; data of the same design "
                    "can be simulated where all are known, or none."
                )
            continue
        limits = {(low, high) for low, high in zip(seen.lower, seen.upper, strict=True) if not np.isnan(low)}
        if len(limits) > 1:
            raise UserError(
                f"Output '{output}' is censored at {len(limits)} different limits, and those of its measured values "
                "are not known; data of the same design can be simulated with one limit only, or data.censored=drop."
            )
