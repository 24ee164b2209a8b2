"""Weighted residuals by linearisation of the model in the etas: WRES and CWRES; and IWRES."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractContinuous
from vtrial.population import effects as random_effects
from vtrial.population.mixture import CLASS, PROBABILITY

_BATCH = 16
"""Passes backward at once; bounds the memory."""


class Point(NamedTuple):
    """One value of everything a fit estimates, for residuals that need one."""

    draw: dict[str, Array]
    """Posterior medians by site, in the form of a draw."""
    eta: Float[np.ndarray, "subject random"]
    """Posterior mean random effects, the empirical Bayes estimates of a Bayesian fit: etas in the order of
    `Population.effects`, then the kappas of each occasion in that of `Population.occasion_effects`."""
    omega: Float[np.ndarray, "random random"]
    """Posterior mean of their covariance: OMEGA of the etas, then a diagonal block for each occasion."""


class Line(NamedTuple):
    """Every observation's prediction as a linear function of the subject's random effects, all outputs on one axis.

    Predictions and deviations are on the scale on which the residual error is added, such as the logarithm.
    """

    prediction: Float[np.ndarray, " obs"]
    slope: Float[np.ndarray, "obs random"]
    deviation: Float[np.ndarray, " obs"]
    """Residual standard deviation at the prediction; NaN where the residual error has none."""


def point(draws: Values, statistical: StatisticalModel, data: Dataset) -> Point:
    """Return the point estimate of a fit from its draws, leading axis the draw."""
    population = statistical.population
    every = {name: jnp.asarray(value) for name, value in draws.items()}
    medians = {name: jnp.median(value, axis=0) for name, value in every.items()}
    if population.mixture:  # each subject's most probable class
        medians[CLASS] = jnp.argmax(every[PROBABILITY].mean(0), axis=-1)
    means = random_effects.stacked(population, draws, len(data.subjects)).mean(0)
    levels = statistical.levels(data)
    factor = np.asarray(jax.vmap(lambda draw: random_effects.whole_factor(population, draw, levels))(every))
    return Point(medians, means, np.einsum("dij,dkj->ik", factor, factor) / len(factor))


def named(
    statistical: StatisticalModel, data: Dataset, random: Float[Array, "subject random"]
) -> dict[str, Float[Array, "subject *occasion"]]:
    """Return random effects by site, `CL_eta` [subject] and `CL_kappa` [subject occasion]."""
    return random_effects.split(statistical.population, statistical.levels(data), random)


def located(
    statistical: StatisticalModel, output: str, prediction: Float[Array, " obs"], draw: Values
) -> tuple[Float[Array, " obs"], Float[Array, " obs"]]:
    """Return location and SD of an output's measurements on the scale of the error; the SD is NaN if there is none."""
    noise = statistical.noise[output]
    if not isinstance(noise, AbstractContinuous):
        return prediction, jnp.full_like(prediction, jnp.nan)
    law = noise.law(prediction, statistical.noise_values(output, draw))
    return law.location, law.scale * law.standard.deviation()


def _rescaled(
    statistical: StatisticalModel, data: Dataset, draw: Values, observed: Float[np.ndarray, " obs"]
) -> Float[np.ndarray, " obs"]:
    """Return measured values on the scale on which their error is added."""
    result, output = observed.copy(), data.coordinates()["output"]
    for o, noise in statistical.noise.items():
        if isinstance(noise, AbstractContinuous):
            value = jnp.asarray(observed[output == o])
            result[output == o] = noise.law(value, statistical.noise_values(o, draw)).forward(value)
    return result


def linearised(
    statistical: StatisticalModel, data: Dataset, draw: Values
) -> Callable[[Float[np.ndarray, "subject random"]], Line]:
    """Return a function of the random effects that gives predictions, see `Line`, and their exact derivatives there.

    A subject's predictions depend on its own random effects alone, so that one pass backward serves the first
    observation of all subjects, the next one the second, and so on. Passes go backward since every solver can do that.
    """
    subject = subjects_of(data)
    turn = _turn(subject)
    ends = np.cumsum([len(obs.value) for obs in data.observations.values()])[:-1]

    def predicted(eta: Float[Array, "subject random"]) -> tuple[dict[str, Array], dict[str, Array]]:
        own = {**draw, **named(statistical, data, eta)}
        found, _ = statistical.predict(statistical.same_subjects(own, data), data)
        both = {o: located(statistical, o, found[o], draw) for o in data.observations}
        return {o: one[0] for o, one in both.items()}, {o: one[1] for o, one in both.items()}

    @jax.jit
    def slopes(eta: Float[Array, "subject random"]):
        if not eta.shape[1]:  # nothing varies between subjects, and batches of nothing cannot be put together
            return *predicted(eta), jnp.zeros((turn.max() + 1, *eta.shape))
        value, back, spread = jax.vjp(predicted, eta, has_aux=True)

        def pulled(k: Array) -> Array:
            parts = jnp.split(jnp.where(jnp.asarray(turn) == k, 1.0, 0.0), ends)
            return back(dict(zip(data.observations, parts, strict=True)))[0]

        every = jax.lax.map(pulled, jnp.arange(turn.max() + 1), batch_size=_BATCH)
        return value, spread, every

    def line(eta: Float[np.ndarray, "subject random"]) -> Line:
        value, spread, every = slopes(jnp.asarray(eta))
        return Line(data.long(value), np.asarray(every)[turn, subject], data.long(spread))

    return line


