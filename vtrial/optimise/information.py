"""The expected information of sampling times about a population, its slopes, and exchanges between times."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vtrial.cohort import Levels
from vtrial.cohort.covariates import preview
from vtrial.dosing import rounded
from vtrial.errors import UserError, nearest
from vtrial.optimise.base import Ground
from vtrial.solve import ResultCode
from vtrial.statistics.information import first_order, log_determinant

_ROUNDS = 20
"""Most rounds of the exchange."""
_SHIFT = 1e-5
"""Of the range of times, for the slope of a prediction in time."""


class Sensitivity(eqx.Module):
    """What predictions at some times depend on; the leading axis, where there is one, is the draw."""

    mean: Float[Array, "*draw time output"]
    fixed: Float[Array, "*draw time output fixed"]
    """Slopes in typical values."""
    random: Float[Array, "*draw time output effect"]
    """Slopes in etas, at 0."""

    def at(self, which: Array | np.ndarray) -> "Sensitivity":
        """Return those of some of the times."""
        return jax.tree.map(lambda x: x[:, which], self)


class Information:
    """The criterion of sampling times, with all that does not change between them."""

    def __init__(self, ground: Ground, arm: str, outputs: tuple[str, ...], subjects: int, draws: int):
        """Prepare; arguments are those of `SamplingSearch`.

        Raises:
            UserError: there is no such arm, an output has no residual error, or parameters vary between occasions.
        """
        self.statistical, self.subjects = ground.statistical, subjects
        self._arm, self._model = ground.arm(arm), ground.statistical.model
        if ground.statistical.population.occasion_effects:
            raise UserError("optimise=sampling does not know variability between occasions; leave iov out.")
        self.outputs = outputs or tuple(ground.statistical.noise)
        for name in self.outputs:
            if name not in ground.statistical.noise:
                raise UserError(
                    f"optimise.outputs has '{name}', which has no residual error in noise. "
                    f"{nearest(name, ground.statistical.noise)}"
                )
        self._draws = _draws(ground, draws)
        self._covariates = _typical_covariates(ground)
        estimated, population = self.statistical.priors(), self.statistical.population
        self.fixed = tuple(n for n in population.names if n in estimated)
        noise = [f"{o}_{short}" for o in self.outputs for short in self.statistical.noise[o].priors()]
        omegas = [f"{n}_iiv" for n in population.effects]
        self.variances = tuple(site for site in [*omegas, *noise] if site in estimated)
        self.names = (*self.fixed, *self.variances)
        self._solve = jax.jit(jax.vmap(self._sensitivity, in_axes=(0, None)))
        self._criterion = jax.jit(self._mean_criterion)
        self._slopes = jax.jit(jax.value_and_grad(self._mean_criterion))
        self._swap = jax.jit(jax.vmap(lambda s, which: self._mean_criterion(s.at(which)), in_axes=(None, 0)))

    def value(self, times: Float[np.ndarray, " sample"]) -> float:
        """Return the criterion."""
        return float(self._criterion(self.sensitivity(np.sort(times))))

    def relative_errors(self, times: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " parameter"]:
        """Return the expected relative standard error of each parameter, in percent, averaged over draws."""
        blocks = jax.vmap(self._blocks)(self.sensitivity(np.sort(times)), self._draws)
        error = [np.sqrt(np.diagonal(np.linalg.inv(np.asarray(b)), axis1=1, axis2=2)) for b in blocks]
        value = np.stack([np.asarray(self._draws[n]) for n in self.names], 1)
        return 100.0 * np.mean(np.concatenate(error, 1) / np.abs(value), 0)

    def sensitivity(self, times: Float[np.ndarray, " time"]) -> Sensitivity:
        """Return what predictions at ascending times depend on.

        Raises:
            UserError: the model could not be solved.
        """
        rows = [rounded(t) for t in times.tolist()]
        code, found = self._solve(self._draws, self._arm.regimen.records(self._model, rows, self._covariates))
        if (np.asarray(code) != ResultCode.SOLVED).any():
            raise UserError(
                "The model could not be solved for a typical subject of every draw; see the solver's limits."
            )
        return found

    def exchange(self, candidates: Float[np.ndarray, " time"], start: np.ndarray) -> Float[np.ndarray, " sample"]:
        """Return the times among the candidates, or of the start, that no exchange of one for another betters."""
        every = np.sort(np.concatenate([candidates, start]))
        known, chosen = self.sensitivity(every), np.searchsorted(every, np.sort(start))
        best = -np.inf
        for _ in range(_ROUNDS):
            before = best
            for place in range(len(chosen)):
                swaps = np.tile(chosen, (len(every), 1))
                swaps[:, place] = np.arange(len(every))
                values = np.asarray(self._swap(known, swaps))
                chosen, best = swaps[np.nanargmax(values)], float(np.nanmax(values))
            if best <= before + 1e-9:
                break
        return np.sort(every[chosen])

    def with_gradient(self, times: Float[np.ndarray, " sample"], low: float, high: float) -> tuple[float, np.ndarray]:
        """Return the criterion and its slope in each time, of times in any order."""
        shift = _SHIFT * (high - low)
        each = np.stack([np.maximum(times - shift, 0.5 * low), times, times + shift])
        order = np.argsort(each.ravel(), kind="stable")
        back = np.argsort(order, kind="stable").reshape(each.shape)
        known = self.sensitivity(each.ravel()[order])
        before, now, after = (known.at(which) for which in back)
        value, by = self._slopes(now)
        gradient = np.zeros(len(times))
        for a, b, slope in zip(*(jax.tree.leaves(x) for x in (before, after, by)), strict=True):
            axes = tuple(i for i in range(slope.ndim) if i != 1)
            gradient += np.asarray((slope * (b - a)).sum(axes))
        return float(value), gradient / (each[2] - each[0])

    def _sensitivity(self, draw: Mapping[str, Array], table) -> tuple[Array, Sensitivity]:
        """Return the code, and what the predictions of a draw depend on."""
        population, effects = self.statistical.population, len(self.statistical.population.effects)

        def predicted(values):
            typical = {name: values[i] for i, name in enumerate(self.fixed)}
            eta = values[len(self.fixed) :]
            p = population.individual({**draw, **typical}, eta, self._covariates)
            p = {name: value * self._arm.factors.get(name, 1.0) for name, value in p.items()}
            profile = self.statistical.solver(self._model, p, table)
            found = jnp.stack([profile.outputs[o] for o in self.outputs], -1)
            return found, (found, profile.code)

        centre = jnp.concatenate([jnp.stack([draw[n] for n in self.fixed]), jnp.zeros(effects)])
        slopes, (mean, code) = jax.jacfwd(predicted, has_aux=True)(centre)
        return code, Sensitivity(mean, slopes[..., : len(self.fixed)], slopes[..., len(self.fixed) :])

    def _mean_criterion(self, known: Sensitivity) -> Float[Array, ""]:
        """Return the log determinant, averaged over draws."""
        return jnp.mean(jax.vmap(lambda s, d: log_determinant(self._blocks(s, d)))(known, self._draws))

    def _blocks(self, known: Sensitivity, draw: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the information of all subjects at a draw: of typical values, and of variances (as SDs)."""
        population = self.statistical.population
        random = known.random.reshape(-1, known.random.shape[-1])

        def covariance(values):
            own = {**draw, **{name: values[i] for i, name in enumerate(self.variances)}}
            spread = random @ population.factor(own)
            each = [
                self._deviation(o, known.mean[:, i], self.statistical.noise_values(o, own))
                for i, o in enumerate(self.outputs)
            ]
            return spread @ spread.T + jnp.diag(jnp.stack(each, -1).ravel() ** 2)

        at = jnp.stack([draw[n] for n in self.variances])
        slopes = jnp.moveaxis(jax.jacfwd(covariance)(at), -1, 0)
        fixed = known.fixed.reshape(-1, len(self.fixed))
        means, spreads = first_order(fixed, covariance(at), slopes)
        return self.subjects * means, self.subjects * spreads

    def _deviation(self, output: str, mean: Array, values: Mapping[str, Array]) -> Array:
        found = self.statistical.noise[output].deviation(mean, values)
        if found is None:
            raise UserError(
                f"Output '{output}' is no measurement with an error; sampling times cannot be chosen for it."
            )
        return found


def _draws(ground: Ground, count: int) -> dict[str, Array]:
    """Return draws of the population level, evenly spread over the posterior; its mean for 0."""
    kept = Levels(parameters=count > 0).posterior(ground.posterior, ground.statistical)
    length = len(next(iter(kept.values())))
    which = np.linspace(0, length - 1, max(count, 1)).astype(int)
    return {name: jnp.asarray(value[which]) for name, value in kept.items()}


def _typical_covariates(ground: Ground) -> dict[str, Array]:
    """Return the median covariates of virtual patients, those of effects at their reference."""
    drawn = preview(ground.cohort.covariates, ground.data)
    found = {name: jnp.median(jnp.asarray(value)) for name, value in drawn.items()}
    for parameter in ground.statistical.population.parameters:
        for effect in parameter.covariates.values():
            found[effect.covariate] = jnp.asarray(float(effect.reference))
    return found
