"""The order in which a program computes: what belongs together comes together, so that registers suffice."""

from typing import Any

import jax
from jax.extend import core


def scheduled(closed: core.ClosedJaxpr, results: Any) -> core.ClosedJaxpr:
    """Return a jaxpr whose equations come just before what needs them, and nothing that no result needs.

    `results` is the pytree that the jaxpr returns. Results under one whole number of a dict (a direction of
    derivatives) come one after the other, whatever stands between them in the tree; those under none come first.
    """
    jaxpr = closed.jaxpr
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(results)[0]]
    roots = [variable for _, variable in sorted(zip(map(_part, paths), jaxpr.outvars, strict=True), key=lambda x: x[0])]
    order = _depth_first(jaxpr.eqns, roots)
    return core.ClosedJaxpr(jaxpr.replace(eqns=[jaxpr.eqns[i] for i in order]), closed.consts)


def _part(path: tuple) -> int:
    key = getattr(path[-1], "key", None) if path else None
    return key if isinstance(key, int) else -1


def _depth_first(equations: list[Any], roots: list[Any]) -> list[int]:
    """Return the equations that roots need, each after what it needs itself."""
    maker = {v: i for i, equation in enumerate(equations) for v in equation.outvars}
    needs = [[maker[v] for v in e.invars if not isinstance(v, core.Literal) and v in maker] for e in equations]
    order: list[int] = []
    known: set[int] = set()
    for root in roots:
        stack = [] if isinstance(root, core.Literal) or root not in maker else [maker[root]]
        while stack:
            here = stack[-1]
            missing = next((i for i in needs[here] if i not in known), None)
            if here not in known and missing is not None:
                stack.append(missing)
                continue
            stack.pop()
            if here not in known:
                known.add(here)
                order.append(here)
    return order