def _turn(subject: Int[np.ndarray, " obs"]) -> Int[np.ndarray, " obs"]:
    """Return the number of each observation among those of its subject."""
    order = np.argsort(subject, kind="stable")
    first = np.searchsorted(subject[order], subject[order], side="left")
    turn = np.empty(len(subject), int)
    turn[order] = np.arange(len(subject)) - first
    return turn


def weighted(
    residual: Float[np.ndarray, " obs"],
    slope: Float[np.ndarray, "obs random"],
    omega: Float[np.ndarray, "random random"],
    deviation: Float[np.ndarray, " obs"],
    subject: Int[np.ndarray, " obs"],
    correlation: Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some some"]] = lambda mine: np.eye(len(mine)),
) -> Float[np.ndarray, " obs"]:
    """Return residuals divided by the inverse square root of their covariance, subject by subject.

    The covariance of a subject's residuals is J OMEGA J' + diag(SD) R diag(SD), where R is the `correlation` of the
    residual errors of some observations, by default none. Its square root is the symmetric one, as in NONMEM's default.
    Entries without a deviation are left out, and NaN.
    """
    result = np.full(len(residual), np.nan)
    usable = np.isfinite(residual) & np.isfinite(deviation) & np.isfinite(slope).all(axis=1)
    for who in np.unique(subject[usable]):
        mine = np.flatnonzero(usable & (subject == who))
        error = deviation[mine, None] * correlation(mine) * deviation[mine]
        covariance = slope[mine] @ omega @ slope[mine].T + error
        size, axes = np.linalg.eigh(covariance)
        if size[0] > 0:
            result[mine] = axes @ ((axes.T @ residual[mine]) / np.sqrt(size))
    return result


def population_residuals(
    statistical: StatisticalModel, data: Dataset, found: Point, observed: Float[np.ndarray, " obs"]
) -> dict[str, np.ndarray]:
    """Return WRES and CWRES [obs].

    WRES linearises around etas of 0, as the FO method does: the expectation is f(0), the covariance
    J(0) OMEGA J(0)' + SD(f(0))^2. CWRES linearises around the subject's own etas, as FOCE with interaction does: the
    expectation is f(eta) - J(eta) eta, the covariance J(eta) OMEGA J(eta)' + SD(f(eta))^2 (Hooker, Staatz and Karlsson
    2007, doi:10.1007/s11095-007-9361-x; with interaction, NONMEM's CWRESI). Kappas are etas too here. Population values
    are posterior medians, those of the effects of studies too; OMEGA and the etas are posterior means, see `Point`.
    Residual errors correlate in time where their law says so. Where they are added on another scale, all is on that: of
    a log-normal error f is the logarithm of the prediction, as where NONMEM is given logarithms.
    """
    observed = _rescaled(statistical, data, found.draw, observed)
    subject, correlation = subjects_of(data), error_correlation(statistical, data, found.draw)
    line = linearised(statistical, data, found.draw)
    first, own = line(np.zeros_like(found.eta)), line(found.eta)
    expected = own.prediction - np.sum(own.slope * found.eta[subject], axis=1)
    return {
        "WRES": weighted(observed - first.prediction, first.slope, found.omega, first.deviation, subject, correlation),
        "CWRES": weighted(observed - expected, own.slope, found.omega, own.deviation, subject, correlation),
    }


def error_correlation(
    statistical: StatisticalModel, data: Dataset, draw: Values
) -> Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some some"]]:
    """Return a function of positions on the long axis, of one subject, that gives the correlation of their errors."""
    time, output = (data.coordinates()[name] for name in ("time", "output"))
    lasting = {o: noise for o, noise in statistical.noise.items() if isinstance(noise, AbstractContinuous)}

    def correlation(mine: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some some"]:
        found = np.eye(len(mine))
        for o, noise in lasting.items():
            own = np.flatnonzero(output[mine] == o)
            gap = np.abs(time[mine[own], None] - time[mine[own]])
            memory = noise.memory(jnp.asarray(gap.ravel()), statistical.noise_values(o, draw))
            if memory is not None:
                found[np.ix_(own, own)] = np.exp(np.asarray(memory)).reshape(gap.shape)
        return found

    return correlation


def individual_residuals(
    statistical: StatisticalModel, data: Dataset, found: Point, individual: Values
) -> dict[str, np.ndarray]:
    """Return IWRES of each output: (DV - IPRED) / SD(IPRED), the residual error at its posterior medians.

    Difference and SD are on the scale on which the error is added. NaN where a value is censored, and where an output
    has no residual error.
    """
    result = {}
    for o, seen in data.observations.items():
        prediction = jnp.asarray(individual[o])
        values = statistical.noise_values(o, found.draw)
        white = statistical.noise[o].residual(prediction, values, seen)
        result[o] = np.full(len(prediction), np.nan) if white is None else np.asarray(white)
    return result


def subjects_of(data: Dataset) -> Int[np.ndarray, " obs"]:
    """Return the position of the subject of each observation on the long axis."""
    return data.long({o: obs.subject for o, obs in data.observations.items()})
