"""Randomisation: who of the next patients gets which arm, in a given ratio."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.design.base import Seen
from vtrial.errors import UserError
from vtrial.solve.lanes.sorting import in_order


def _factors(by: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(limits) for name, limits in by.items()}


class AbstractRandomisation(eqx.Module):
    """Assigns arms in a ratio that may change from look to look; traceable, for one trial."""

    @abstractmethod
    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Return the arms of patients `seen.next` to `seen.next + n - 1`; an arm of weight 0 is given to nobody."""

    @abstractmethod
    def covariates(self) -> tuple[str, ...]:
        """Return the covariates it reads."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class Unrestricted(AbstractRandomisation):
    """Each patient by lot, whatever came before."""

    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Draw each arm with its share."""
        return jax.random.categorical(key, jnp.log(weights), shape=(n,))

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say it."""
        return "randomised without restriction"


class Shuffled(AbstractRandomisation):
    """Exact numbers among the patients before a look, in random order."""

    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Shuffle exact numbers."""
        return _filled(weights, n)[_shuffled(key, n)]

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say it."""
        return "randomised to exact numbers"


class Blocks(AbstractRandomisation):
    """Permuted blocks: the ratio is kept within every block; each look starts a new one."""

    size: int = eqx.field(static=True)
    """Patients in a block."""

    def __check_init__(self):
        """Refuse a block of one."""
        _check_size(self.size)

    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Shuffle within blocks."""
        return _blocks(key, weights, self.size, n)

    def covariates(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def describe(self) -> str:
        """Say it."""
        return f"randomised in permuted blocks of {self.size}"


class Stratified(AbstractRandomisation):
    """Permuted blocks within strata: patients alike in all factors share blocks.

    Args:
        by: covariate -> limits between its levels, ascending and in the dataset's unit; a patient at a limit belongs
            above it.
        size: patients in a block.
    """

    by: Mapping[str, tuple[float, ...]] = eqx.field(static=True, converter=_factors)
    size: int = eqx.field(static=True)

    def __check_init__(self):
        """Refuse no factors, and limits that do not go up."""
        _check_size(self.size)
        _check_factors(self.by)

    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Give each stratum a sequence of blocks of its own, and each patient the next place in it."""
        strata = 1
        stratum = jnp.zeros(n, int)
        for name, limits in self.by.items():
            stratum = stratum * (len(limits) + 1) + _level(seen, name, limits, n)
            strata *= len(limits) + 1
        member = stratum[:, None] == jnp.arange(strata)[None]
        place = (jnp.cumsum(member, 0) * member).sum(1) - 1
        keys = jax.vmap(lambda s: jax.random.fold_in(key, s))(jnp.arange(strata))
        sequences = jax.vmap(lambda k: _blocks(k, weights, self.size, n))(keys)
        return sequences[stratum, place]

    def covariates(self) -> tuple[str, ...]:
        """Return the factors."""
        return tuple(self.by)

    def describe(self) -> str:
        """Say it."""
        return f"randomised in permuted blocks of {self.size}, stratified by {', '.join(self.by)}"


class Minimisation(AbstractRandomisation):
    """Each patient to the arm that leaves the factors most even, with a probability; else by lot.

    Source: Pocock and Simon 1975, doi:10.2307/2529712, imbalance by range, factors of equal weight.

    Args:
        by: covariate -> limits between its levels, ascending and in the dataset's unit.
        probability: of following the rule.
    """

    by: Mapping[str, tuple[float, ...]] = eqx.field(static=True, converter=_factors)
    probability: float = eqx.field(static=True, default=0.8)

    def __check_init__(self):
        """Refuse no factors and what is no probability."""
        _check_factors(self.by)
        if not 0 < self.probability <= 1:
            raise UserError(f"randomisation.probability is above 0 and at most 1, not {self.probability}.")

    def assign(self, key: Key[Array, ""], weights: Float[Array, " arm"], seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Go through the patients in order, counting every level of every factor in every arm."""
        arms = len(weights)
        share = weights / weights.sum()
        before = _levels_of(seen, self.by)
        counts = [
            ((before[name][:, None, None] == jnp.arange(len(limits) + 1)[None, :, None]) & _given(seen, arms)).sum(0)
            for name, limits in self.by.items()
        ]
        new = [_level(seen, name, limits, n) for name, limits in self.by.items()]

        def one(counts, patient):
            key, levels = patient
            imbalance = sum(
                _imbalance(count[level], share) for count, level in zip(counts, levels, strict=True)
            ) + jnp.where(share > 0, 0.0, jnp.inf)
            lot, follow = jax.random.split(key)
            best = jnp.where(imbalance == jnp.min(imbalance), jnp.log(share), -jnp.inf)
            free = jnp.log(share)
            ruled = jax.random.uniform(follow) < self.probability
            arm = jax.random.categorical(lot, jnp.where(ruled, best, free))
            return [c.at[level, arm].add(1) for c, level in zip(counts, levels, strict=True)], arm

        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        return jax.lax.scan(one, counts, (keys, new))[1]

    def covariates(self) -> tuple[str, ...]:
        """Return the factors."""
        return tuple(self.by)

    def describe(self) -> str:
        """Say it."""
        return f"minimised over {', '.join(self.by)} with probability {self.probability:g}"


def _imbalance(count: Int[Array, " arm"], share: Float[Array, " arm"]) -> Float[Array, " arm"]:
    """Return the range over arms of patients per share, for each arm the next patient might get."""
    after = (count[None, :] + jnp.eye(len(share))) / jnp.where(share > 0, share, jnp.inf)[None, :]
    used = (share > 0)[None, :]
    return jnp.where(used, after, -jnp.inf).max(1) - jnp.where(used, after, jnp.inf).min(1)


def _shuffled(key: Key[Array, ""], n: int) -> Int[Array, " {n}"]:
    """Return the numbers below n in random order: sorted by random bits, each number in the lowest bits of its own key.

    One integer a number sorts faster than two; of single precision too few bits are left to be random.
    """
    bits, place = jax.random.bits(key, (n,)), max(n - 1, 1).bit_length()
    if bits.dtype != jnp.uint64:
        return jnp.argsort(bits)
    packed = (bits >> 1).astype(int) >> place << place | jnp.arange(n)
    return in_order(packed) & ((1 << place) - 1)


def _filled(weights: Float[Array, " arm"], n: int) -> Int[Array, " {n}"]:
    """Return arms in order, each as often among n as its weight says, to the nearest."""
    edges = jnp.cumsum(weights) / weights.sum()
    return jnp.minimum(jnp.searchsorted(edges, (jnp.arange(n) + 0.5) / n), len(weights) - 1)


def _blocks(key: Key[Array, ""], weights: Float[Array, " arm"], size: int, n: int) -> Int[Array, " {n}"]:
    blocks = -(-n // size)
    order = jnp.argsort(jax.random.bits(key, (blocks, size)), axis=1)
    return _filled(weights, size)[order].reshape(-1)[:n]


def _level(seen: Seen, name: str, limits: tuple[float, ...], n: int) -> Int[Array, " {n}"]:
    """Return the level of a factor of the patients to come."""
    value = jax.lax.dynamic_slice(seen.covariates[name], (seen.next,), (n,))
    return jnp.searchsorted(jnp.asarray(limits), value, side="right")


def _levels_of(seen: Seen, by: Mapping[str, tuple[float, ...]]) -> dict[str, Int[Array, " patient"]]:
    """Return the levels of every factor of every patient."""
    return {n: jnp.searchsorted(jnp.asarray(limits), seen.covariates[n], side="right") for n, limits in by.items()}


def _given(seen: Seen, arms: int) -> Bool[Array, "patient 1 arm"]:
    """Return which patient has been given which arm."""
    return (seen.arm[:, None] == jnp.arange(arms)[None])[:, None, :]


def _check_size(size: int) -> None:
    if size < 2:
        raise UserError(f"randomisation.size is {size}; a block has at least 2 patients.")


def _check_factors(by: Mapping[str, tuple[float, ...]]) -> None:
    if not by:
        raise UserError("randomisation.by is empty; name a covariate and its limits, for example {WT: [70.0]}.")
    for name, limits in by.items():
        if not limits or any(b <= a for a, b in pairwise(limits)):
            raise UserError(f"randomisation.by.{name} has limits {list(limits)}; give one or more, going up.")
