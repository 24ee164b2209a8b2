"""The logarithm of the gamma function and its derivative, in lanes: Stirling's series after steps up to 8."""

import math

from vtrial.solve.lanes.ir import Builder, Value
from vtrial.solve.lanes.maths import absolute, log
from vtrial.solve.lanes.special import cos, sin

_START = 8
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_LOG_GAMMA = tuple(number / (2 * k * (2 * k - 1)) for k, number in enumerate(_BERNOULLI, 1))
_DIGAMMA = tuple(number / (2 * k) for k, number in enumerate(_BERNOULLI, 1))


def _raised(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Return x + k >= 8, the product x (x + 1) ... (x + k - 1) and that product's derivative."""
    one, zero, start = (b.constant(number, x.type) for number in (1.0, 0.0, float(_START)))
    product, slope = one, zero
    for _ in range(_START):
        low = b.compare("olt", x, start)
        slope = b.select(low, b.muladd(slope, x, product), slope)
        product = b.select(low, b.mul(product, x), product)
        x = b.select(low, b.add(x, one), x)
    return x, product, slope


def _reflected(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Return whether x is below 1 / 2, the larger of x and 1 - x, and pi times x's distance from a whole number."""
    below = b.compare("olt", x, b.constant(0.5, x.type))
    fraction = b.sub(x, b.call("roundeven", x))
    larger = b.select(below, b.sub(b.constant(1.0, x.type), x), x)
    return below, larger, b.mul(b.constant(math.pi, x.type), fraction)


def lgamma(b: Builder, x: Value) -> Value:
    """Return log |gamma(x)|, within 1e-14 of the larger of 1 and the result."""
    below, larger, angle = _reflected(b, x)
    w, product, _ = _raised(b, larger)
    inverse = b.div(b.constant(1.0, x.type), w)
    series = b.mul(inverse, b.polynomial(_LOG_GAMMA, b.mul(inverse, inverse)))
    rest = b.sub(b.constant(0.5 * math.log(2 * math.pi) - 0.5, x.type), log(b, product))
    half, one = b.constant(0.5, x.type), b.constant(1.0, x.type)
    value = b.add(b.mul(b.sub(w, half), b.sub(log(b, w), one)), b.add(series, rest))
    mirror = b.sub(b.constant(math.log(math.pi), x.type), log(b, absolute(b, sin(b, angle))))
    value = b.select(below, b.sub(mirror, value), value)
    infinite = b.constant(math.inf, x.type)
    return b.select(b.compare("oeq", absolute(b, x), infinite), infinite, value)


def digamma(b: Builder, x: Value) -> Value:
    """Return the derivative of log gamma(x); NaN at negative whole numbers, as in JAX."""
    below, larger, angle = _reflected(b, x)
    w, product, slope = _raised(b, larger)
    inverse = b.div(b.constant(1.0, x.type), w)
    square = b.mul(inverse, inverse)
    series = b.muladd(square, b.polynomial(_DIGAMMA, square), b.mul(b.constant(0.5, x.type), inverse))
    value = b.sub(b.sub(log(b, w), series), b.div(slope, product))
    sine = sin(b, angle)
    zero = b.constant(0.0, x.type)
    limit = b.select(b.compare("oeq", x, zero), b.constant(-math.inf, x.type), b.constant(math.nan, x.type))
    mirror = b.div(b.mul(b.constant(math.pi, x.type), cos(b, angle)), sine)
    reflected = b.select(b.compare("oeq", sine, zero), limit, b.sub(value, mirror))
    return b.select(below, reflected, value)
