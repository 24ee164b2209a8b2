"""Circular and hyperbolic functions, the error function and its inverse, in lanes."""

import math

import numpy as np

from vtrial.solve.lanes.ir import Builder, Value
from vtrial.solve.lanes.maths import absolute, clip, exp, expm1, log, log1p, round_magic

_SIN = (
    *(-0.16666666666666663, 0.00833333333333029, -0.0001984126983578818, 2.7557315611669283e-06),
    *(-2.5051032052364444e-08, 1.5911114983475975e-10),
)
"""(sin r - r) / r^3 by r^2, where |r| <= pi / 4."""
_COS = (
    *(0.041666666666666664, -0.0013888888888886986, 2.480158729815862e-05, -2.755731696463517e-07),
    *(2.087608383796075e-09, -1.137824422983457e-11),
)
"""(cos r - 1 + r^2 / 2) / r^4 by r^2."""
_ATAN = (
    *(-0.3333333333333333, 0.19999999999995416, -0.14285714284644896, 0.11111111013517383, -0.0909090450755384),
    *(0.07692181553432291, -0.06664488411798739, 0.05857949051651406, -0.050844051701967326, 0.03920151873355892),
    -0.019140021905694565,
)
"""(atan t - t) / t^3 by t^2, where |t| <= tan(pi / 8)."""
_ERF = (
    *(1.1283791670955126, -0.37612638903183543, 0.11283791670945006, -0.02686617064323777, 0.0052239776071164225),
    *(-0.0008548325975389692, 0.00012055294904839707, -1.492473690741966e-05, 1.6447424703317362e-06),
    *(-1.6208483801871705e-07, 1.3720064546777686e-08, -7.795898827002142e-10),
)
"""erf(x) / x by x^2, where |x| <= 1."""
_ERFC = (
    *(1.2375126308378277, -0.14024059858554752, 0.003585415485458825, 0.08227673849022304, -0.1088039301413952),
    *(0.09230432115704121, -0.058693398597868665, 0.02836227748524662, -0.009746579469498947, 0.00175562512832101),
    *(0.00029371322784394903, -0.0002901493763164839, 5.1649508845763085e-05, 2.2365660576409338e-05),
    *(-1.1438529635652203e-05, -9.299517028242601e-07, 1.7246561827057517e-06, -1.1241060326033754e-07),
    *(-2.0780106274752133e-07, 5.02758885926672e-08),
)
"""(1 + 2 x) exp(x^2) erfc(x) by (x - 3.75) / (x + 3.75), where 0.9 <= x <= 28."""
_CENTRE = 3.75
_WINITZKI = 0.147
"""With it (Winitzki 2008) the start of the inverse error function is within a part of 0.002."""
_HALF_PI = {
    "double": (math.pi / 2, 6.123233995736766e-17, -1.4973849048591833e-33),
    "float": (float(np.float32(math.pi / 2)), -4.371139000186241e-08, -1.7151245100058819e-15),
}
"""pi / 2 in three parts."""
_CIRCLE_LIMIT = {"double": 2.0**49, "float": 2.0**20}


def _quadrant(b: Builder, x: Value) -> tuple[Value, Value]:
    """Return r in [-pi / 4, pi / 4] and the number of quarter turns taken off, in an integer's low bits."""
    n, turns = round_magic(b, x, 2 / math.pi)
    r, n = x, b.neg(n)
    for part in _HALF_PI[x.type]:
        r = b.call("fma", n, b.constant(part, x.type), r)
    within = b.compare("olt", absolute(b, x), b.constant(_CIRCLE_LIMIT[x.type], x.type))
    return b.select(within, r, b.constant(math.nan, x.type)), turns


def _bit(b: Builder, number: Value, mask: int) -> Value:
    return b.compare("ne", b.both(number, b.constant(mask, number.type)), b.constant(0, number.type))


def _wave(b: Builder, r: Value, turns: Value) -> Value:
    """Return the sine of r plus a number of quarter turns."""
    z = b.mul(r, r)
    sine = b.muladd(b.mul(r, z), b.polynomial(_SIN, z), r)
    near = b.muladd(z, b.constant(-0.5, r.type), b.constant(1.0, r.type))
    cosine = b.muladd(b.mul(z, z), b.polynomial(_COS, z), near)
    value = b.select(_bit(b, turns, 1), cosine, sine)
    return b.select(_bit(b, turns, 2), b.neg(value), value)


