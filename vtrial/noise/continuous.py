"""Measurements with an error: densities of measured values, and probabilities of censored ones."""

import logging
from abc import abstractmethod
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial._types import Values
from vtrial.data.dataset import Dataset, Observations
from vtrial.errors import UserError
from vtrial.noise.base import AbstractNoise, Visits
from vtrial.noise.law import Law, Normal

log = logging.getLogger(__name__)

_NONE = -1e4
"""Logarithm of a correlation that is 0 in floating point, and has derivatives."""


class AbstractContinuous(AbstractNoise):
    """A measurement on a continuous scale, with an error.

    A measured value has a density. A censored one has the probability of its interval, which is Beal's method M3 for a
    value below the limit of quantification: P(Y < LLOQ); likewise P(Y > ULOQ) above an upper limit, and P(LIMIT < Y <
    DV) for an interval. M1 is `data.censored: drop`, and M4 is `Positive`. Source: Beal 2001,
    doi:10.1023/A:1012299115260.
    """

    @abstractmethod
    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return the law of each measurement, others unknown."""

    @abstractmethod
    def memory(self, gap: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return the log correlation of two standardised errors of a subject so far apart; None: independent."""

    @property
    def also(self) -> tuple[str, ...]:
        """Need no other output."""
        return ()

    def check(self, output: str, data: Dataset) -> None:
        """Refuse an output without a measured value, and what the error model has no density for."""
        seen = data.observations[output]
        if seen.censored.all():
            raise UserError(
                f"All {len(seen.value)} observations of output '{output}' are censored; there is nothing to calibrate "
                "its error with. Leave it out of data.outputs."
            )
        measured = np.unique(seen.subject[~seen.censored])
        blind = [data.subjects[i] for i in np.setdiff1d(seen.subject, measured)]
        if blind:
            log.warning(
                "output '%s': every observation is censored in %d subject(s): ID %s; little is learnt from them. See "
                "whether their doses, LLOQ and units are right",
                *(output, len(blind), ", ".join(blind[:5]) + (", ..." if len(blind) > 5 else "")),
            )
        self.check_values(output, data)

    @abstractmethod
    def check_values(self, output: str, data: Dataset) -> None:
        """Refuse values that the law gives no density; raises `UserError` at the first."""

    def log_likelihood(
        self,
        prediction: Float[Array, " obs"],
        also: Mapping[str, Float[Array, " obs"]],
        values: Values,
        seen: Observations,
    ) -> Float[Array, " obs"]:
        """Return the log density of measured values and the log probability of censored ones."""
        law = self._given_earlier(prediction, values, seen)
        density = law.log_density(jnp.asarray(seen.value))
        censored = seen.censored
        if isinstance(censored, np.ndarray) and not censored.any():
            return density
        lower, upper = jnp.asarray(seen.lower), jnp.asarray(seen.upper)
        return jnp.where(censored, law.log_between(lower, upper), density)

    def replicate(
        self, prediction: Float[Array, " obs"], also: Mapping[str, Float[Array, " obs"]], values: Values, visits: Visits
    ) -> Float[Array, " obs"]:
        """Return measurements with errors; nothing is censored."""
        law = self.law(prediction, values)
        previous = jnp.asarray(visits.previous)
        correlation = self._correlation(jnp.asarray(visits.time), previous, values)
        if correlation is None:
            return law.inverse(law.location + law.scale * law.draw(visits.own))

        def step(error: Float[Array, " obs"], k: Int[Array, ""]) -> tuple[Float[Array, " obs"], None]:
            # One measurement after the other: the law of each is around what the one before leaves.
            before = jnp.where(previous[k] >= 0, error[previous[k]], 0.0)
            one = jax.tree.map(lambda x: x[k][None], (law.location, law.scale, correlation))
            own = _after(eqx.tree_at(lambda w: (w.location, w.scale), law, one[:2]), before[None], one[2])
            drawn = jnp.exp(one[2]) * before + _rest(one[2]) * own.draw(visits.own[k][None])
            return error.at[k].set(drawn[0]), None

        error, _ = jax.lax.scan(step, jnp.zeros_like(law.location), jnp.arange(len(law.location)))
        return law.inverse(law.location + law.scale * error)

    def deviation(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return the SD of each measurement, others unknown; to first order where the error is on another scale."""
        law = self.law(prediction, values)
        return law.scale * law.standard.deviation() * jnp.exp(-law.log_slope(prediction))

    def residual(
        self, prediction: Float[Array, " obs"], values: Values, seen: Observations
    ) -> Float[Array, " obs"] | None:
        """Return (value - expected) / SD on the scale of the error, given the subject's earlier measurements."""
        law = self._given_earlier(prediction, values, seen)
        found = law.standardised(jnp.asarray(seen.value)) / law.standard.deviation()
        return jnp.where(seen.censored, jnp.nan, found)

    def _given_earlier(self, prediction: Float[Array, " obs"], values: Values, seen: Observations) -> Law:
        """Return the law of each observation given the last measured one of the same subject before it.

        A censored observation says nothing about the error of those after it, and its own probability is given the last
        value measured. The density of the measured values is then exact, since an error with this correlation depends
        on the past by its last known value; the probabilities of several censored values after one another are
        multiplied as if they were independent given it, which is an approximation.
        """
        law = self.law(prediction, values)
        previous = _last_measured(seen)
        correlation = self._correlation(jnp.asarray(seen.time), previous, values)
        if correlation is None:
            return law
        error = law.standardised(jnp.asarray(seen.value))
        return _after(law, jnp.where(previous >= 0, error[previous], 0.0), correlation)

    def _correlation(
        self, time: Float[Array, " obs"], previous: Int[Array, " obs"], values: Values
    ) -> Float[Array, " obs"] | None:
        """Return the log correlation of each error with the one before; None if errors are independent."""
        first = previous < 0
        gap = jnp.where(first, 1.0, time - time[previous])
        found = self.memory(gap, values)
        return None if found is None else jnp.where(first, _NONE, found)


class AbstractGaussian(AbstractContinuous):
    """An error that is normal on some scale, and independent from one measurement to the next."""

    def memory(self, gap: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Say that errors are independent."""
        return None


class AbstractNormal(AbstractGaussian):
    """An error that is normal on the scale of the output, whose SD depends on the prediction."""

    @abstractmethod
    def spread(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"]:
        """Return the standard deviation."""

    def law(self, prediction: Float[Array, " obs"], values: Values) -> Law:
        """Return Normal(f, SD)."""
        return Law(prediction, self.spread(prediction, values), Normal())

    def check_values(self, output: str, data: Dataset) -> None:
        """Allow every value."""


def _after(law: Law, before: Float[Array, " obs"], correlation: Float[Array, " obs"]) -> Law:
    """Return the law of measurements given an earlier standardised error and the log correlation with it."""
    around = law.location + law.scale * jnp.exp(correlation) * before
    return eqx.tree_at(lambda w: (w.location, w.scale), law, (around, law.scale * _rest(correlation)))


def _rest(correlation: Float[Array, " obs"]) -> Float[Array, " obs"]:
    """Return sqrt(1 - r^2), what of an error is new, given log r."""
    return jnp.sqrt(-jnp.expm1(2.0 * correlation))


def _last_measured(seen: Observations) -> Int[Array, " obs"]:
    """Return the position of each observation's last measured predecessor in the same subject; -1 for none."""
    previous, censored = jnp.asarray(seen.previous), jnp.asarray(seen.censored)
    if isinstance(seen.censored, np.ndarray) and not seen.censored.any():
        return previous
    # Each censored entry points to the one before it, each measured one to itself; twice as far every round.
    to = jnp.where(censored, previous, jnp.arange(len(previous)))
    for _ in range(max(1, len(previous).bit_length())):
        to = jnp.where(to >= 0, to[to], -1)
    return jnp.where(previous >= 0, to[previous], -1)
