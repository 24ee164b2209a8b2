"""Random keys that depend on names and ids, so that numbers do not depend on the order or number of anything else."""

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def named(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Fold a name into a key by a hash that is the same in every process, version and machine."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def numbered(key: Key[Array, ""], count: int, start: int = 0) -> Key[Array, " {count}"]:
    """Return the keys of items `start ... start + count - 1`: item i has the same key whatever the block it is in."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(start, start + count))
