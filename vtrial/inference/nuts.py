"""The no-U-turn sampler, started where the priors say."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, Key
from numpyro.infer import NUTS
from tqdm import tqdm

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference import groups
from vtrial.inference.base import AbstractInference
from vtrial.inference.density import UnconstrainedDensity
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_FIELDS = ("diverging", "energy", "num_steps", "accept_prob", "potential_energy")
_CHUNK = 25
"""Iterations between two looks at the progress bar."""
_BATCH = 250
"""Draws mapped back to named parameters at once."""


class Nuts(AbstractInference):
    """NumPyro's NUTS with a diagonal mass matrix, chains side by side in one program.

    Source: Hoffman and Gelman 2014, arXiv:1111.4246; Phan, Pradhan and Jankowiak 2019, arXiv:1912.11554.
    """

    chains: int = eqx.field(static=True, default=4)
    """How many chains."""
    warmup: int = eqx.field(static=True, default=1000)
    """Warm-up iterations of each chain; dropped."""
    draws: int = eqx.field(static=True, default=1000)
    """Draws kept of each chain."""
    target_accept: float = eqx.field(static=True, default=0.95)
    """Acceptance probability the step size is tuned to; nearer to 1 is slower and avoids divergences."""
    max_tree_depth: int = eqx.field(static=True, default=10)
    """At most 2^depth leapfrog steps an iteration."""
    jitter: float = eqx.field(static=True, default=0.1)
    """SD of the starting points around the prior medians, on the unconstrained scale."""

    def __check_init__(self):
        """Refuse a sampler that cannot judge its own convergence."""
        if self.chains < 2 or self.warmup < 1 or self.draws < 4:
            raise UserError(
                f"NUTS needs chains >= 2 (to compare them), warmup >= 1 and draws >= 4; got {self.chains}, "
                f"{self.warmup}, {self.draws}."
            )
        if not 0 < self.target_accept < 1:
            raise UserError(f"inference.target_accept is a probability between 0 and 1, not {self.target_accept}.")

    def __call__(self, key: Key[Array, ""], statistical: StatisticalModel, data: Dataset) -> Mapping[str, xr.Dataset]:
        """Sample all chains, chunk by chunk."""
        density = UnconstrainedDensity(statistical.joint(data))
        potential = jax.jit(density.potential)
        medians = statistical.starts()
        starts = jax.vmap(lambda k: density.near(k, medians, self.jitter))(
            keys.numbered(keys.named(key, "start"), self.chains)
        )
        self._check_start(jax.vmap(potential)(starts), statistical, data)
        kernel = NUTS(potential_fn=potential, target_accept_prob=self.target_accept, max_tree_depth=self.max_tree_depth)
        state = kernel.init(
            keys.numbered(keys.named(key, "chains"), self.chains), self.warmup, starts, model_args=(), model_kwargs={}
        )
        points, fields = self._walk(kernel, state)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), points)
        constrained = jax.jit(lambda x: jax.lax.map(density.constrain, x, batch_size=_BATCH))(flat)
        samples = {n: np.asarray(v).reshape(self.chains, self.draws, *v.shape[1:]) for n, v in constrained.items()}
        stats = groups.sample_stats(fields)
        stats.attrs |= {"max_tree_depth": self.max_tree_depth, "target_accept": self.target_accept}
        return {schema.POSTERIOR: groups.posterior(samples, statistical, data), schema.SAMPLE_STATS: stats}

    def _walk(self, kernel: NUTS, state: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run warm-up and sampling; return the points and statistics of the draws [chain draw ...]."""
        advance, kept, diverged = _chunk(kernel), [], 0
        total = self.warmup + self.draws
        with tqdm(total=total, desc="warm-up", unit="it", disable=not sys.stderr.isatty(), leave=False) as bar:
            done = 0
            while done < total:
                # A chunk never straddles the end of the warm-up; its length is data, so there is one compilation.
                left = (self.warmup if done < self.warmup else total) - done
                length = min(_CHUNK, left)
                state, found = advance(state, length)
                if done >= self.warmup:
                    kept.append(jax.tree.map(lambda x, n=length: np.asarray(x)[:n], found))
                    diverged += int(kept[-1][1]["diverging"].sum())
                    bar.set_description(f"sampling, {diverged} divergent")
                done += length
                bar.update(length)
                if bar.disable and (4 * done) // total > (4 * (done - length)) // total:
                    log.info(
                        "           %s: %d of %d iterations, %d divergent so far",
                        self._phase(done),
                        done,
                        total,
                        diverged,
                    )
        joined = jax.tree.map(lambda *parts: np.swapaxes(np.concatenate(parts), 0, 1), *kept)
        return joined

    def _phase(self, done: int) -> str:
        return "warm-up" if done <= self.warmup else "sampling"

    def _check_start(self, potential: Array, statistical: StatisticalModel, data: Dataset) -> None:
        """Refuse to sample from where there is no density, and say whose solve fails there."""
        if bool(jnp.all(jnp.isfinite(potential))):
            return
        typical = {n: jnp.asarray(v) for n, v in statistical.population.typical().items()}
        _, code = statistical.predict(statistical.typical_subjects(typical, data), data)
        failed = [
            f"ID {data.subjects[i]} ({schema.RESULT_CODES[int(code[i])]})" for i in np.flatnonzero(np.asarray(code))
        ]
        why = f"the solve fails for {', '.join(failed[:5])}" if failed else "the data have no finite likelihood there"
        raise UserError(
            f"No chain can start: at the prior medians {why}. Compare priors, units and doses with the data."
        )

    def count(self) -> int | None:
        """Return chains times draws."""
        return self.chains * self.draws

    def inputs(self) -> dict[str, str]:
        """Return none."""
        return {}

    def describe(self) -> str:
        """Say how many chains and draws."""
        return (
            f"NUTS, {self.chains} chains x ({self.warmup} warm-up + {self.draws} draws), target acceptance "
            f"{self.target_accept:g}"
        )


def _chunk(kernel: NUTS) -> Callable[[Any, int], tuple[Any, tuple[dict[str, Array], dict[str, Array]]]]:
    """Return the compiled function that advances all chains by at most `_CHUNK` iterations and keeps every state."""

    def keep(state: Any) -> tuple[dict[str, Array], dict[str, Array]]:
        return state.z, {field: getattr(state, field) for field in _FIELDS}

    @jax.jit
    def advance(state: Any, length: int | Int[Array, ""]):
        room = jax.tree.map(lambda x: jnp.zeros((_CHUNK, *x.shape), x.dtype), keep(state))

        def body(i, carry):
            state, kept = carry
            state = kernel.sample(state, (), {})
            return state, jax.tree.map(lambda all_, one: all_.at[i].set(one), kept, keep(state))

        return jax.lax.fori_loop(0, length, body, (state, room))

    return advance
