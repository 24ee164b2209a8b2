"""Subpopulations: classes that people belong to, though nothing in the data says who belongs to which."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from vtrial._types import Values
from vtrial.errors import UserError
from vtrial.population.priors import AbstractPrior, BetaPrior, Fixed, LogitNormalPrior, UniformPrior

CLASS = "mixture_class"
"""Site of each subject's class [subject]: its position among `Mixture.names`."""
PROBABILITY = "class_probability"
"""Site of the probability of each class given a subject's data [subject, class]."""
_RESERVED = ("iiv", "iov", "study", "eta", "kappa", "individual", "phi", "raw", "missing")
"""What sites end in already."""


class Mixture(eqx.Module):
    """Classes of people, such as poor and extensive metabolisers, and their shares: NONMEM's $MIXTURE.

    A person belongs to one class, which has typical values of its own, see `Parameter.classes`. Classes are summed out
    of the likelihood of each subject; fits report the probability of each class given the subject's data.

    Args:
        shares: by class, the prior of its share among the people of this class and those after it: of the first class,
            its share of all. With `Fixed` it is known. Beta priors make a Dirichlet prior where failures + 1 of one is
            the sum of successes + 1 and failures + 1 of the next.
        rest: name of the last class. Its typical values, and those that a parameter does not give by class, are
            `Parameter.prior`.
    """

    shares: tuple[AbstractPrior, ...]
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, shares: Mapping[str, AbstractPrior], rest: str):
        """Keep the shares as an ordered tuple, for `jit` sorts dictionaries."""
        self.shares = tuple(shares.values())
        self.names = (*shares, rest)
        if not shares or len(set(self.names)) < len(self.names):
            raise UserError("population.mixture needs two or more classes, each named once: shares of all but `rest`.")
        for name, prior in shares.items():
            if not _is_share(prior):
                raise UserError(
                    f"population.mixture.shares.{name} is the prior of a number between 0 and 1: BetaPrior, "
                    f"LogitNormalPrior, UniformPrior or Fixed between them, not {prior.describe('')}."
                )
        for name in self.names:
            if name in _RESERVED or not name.isidentifier():
                raise UserError(f"population.mixture has a class '{name}', a name that cannot be used; choose another.")

    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of each share, by site."""
        return {f"share_{name}": prior for name, prior in zip(self.names, self.shares, strict=False)}

    def log_shares(self, draw: Values) -> Float[Array, " class"]:
        """Return the logarithm of each class's share of all people."""
        own = jnp.stack([jnp.asarray(draw[site]) for site in self.priors()])
        before = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log1p(-own))])
        return before + jnp.concatenate([jnp.log(own), jnp.zeros(1)])

    def new_class(self, key: Key[Array, ""], draw: Values) -> Int[Array, ""]:
        """Draw the class of a person the data have not seen."""
        return jax.random.categorical(key, self.log_shares(draw))

    def describe(self) -> str:
        """Say classes and shares in words."""
        said = [f"{site.removeprefix('share_')} (share {site})" for site in self.priors()]
        return f"each person belongs to one of the classes {', '.join(said)} and {self.names[-1]} (the rest)"


def _is_share(prior: AbstractPrior) -> bool:
    """Return whether all values that a prior allows are between 0 and 1."""
    if isinstance(prior, LogitNormalPrior | UniformPrior):
        return prior.lower >= 0 and prior.upper <= 1
    return isinstance(prior, BetaPrior) or (isinstance(prior, Fixed) and 0 < prior.value < 1)
