"""Levels of randomness between virtual patients, each of which may be switched off."""

from collections.abc import Mapping

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Int, Key

from vtrial.errors import UserError
from vtrial.likelihood import StatisticalModel
from vtrial.noise import AbstractNoise, AbstractWithoutError
from vtrial.population import CHOLESKY


class Levels(eqx.Module):
    """Which levels vary: all, unless switched off. What is off has its mean, or its typical value, or no error.

    Covariates always vary; a source without spread holds them still.

    Args:
        parameters: off, every replicate has the posterior mean (of OMEGA's correlation: the mean of the correlations).
        study: off, every replicate is a typical study.
        iiv: off, all etas are 0.
        iov: off, all kappas are 0.
        residual: off, what is measured is the true value.
    """

    parameters: bool = eqx.field(static=True, default=True)
    study: bool = eqx.field(static=True, default=True)
    iiv: bool = eqx.field(static=True, default=True)
    iov: bool = eqx.field(static=True, default=True)
    residual: bool = eqx.field(static=True, default=True)

    def describe(self) -> str:
        """Say what is off; "" if nothing is."""
        named = {
            "parameters at the posterior mean": self.parameters,
            "no variability between studies": self.study,
            "no variability between subjects beyond covariates": self.iiv,
            "no variability between occasions": self.iov,
            "no residual error": self.residual,
        }
        return ", ".join(words for words, on in named.items() if not on)

    def check(self, noise: Mapping[str, AbstractNoise]) -> None:
        """Refuse to switch off an error where the observation is none but for its randomness.

        Raises:
            UserError: an output has such a law: a count, a category, an event.
        """
        for output, law in noise.items():
            if not self.residual and isinstance(law, AbstractWithoutError):
                raise UserError(
                    f"cohort.levels.residual is false, but {output} is observed as {type(law).__name__}, which has no "
                    "error to switch off; leave residual true."
                )

    def posterior(self, draws: Mapping[str, np.ndarray], statistical: StatisticalModel) -> dict[str, np.ndarray]:
        """Return the population level of each draw with what is off set to 0; the mean of all draws if those are off.

        Args:
            draws: of the posterior, leading axis the draw.
            statistical: the fitted model.
        """
        population = statistical.population
        sites = {*population.priors(), *statistical.noise_priors()}
        found = {n: np.asarray(v) for n, v in draws.items() if n in sites or n.startswith(CHOLESKY)}
        if not self.parameters:
            found = {n: _mean(v, matrix=n.startswith(CHOLESKY)) for n, v in found.items()}
        for level, on in (("study", self.study), ("iiv", self.iiv), ("iov", self.iov)):
            for name in population.names:
                if not on and f"{name}_{level}" in found:
                    found[f"{name}_{level}"] = np.zeros_like(found[f"{name}_{level}"])
        return found

    def chosen(self, key: Key[Array, ""], draws: int, replicates: int) -> Int[np.ndarray, " replicate"]:
        """Return the posterior draw of each replicate, each another one; -1, the mean, if draws do not vary."""
        if not self.parameters:
            return np.full(replicates, -1)
        return np.asarray(jax.random.permutation(key, draws)[:replicates])


def _mean(value: np.ndarray, *, matrix: bool) -> np.ndarray:
    """Return the mean over draws with a leading axis of length 1; of Cholesky factors that of what they factor."""
    if not matrix:
        return value.mean(0, keepdims=True)
    return np.linalg.cholesky((value @ np.swapaxes(value, -1, -2)).mean(0, keepdims=True))