def sin(b: Builder, x: Value) -> Value:
    """Return the sine; NaN beyond 2^49, where the argument's own rounding is a sizable part of a turn."""
    return _wave(b, *_quadrant(b, x))


def cos(b: Builder, x: Value) -> Value:
    """Return the cosine; NaN beyond 2^49."""
    r, turns = _quadrant(b, x)
    return _wave(b, r, b.add(turns, b.constant(1, turns.type)))


def tan(b: Builder, x: Value) -> Value:
    """Return the tangent; NaN beyond 2^49."""
    return b.div(sin(b, x), cos(b, x))


def tanh(b: Builder, x: Value) -> Value:
    """Return the hyperbolic tangent."""
    lost = expm1(b, b.mul(absolute(b, x), b.constant(-2.0, x.type)))
    return b.call("copysign", b.div(b.neg(lost), b.add(lost, b.constant(2.0, x.type))), x)


def sinh(b: Builder, x: Value) -> Value:
    """Return the hyperbolic sine."""
    one, half, magnitude = b.constant(1.0, x.type), b.constant(0.5, x.type), absolute(b, x)
    gain = expm1(b, magnitude)
    near = b.mul(half, b.add(gain, b.div(gain, b.add(gain, one))))
    root = exp(b, b.mul(half, magnitude))  # squared at the end: e^|x| itself would overflow too soon
    far = b.mul(b.mul(half, root), root)
    return b.call("copysign", b.select(b.compare("olt", magnitude, b.constant(22.0, x.type)), near, far), x)


def cosh(b: Builder, x: Value) -> Value:
    """Return the hyperbolic cosine."""
    half = b.constant(0.5, x.type)
    root = exp(b, b.mul(half, absolute(b, x)))
    grown = b.mul(b.mul(half, root), root)
    return b.add(grown, b.div(b.constant(0.25, x.type), grown))


def asinh(b: Builder, x: Value) -> Value:
    """Return the inverse hyperbolic sine."""
    one, magnitude = b.constant(1.0, x.type), absolute(b, x)
    square = b.mul(magnitude, magnitude)
    root = b.call("sqrt", b.add(square, one))
    near = log1p(b, b.add(magnitude, b.div(square, b.add(one, root))))
    far = b.add(log(b, magnitude), b.constant(math.log(2), x.type))
    large = b.compare("ogt", magnitude, b.constant(1e8, x.type))
    return b.call("copysign", b.select(large, far, near), x)


def acosh(b: Builder, x: Value) -> Value:
    """Return the inverse hyperbolic cosine."""
    excess = b.sub(x, b.constant(1.0, x.type))
    root = b.mul(b.call("sqrt", excess), b.call("sqrt", b.add(x, b.constant(1.0, x.type))))
    far = b.add(log(b, x), b.constant(math.log(2), x.type))
    large = b.compare("ogt", x, b.constant(1e8, x.type))
    return b.select(large, far, log1p(b, b.add(excess, root)))


def atanh(b: Builder, x: Value) -> Value:
    """Return the inverse hyperbolic tangent."""
    magnitude = absolute(b, x)
    ratio = b.div(b.add(magnitude, magnitude), b.sub(b.constant(1.0, x.type), magnitude))
    return b.call("copysign", b.mul(b.constant(0.5, x.type), log1p(b, ratio)), x)


def _arc(b: Builder, top: Value, bottom: Value) -> Value:
    """Return atan(top / bottom) of nonnegative numbers, not both zero nor both infinite."""
    type = top.type
    low, high = (b.mul(b.constant(math.tan(angle * math.pi / 8), type), bottom) for angle in (1, 3))
    steep, middle = b.compare("ogt", top, high), b.compare("ogt", top, low)
    upper = b.select(steep, b.neg(bottom), b.select(middle, b.sub(top, bottom), top))
    lower = b.select(steep, top, b.select(middle, b.add(top, bottom), bottom))
    t = b.div(upper, lower)
    z = b.mul(t, t)
    angle = b.muladd(b.mul(t, z), b.polynomial(_ATAN, z), t)
    start = b.select(middle, b.constant(math.pi / 4, type), b.constant(0.0, type))
    return b.add(b.select(steep, b.constant(math.pi / 2, type), start), angle)


