"""Chains that have settled, but apart: a posterior with several modes, or one that was not explored."""

import numpy as np
from jaxtyping import Float

from vtrial.diagnose.columns import Columns, is_constant

_GAP = 3.0
"""Distance of two groups of chains, in standard deviations within a chain, from which they do not overlap."""
_DRIFT = 1.0
"""Greatest distance of a chain's two halves, in the same unit, for it to have settled."""


def chains_apart(columns: Columns) -> dict[str, str]:
    """Return, for each parameter whose chains settled in two places that do not overlap, which chains are where.

    Poor mixing looks otherwise: there, a chain's own halves differ.
    """
    found = {}
    for name, column in columns.items():
        if len(column) > 1 and not is_constant(column) and (groups := _groups(column)):
            below, above = ([int(c) for c in g] for g in groups)
            low, high = (float(np.median(column[g])) for g in groups)
            found[name] = f"{_chains(below)} around {low:.3g}, {_chains(above)} around {high:.3g}"
    return found


def _groups(column: Float[np.ndarray, "chain draw"]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the chains below and above the widest gap, or None if it is not wide or some chain has not settled."""
    half, spread = column.shape[1] // 2, column.std(1)
    drift = np.abs(column[:, :half].mean(1) - column[:, half:].mean(1))
    if (spread == 0).any() or (drift > _DRIFT * spread).any():
        return None
    order = np.argsort(column.mean(1))
    centres = column.mean(1)[order]
    at = int(np.argmax(np.diff(centres)))
    wide = np.diff(centres)[at] > _GAP * np.hypot(spread[order][at], spread[order][at + 1])
    return (np.sort(order[: at + 1]), np.sort(order[at + 1 :])) if wide else None


def _chains(numbers: list[int]) -> str:
    return f"chain{'s' if len(numbers) > 1 else ''} {', '.join(str(n) for n in numbers)}"
