"""Numbers for people: never more digits than are known."""

import math


def decimals(error: float) -> int:
    """Return how many decimals an error of this size allows: its first significant digit is the last one shown."""
    if not math.isfinite(error) or error <= 0:
        return 3
    return max(0, -math.floor(math.log10(error)))


def with_error(value: float, error: float, unit: str = "") -> str:
    """Write a number and its Monte-Carlo error, with the digits that error allows."""
    if not math.isfinite(value):
        return "not known"
    if error == 0:  # the same in every replicate
        return f"{value:g} {unit}".rstrip()
    places = decimals(error)
    rounded = round(value, places) + 0.0  # without the sign of a rounded zero
    return f"{rounded:.{places}f} ± {error:.{places}f} {unit}".rstrip()


def percent(value: float, error: float) -> str:
    """Write a probability and its Monte-Carlo error in percent."""
    return with_error(100 * value, 100 * error, "%")


def probability(value: float) -> str:
    """Write a p-value."""
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, without an exponent where that is readable."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 7:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - size)
    return f"{round(value, digits - 1 - size):.{places}f}"


def known(value: float, error: float, digits: int = 4) -> str:
    """Write a number with the digits its Monte-Carlo error allows, and at most so many; the first is always shown.

    An error that is not a number is that of a number known exactly.
    """
    if not math.isfinite(value) or value == 0:
        return significant(value)
    size = math.floor(math.log10(abs(value)))
    allowed = digits
    if math.isfinite(error) and error > 0:
        allowed = min(digits, max(1, size - math.floor(math.log10(error)) + 1))
    return significant(value, allowed)


def interval(low: float, high: float, digits: int = 3) -> str:
    """Write two limits."""
    return f"{significant(low, digits)} to {significant(high, digits)}"
