"""Exponential, logarithm, powers and the functions made of them, written out in lanes: no library is called.

Polynomials are Chebyshev fits made in 60 digits. Results are within about 2 ulp and take JAX's values at zeros,
infinities and NaN; numbers below the smallest normal one count as zero.
"""

import math

from vtrial.solve.lanes.ir import BITS, Builder, Value

_EXP = {
    "double": (
        *(0.5, 0.16666666666666669, 0.041666666666623824, 0.008333333333330039, 0.0013888888917367081),
        *(0.00019841269863171557, 2.4801521057868204e-05, 2.7557268276905696e-06, 2.7620201591031547e-07),
        2.5100472505694996e-08,
    ),
    "float": (0.5, 0.16666576666119928, 0.04166655421298415, 0.008363232883682618, 0.0013926250831497611),
}
"""(e^r - 1 - r) / r^2 where |r| <= ln 2 / 2."""
_LOG = {
    "double": (
        *(0.666666666666667, 0.3999999999989607, 0.28571428627528794, 0.22222210881932927, 0.1818290749767122),
        *(0.1533111258796017, 0.1462395660821188),
    ),
    "float": (0.666666665519636, 0.40000123906130036, 0.2855058663704105, 0.23336811005171268),
}
"""(log((1 + s) / (1 - s)) - 2 s) / s^3 by s^2, where |s| <= 0.172."""
_LN2 = {"double": (0.693147180558298714, 1.6465949582897082e-12), "float": (0.693115234375, 3.1946184945309415e-05)}
"""ln 2 in two parts; the first times an exponent is exact."""
_MANTISSA = {"double": 52, "float": 23}
_BIAS = {"double": 1023, "float": 127}
_MAGIC = {"double": 6755399441055744.0, "float": 12582912.0}
"""Adding it rounds to the nearest integer, which then stands in the low bits."""
_EXP_RANGE = {"double": (-708.4, 710.0), "float": (-87.4, 89.0)}
_TINY = {"double": 2.0**-1022, "float": 2.0**-126}
_ROOT_HALF = {"double": 0x3FE6A09E667F3BCD, "float": 0x3F3504F3}


def clip(b: Builder, x: Value, low: float, high: float) -> Value:
    """Return x within constant bounds; NaN stays."""
    bottom, top = b.constant(low, x.type), b.constant(high, x.type)
    x = b.select(b.compare("olt", x, bottom), bottom, x)
    return b.select(b.compare("ogt", x, top), top, x)


def absolute(b: Builder, x: Value) -> Value:
    """Return |x|."""
    return b.call("fabs", x)


def round_magic(b: Builder, x: Value, factor: float) -> tuple[Value, Value]:
    """Return the integer nearest to x times `factor`, as a float and in the low bits of an integer."""
    magic = b.constant(_MAGIC[x.type], x.type)
    shifted = b.muladd(x, b.constant(factor, x.type), magic)
    return b.binary("fsub", shifted, magic), b.bits(shifted)


def _reduced(b: Builder, x: Value) -> tuple[Value, Value]:
    """Return r = x - n ln 2 and 2^(n - 1); x is held where that is finite or flushes to zero."""
    high, low = _LN2[x.type]
    x = clip(b, x, *_EXP_RANGE[x.type])
    n, bits = round_magic(b, x, math.log2(math.e))
    r = b.muladd(n, b.constant(-low, x.type), b.muladd(n, b.constant(-high, x.type), x))
    exponent = b.shift("shl", b.add(bits, b.constant(_BIAS[x.type] - 1, bits.type)), _MANTISSA[x.type])
    return r, b.cast("bitcast", exponent, x.type)


def _exp_minus_1(b: Builder, r: Value) -> Value:
    return b.muladd(b.mul(r, r), b.polynomial(_EXP[r.type], r), r)


def exp(b: Builder, x: Value, low: Value | None = None) -> Value:
    """Return e^x, or e^(x + low) for a small `low`."""
    r, half = _reduced(b, x)
    r = r if low is None else b.add(r, low)
    p = b.add(b.constant(1.0, x.type), _exp_minus_1(b, r))
    return b.mul(b.add(p, p), half)


def expm1(b: Builder, x: Value) -> Value:
    """Return e^x - 1, accurate near zero."""
    r, half = _reduced(b, x)
    result = b.muladd(half, _exp_minus_1(b, r), b.sub(half, b.constant(0.5, x.type)))
    return b.add(result, result)


