"""Calls of a compiled function on a few rows at a time, so that memory holds no more, and all share one compilation."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Int


def in_calls(count: int, size: int, call: Callable[[Int[np.ndarray, " row"]], Any]) -> Any:
    """Return what a function gives of each of `count` rows, as arrays on the host with rows as first axis.

    Args:
        count: of rows.
        size: rows in a call; the last call is filled up with the last row.
        call: takes numbers of rows to arrays, or any tree of them, with these rows as first axis.
    """
    parts = []
    for first in range(0, count, size):
        found, kept = call(np.minimum(np.arange(first, first + size), count - 1)), min(size, count - first)
        parts.append(jax.tree.map(lambda x, n=kept: np.asarray(x)[:n], found))
    return jax.tree.map(lambda *p: np.concatenate(p), *parts)
