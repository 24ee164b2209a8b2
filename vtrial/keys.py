"""Random keys that depend on names and ids, so that numbers do not depend on the order or number of anything else."""

import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key


def named(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Fold a name into a key by a hash that is the same in every process, version and machine."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def each_named(key: Key[Array, ""], names: Sequence[str]) -> Key[Array, " name"]:
    """Return the key of each of several names, as `named` does one after the other."""
    codes = np.array([zlib.crc32(name.encode()) for name in names], np.uint32)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, codes)


def numbered(key: Key[Array, ""], count: int, start: int = 0) -> Key[Array, " {count}"]:
    """Return the keys of items `start ... start + count - 1`: item i has the same key whatever the block it is in."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(start, start + count))
