"""Ordered categories."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from vtrial._types import Values
from vtrial.errors import UserError
from vtrial.noise.base import Number, estimated, known
from vtrial.noise.discrete import AbstractDiscrete
from vtrial.noise.law import log1mexp
from vtrial.population import AbstractPrior


def _numbers(value: Sequence[Number]) -> tuple[Number, ...]:
    return tuple(value)


class Ordinal(AbstractDiscrete):
    """A category 0 ... K, with proportional odds: the logit of P(Y >= k) is f - cut_k; f, the prediction, is a logit.

    The cut points ascend: the first is 0, for the level of f is the model's, and each next one is a positive gap
    further. A drug effect is then the logarithm of an odds ratio, the same at every cut. Source: McCullagh 1980,
    doi:10.1111/j.2517-6161.1980.tb01109.x.
    """

    gaps: tuple[Number, ...] = eqx.field(converter=_numbers)
    """Gap between each two neighbouring cut points, on the scale of the logit, or its prior: one fewer than K."""

    def __check_init__(self):
        """Refuse a gap that is none, and too few categories."""
        if not self.gaps or any(isinstance(gap, float | int) and not gap > 0 for gap in self.gaps):
            raise UserError(
                "An ordinal law needs one or more positive gaps between its cut points; two categories are "
                "vtrial.noise.Bernoulli."
            )

    def _named(self) -> dict[str, Number]:
        return {f"gap_{k}": gap for k, gap in enumerate(self.gaps, start=1)}

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the priors of `gap_1`, ...; the k-th is between the cut points k and k + 1."""
        return estimated(self._named())

    def units(self, output: str, time: str) -> dict[str, str]:
        """Return no unit."""
        return dict.fromkeys(self.priors(), "")

    def largest(self) -> int | None:
        """Return K."""
        return len(self.gaps) + 1

    def cuts(self, values: Values) -> Float[Array, " cut"]:
        """Return the cut points, ascending from 0."""
        gaps = [known(gap, short, values) for short, gap in self._named().items()]
        return jnp.cumsum(jnp.stack([jnp.zeros_like(gaps[0]), *gaps]))

    def log_probability(
        self, number: Float[Array, " obs"], prediction: Float[Array, " obs"], values: Values
    ) -> Float[Array, " obs"]:
        """Return log(expit(f - cut_k) - expit(f - cut_(k + 1))), factored so that nothing cancels."""
        cuts, category = self.cuts(values), number.astype(int)
        top = len(cuts)
        above = prediction - cuts[jnp.clip(category - 1, 0, top - 1)]
        below = prediction - cuts[jnp.clip(category, 0, top - 1)]
        low, high = category == 0, category == top
        # expit(a) - expit(b) = expit(a) expit(-b) (1 - exp(b - a))
        least = jnp.where(low, 0.0, jax.nn.log_sigmoid(above))
        most = jnp.where(high, 0.0, jax.nn.log_sigmoid(-below))
        between = jnp.where(low | high, 0.0, log1mexp(jnp.where(low | high, 1.0, above - below)))
        return least + most + between

    def draw(self, key: Key[Array, ""], prediction: Float[Array, ""], values: Values) -> Float[Array, ""]:
        """Draw a category: how many cut points a logistic variable around f exceeds."""
        latent = prediction + jax.random.logistic(key)
        return jnp.sum(latent > self.cuts(values)).astype(prediction.dtype)

    def describe(self) -> str:
        """Name the law."""
        return f"ordinal 0 to {self.largest()}, proportional odds, logit f"
