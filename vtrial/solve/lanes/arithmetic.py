"""Sums and products of scalars while a program is traced.

A program has tens of thousands of them, and tracing `a * b` takes four times as long as binding the primitive: JAX's
operators are those of arrays, which promote, broadcast and are compiled functions of their own.
"""

import operator
from collections.abc import Callable
from typing import Any

from jax import lax
from jax.core import Tracer


def _binary(primitive: Callable, plain: Callable) -> Callable[[Any, Any], Any]:
    def apply(a: Any, b: Any) -> Any:
        if isinstance(a, Tracer) and isinstance(b, Tracer):
            alike = a.aval.shape == b.aval.shape and a.aval.dtype == b.aval.dtype
        else:
            alike = isinstance(a, Tracer | float) and isinstance(b, Tracer | float) and type(a) is not type(b)
        return primitive(a, b) if alike else plain(a, b)

    return apply


plus = _binary(lax.add, operator.add)
"""Return a + b."""
minus = _binary(lax.sub, operator.sub)
"""Return a - b."""
times = _binary(lax.mul, operator.mul)
"""Return a b."""


def negative(a: Any) -> Any:
    """Return -a."""
    return lax.neg(a) if isinstance(a, Tracer) else -a
