"""The first look: Laplace's approximation of the population level, put right by importance sampling."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.scipy.special import logsumexp
from jaxtyping import Array, Key
from scipy.stats import multivariate_t

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError, nearest
from vtrial.inference import groups
from vtrial.inference.approximation import CHAINS, check_draws, quality, smoothed
from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint
from vtrial.inference.inner import CURVATURES
from vtrial.inference.marginal import Fit, Marginal, first_look
from vtrial.likelihood import StatisticalModel
from vtrial.population.mixture import PROBABILITY

_TAILS = 8.0
"""Degrees of freedom of the t distribution that draws of the population level are proposed from."""
_JUDGED = 8000
"""Samples of a subject that its Pareto k is taken from."""
_BATCH = 8
"""Proposals treated at once; bounds the memory."""


class Laplace(AbstractInference):
    """Laplace-marginal fit, the Bayesian counterpart of FOCE and LAPLACE, with importance sampling on two levels.

    The population level is maximised with each subject's random effects integrated out at their modes. Draws of it come
    from a t distribution around the maximum; for each, every subject's random effects are sampled around their mode,
    which gives the likelihood without Laplace's error. Pareto k of the population level says whether the weights can be
    trusted, and of each subject whether its sampling can.

    Sources: Tierney and Kadane 1986, doi:10.1080/01621459.1986.10478240; Vehtari et al. 2024, JMLR 25(72).
    """

    draws: int = eqx.field(static=True, default=1000)
    """Draws kept of each of four nominal chains."""
    curvature: str = eqx.field(static=True, default="interaction")
    """`interaction` (first derivatives of the predictions, as FOCE with interaction) or `laplace` (exact)."""
    samples: int = eqx.field(static=True, default=32)
    """Samples of each subject's random effects for each draw."""
    proposals: int = eqx.field(static=True, default=2)
    """Proposed draws for each one kept."""

    def __check_init__(self):
        """Refuse what is no approximation."""
        check_draws(CHAINS * self.draws)
        if self.curvature not in CURVATURES:
            raise UserError(f"inference.curvature is '{self.curvature}'. {nearest(self.curvature, CURVATURES)}")
        if self.samples < 8 or self.proposals < 1:
            raise UserError(
                f"inference.samples must be at least 8 and inference.proposals at least 1, not {self.samples} and "
                f"{self.proposals}."
            )

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Fit, propose, weigh, and draw by the weights; a few seconds, so that no state is saved."""
        marginal = Marginal(statistical, data, self.curvature)
        fit = first_look(marginal)
        random = np.random.default_rng(np.asarray(jax.random.key_data(keys.named(key, "propose"))))
        law: Any = multivariate_t(fit.vector, fit.covariance, df=_TAILS, allow_singular=True)  # pyright: ignore
        size = self.proposals * CHAINS * self.draws
        vectors = law.rvs(size, random_state=random).reshape(-1, len(fit.vector))
        each = keys.numbered(keys.named(key, "subjects"), len(vectors))
        weights, latent, prior = _weigh(marginal, each, vectors, fit, self.samples)
        subjects = np.asarray(logsumexp(jnp.asarray(weights), axis=2)) - np.log(self.samples)
        ratio = prior + subjects.sum(1) - law.logpdf(vectors)
        outer, k = smoothed(np.where(np.isnan(ratio), -np.inf, ratio))
        chosen = random.choice(len(vectors), CHAINS * self.draws, p=outer)
        samples = _named(marginal, vectors[chosen], latent[chosen], self.draws)
        stats = groups.sample_stats({"diverging": np.zeros((CHAINS, self.draws), bool)}).merge(_own(weights, data))
        stats.attrs |= quality("Laplace", outer, k, refused="may not be used for decisions")
        stats.attrs["objective"] = fit.objective
        posterior = groups.posterior(keys.named(key, "classes"), samples, statistical, data)
        return {schema.POSTERIOR: posterior, schema.SAMPLE_STATS: stats}

    def count(self) -> int | None:
        """Return chains times draws."""
        return CHAINS * self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Say the approximation and the correction."""
        return (
            f"Laplace-marginal fit ({self.curvature}), {CHAINS * self.draws} draws by importance sampling of the "
            f"population level and of each subject ({self.samples} samples)"
        )


def _weigh(
    marginal: Marginal, each: Key[Array, " proposal"], vectors: np.ndarray, fit: Fit, samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log weights [proposal subject sample], chosen random effects and log prior of each proposal."""
    start = jnp.asarray(fit.latent)

    def one(given):
        key, vector = given
        weights, chosen = marginal.importance(key, vector, start, samples)
        return weights, chosen, -marginal.density.potential(marginal.density.point(vector))

    found = jax.jit(lambda given: jax.lax.map(one, given, batch_size=_BATCH))((each, jnp.asarray(vectors)))
    weights, latent, prior = (np.asarray(part) for part in found)
    return np.where(np.isnan(weights), -np.inf, weights), latent, prior


def _named(marginal: Marginal, vectors: np.ndarray, latent: np.ndarray, draws: int) -> dict[str, np.ndarray]:
    """Return the draws [chain draw ...] of every site."""

    def one(given):
        vector, own = given
        draw = marginal.inner.named(marginal.draw(vector), own)
        statistical, data = marginal.statistical, marginal.data
        if statistical.population.mixture:
            return draw | {PROBABILITY: jax.nn.softmax(statistical.class_log_likelihood(draw, data), axis=0).T}
        return draw | statistical.individual_values(draw, data)

    found = jax.jit(lambda given: jax.lax.map(one, given, batch_size=250))((jnp.asarray(vectors), jnp.asarray(latent)))
    return {name: np.asarray(x).reshape(CHAINS, draws, *x.shape[1:]) for name, x in found.items()}


def _own(weights: np.ndarray, data: Dataset) -> xr.Dataset:
    """Return Pareto k of each subject, given the log weights [proposal subject sample]."""
    # The few samples of one proposal say little about their tail: those of many, each relative to its mean, do.
    some = weights[: max(1, _JUDGED // weights.shape[2])]
    relative = some - np.asarray(logsumexp(jnp.asarray(some), axis=2, keepdims=True))
    own = [smoothed(relative[:, i].ravel())[1] for i in range(relative.shape[1])]
    what = {"long_name": "Pareto k of the sampling of the subject's random effects", "units": ""}
    return xr.Dataset(
        {"subject_pareto_k": (schema.SUBJECT, np.array(own), what)}, {schema.SUBJECT: list(data.subjects)}
    )