def atan(b: Builder, x: Value) -> Value:
    """Return the angle in [-pi / 2, pi / 2] whose tangent is x."""
    return b.call("copysign", _arc(b, absolute(b, x), b.constant(1.0, x.type)), x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y)."""
    top, bottom, one = absolute(b, y), absolute(b, x), b.constant(1.0, x.type)
    equal = b.compare("oeq", top, bottom)  # both zero or both infinite among them
    origin = b.compare("oeq", top, b.constant(0.0, x.type))
    diagonal = b.select(origin, top, one)
    angle = _arc(b, b.select(equal, diagonal, top), b.select(equal, one, bottom))
    left = b.compare("oeq", b.call("copysign", one, x), b.constant(-1.0, x.type))
    angle = b.select(left, b.sub(b.constant(math.pi, x.type), angle), angle)
    return b.call("copysign", angle, y)


def _other_leg(b: Builder, x: Value) -> Value:
    one = b.constant(1.0, x.type)
    return b.call("sqrt", b.mul(b.sub(one, x), b.add(one, x)))


def asin(b: Builder, x: Value) -> Value:
    """Return the angle in [-pi / 2, pi / 2] whose sine is x."""
    return atan2(b, x, _other_leg(b, x))


def acos(b: Builder, x: Value) -> Value:
    """Return the angle in [0, pi] whose cosine is x."""
    return atan2(b, _other_leg(b, x), x)


def _erf_near(b: Builder, x: Value) -> Value:
    return b.mul(x, b.polynomial(_ERF, b.mul(x, x)))


def exp_neg_sq(b: Builder, x: Value) -> Value:
    """Return exp(-x^2), the rounding of x^2 included."""
    x = clip(b, absolute(b, x), 0.0, 28.0)
    square = b.binary("fmul", x, x)
    return exp(b, b.neg(square), b.neg(b.call("fma", x, x, b.neg(square))))


def _erfc_far(b: Builder, x: Value) -> Value:
    x = clip(b, x, 0.0, 28.0)
    centre = b.constant(_CENTRE, x.type)
    shape = b.polynomial(_ERFC, b.div(b.sub(x, centre), b.add(x, centre)))
    scale = b.muladd(b.constant(2.0, x.type), x, b.constant(1.0, x.type))
    return b.mul(exp_neg_sq(b, x), b.div(shape, scale))


def erf(b: Builder, x: Value) -> Value:
    """Return the error function."""
    one, magnitude = b.constant(1.0, x.type), absolute(b, x)
    far = b.call("copysign", b.sub(one, _erfc_far(b, magnitude)), x)
    return b.select(b.compare("olt", magnitude, one), _erf_near(b, x), far)


def erfc(b: Builder, x: Value) -> Value:
    """Return the complement of the error function."""
    one, magnitude = b.constant(1.0, x.type), absolute(b, x)
    tail = _erfc_far(b, magnitude)
    positive = b.compare("ogt", x, b.constant(0.0, x.type))
    far = b.select(positive, tail, b.sub(b.constant(2.0, x.type), tail))
    return b.select(b.compare("olt", magnitude, one), b.sub(one, _erf_near(b, x)), far)


def _erf_inv_start(b: Builder, x: Value) -> Value:
    """Return y >= 0 with erf(y) near x >= 0: the root of y^4 + 2 c y^2 + log(1 - x^2) / a, exp(-y^2 ...) inverted."""
    logarithm = log1p(b, b.neg(b.mul(x, x)))
    half = b.muladd(b.constant(0.5, x.type), logarithm, b.constant(2 / (math.pi * _WINITZKI), x.type))
    rest = b.mul(logarithm, b.constant(-1 / _WINITZKI, x.type))
    root = b.call("sqrt", b.muladd(half, half, rest))
    positive = b.compare("ogt", half, b.constant(0.0, x.type))
    return b.call("sqrt", b.select(positive, b.div(rest, b.add(root, half)), b.sub(root, half)))


def erf_inv(b: Builder, x: Value) -> Value:
    """Return the inverse of the error function: two of Halley's steps, with erfc where erf has lost the digits."""
    one, magnitude = b.constant(1.0, x.type), absolute(b, x)
    near = b.compare("olt", magnitude, b.constant(0.5, x.type))
    y = _erf_inv_start(b, magnitude)
    for _ in range(2):
        low = b.sub(erf(b, y), magnitude)
        high = b.sub(b.sub(one, magnitude), erfc(b, y))
        steep = b.mul(b.constant(math.sqrt(math.pi) / 2, x.type), exp(b, b.mul(y, y)))
        off = b.mul(b.select(near, low, high), steep)
        y = b.sub(y, b.div(off, b.muladd(off, y, one)))
    y = b.select(b.compare("oeq", magnitude, one), b.constant(math.inf, x.type), y)
    return b.call("copysign", y, x)
