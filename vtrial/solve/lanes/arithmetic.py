"""Sums and products of scalars while a program is traced.

A program has tens of thousands of them, and tracing `a * b` takes four times as long as binding the primitive: JAX's
operators are those of arrays, which promote, broadcast and are compiled functions of their own.
"""

from typing import Any

from jax import lax
from jax.core import Tracer


def plus(a: Any, b: Any) -> Any:
    """Return a + b."""
    return lax.add(a, b) if _alike(a, b) else a + b


def minus(a: Any, b: Any) -> Any:
    """Return a - b."""
    return lax.sub(a, b) if _alike(a, b) else a - b


def times(a: Any, b: Any) -> Any:
    """Return a b."""
    return lax.mul(a, b) if _alike(a, b) else a * b


def negative(a: Any) -> Any:
    """Return -a."""
    return lax.neg(a) if isinstance(a, Tracer) else -a


def _alike(a: Any, b: Any) -> bool:
    """Return whether a primitive takes both as they are: traced numbers of one type, or one and a literal."""
    if isinstance(a, Tracer) and isinstance(b, Tracer):
        return a.shape == b.shape and a.dtype == b.dtype
    return (isinstance(a, Tracer) and isinstance(b, float)) or (isinstance(a, float) and isinstance(b, Tracer))
