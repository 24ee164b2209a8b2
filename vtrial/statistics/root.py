"""Roots of monotone functions, found outside traced code."""

from collections.abc import Callable

from scipy.optimize import root_scalar


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function changes its sign between two values, to rounding.

    Brent's method; raises ValueError if the sign is the same at both.
    """
    return float(root_scalar(function, bracket=(low, high), method="brentq", xtol=1e-15).root)