def _log_parts(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Return e, f and c with x = 2^e (1 + f) and log(1 + f) = f + c."""
    bits, places = b.bits(x), _MANTISSA[x.type]
    exponent = b.shift("ashr", b.sub(bits, b.constant(_ROOT_HALF[x.type], bits.type)), places)
    mantissa = b.cast("bitcast", b.sub(bits, b.shift("shl", exponent, places)), x.type)
    f = b.sub(mantissa, b.constant(1.0, x.type))
    s = b.div(f, b.add(f, b.constant(2.0, x.type)))
    z = b.mul(s, s)
    half_square = b.mul(b.mul(b.constant(0.5, x.type), f), f)
    rest = b.muladd(z, b.polynomial(_LOG[x.type], z), half_square)
    small = exponent if exponent.type == "i32" else b.cast("trunc", exponent, "i32")
    return b.cast("sitofp", small, x.type), f, b.sub(b.mul(s, rest), half_square)


def _log_limits(b: Builder, x: Value, result: Value) -> Value:
    """Return the logarithm where x is zero, negative, infinite or NaN, and `result` elsewhere."""
    infinite, zero = b.constant(math.inf, x.type), b.constant(0.0, x.type)
    odd = b.select(b.compare("oge", x, zero), b.constant(-math.inf, x.type), b.constant(math.nan, x.type))
    result = b.select(b.compare("oge", x, b.constant(_TINY[x.type], x.type)), result, odd)
    return b.select(b.compare("oeq", x, infinite), infinite, result)


def log(b: Builder, x: Value) -> Value:
    """Return the natural logarithm."""
    e, f, c = _log_parts(b, x)
    high, low = (b.constant(part, x.type) for part in _LN2[x.type])
    return _log_limits(b, x, b.muladd(e, high, b.add(f, b.muladd(e, low, c))))


def log2(b: Builder, x: Value) -> Value:
    """Return the logarithm to base 2, exact at powers of 2."""
    e, f, c = _log_parts(b, x)
    return _log_limits(b, x, b.muladd(b.add(f, c), b.constant(math.log2(math.e), x.type), e))


def log1p(b: Builder, x: Value) -> Value:
    """Return log(1 + x), accurate near zero: Kahan's correction of the rounding of 1 + x."""
    one = b.constant(1.0, x.type)
    whole = b.add(one, x)
    correction = b.div(b.sub(x, b.sub(whole, one)), whole)
    logarithm = log(b, whole)
    return b.select(b.compare("ord", correction, correction), b.add(logarithm, correction), logarithm)


def _power(b: Builder, x: Value, y: Value) -> Value:
    """Return x^y of a positive x, its logarithm carried in two parts."""
    e, f, c = _log_parts(b, x)
    high, low = (b.constant(part, x.type) for part in _LN2[x.type])
    first = b.muladd(e, high, f)
    rest = b.add(b.binary("fsub", f, b.binary("fsub", first, b.mul(e, high))), b.muladd(e, low, c))
    total = b.binary("fadd", first, rest)
    rest = b.binary("fsub", rest, b.binary("fsub", total, first))
    total = _log_limits(b, x, total)
    product = b.binary("fmul", y, total)
    error = b.muladd(y, rest, b.call("fma", y, total, b.neg(product)))
    within = b.compare("olt", absolute(b, product), b.constant(1000.0, x.type))
    return exp(b, product, b.select(within, error, b.constant(0.0, x.type)))


def power(b: Builder, x: Value, y: Value) -> Value:
    """Return x^y as the C library defines it: of a negative x if y is whole, 1 if y is 0 or x is 1."""
    zero, one, infinite = (b.constant(number, x.type) for number in (0.0, 1.0, math.inf))
    magnitude = absolute(b, x)
    result = _power(b, magnitude, y)
    half = b.mul(b.constant(0.5, x.type), y)
    whole = b.compare("oeq", b.call("floor", y), y)
    odd = b.both(whole, b.compare("une", b.call("floor", half), half))
    negative = b.compare("slt", b.bits(x), b.constant(0, BITS[x.type]))
    result = b.select(b.both(negative, odd), b.neg(result), result)
    undefined = b.both(b.compare("olt", x, zero), b.compare("olt", magnitude, infinite))
    result = b.select(b.both(undefined, b.invert(whole)), b.constant(math.nan, x.type), result)
    unit = b.both(b.compare("oeq", magnitude, one), b.compare("oeq", absolute(b, y), infinite))
    trivial = b.either(unit, b.either(b.compare("oeq", y, zero), b.compare("oeq", x, one)))
    return b.select(trivial, one, result)


def whole_power(b: Builder, x: Value, exponent: int) -> Value:
    """Return x to a constant integer power by repeated squaring."""
    one = b.constant(1.0 if x.type in BITS else 1, x.type)
    result, base, left = None, x, abs(exponent)
    while left:
        if left & 1:
            result = base if result is None else b.mul(result, base)
        left >>= 1
        base = b.mul(base, base) if left else base
    result = one if result is None else result
    return b.div(one, result) if exponent < 0 else result


def cube_root(b: Builder, x: Value) -> Value:
    """Return the real cube root: one Newton step after exp(log |x| / 3)."""
    magnitude = absolute(b, x)
    third = b.constant(1 / 3, x.type)
    root = exp(b, b.mul(log(b, magnitude), third))
    square = b.mul(root, root)
    root = b.sub(root, b.mul(third, b.sub(root, b.div(magnitude, square))))
    regular = b.both(
        b.compare("olt", magnitude, b.constant(math.inf, x.type)),
        b.compare("ogt", magnitude, b.constant(0.0, x.type)),
    )
    return b.select(regular, b.call("copysign", root, x), x)


def remainder(b: Builder, x: Value, y: Value) -> Value:
    """Return x - y trunc(x / y), exactly; NaN where the quotient exceeds the integers a float can hold."""
    top, bottom = absolute(b, x), absolute(b, y)
    quotient = b.call("floor", b.div(top, bottom))
    left = b.call("fma", b.neg(quotient), bottom, top)
    left = b.select(b.compare("olt", left, b.constant(0.0, x.type)), b.add(left, bottom), left)
    left = b.select(b.compare("oge", left, bottom), b.sub(left, bottom), left)
    exact = b.compare("olt", quotient, b.constant(2.0 ** _MANTISSA[x.type], x.type))
    left = b.select(exact, left, b.constant(math.nan, x.type))
    infinite = b.constant(math.inf, x.type)
    untouched = b.both(b.compare("oeq", bottom, infinite), b.compare("olt", top, infinite))
    return b.select(untouched, x, b.call("copysign", left, x))
