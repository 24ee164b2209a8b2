"""The scalar primitives: one instruction sequence each."""

import math
from collections.abc import Callable
from typing import Any

from vtrial.solve.lanes import gamma, maths, special
from vtrial.solve.lanes.ir import BITS, FLOATS, SIGNED, Builder, Value

Rule = Callable[..., Value]
"""A function of the builder, the equation's parameters and its operands."""


def _largest(b: Builder, x: Value, y: Value) -> Value:
    return _extreme(b, x, y, ("ogt", "sgt"))


def _smallest(b: Builder, x: Value, y: Value) -> Value:
    return _extreme(b, x, y, ("olt", "slt"))


def _extreme(b: Builder, x: Value, y: Value, predicates: tuple[str, str]) -> Value:
    """Return the larger or smaller operand; NaN if either is, as JAX has it."""
    if x.type == "i1":
        return b.either(x, y) if predicates[0] == "ogt" else b.both(x, y)
    if x.type in SIGNED:
        return b.select(b.compare(predicates[1], x, y), x, y)
    if isinstance(y.constant, float):
        x, y = y, x
    result = b.select(b.compare(predicates[0], x, y), x, y)  # y if either is NaN
    if isinstance(x.constant, float) and not math.isnan(x.constant):
        return result
    return b.select(b.compare("uno", x, x), x, result)


def _sign(b: Builder, x: Value) -> Value:
    one = 1.0 if x.type in FLOATS else 1
    zero, predicates = b.constant(one * 0, x.type), ("ogt", "olt") if x.type in FLOATS else ("sgt", "slt")
    below = b.select(b.compare(predicates[1], x, zero), b.constant(-one, x.type), x)
    return b.select(b.compare(predicates[0], x, zero), b.constant(one, x.type), below)


def _absolute(b: Builder, x: Value) -> Value:
    if x.type in FLOATS:
        return maths.absolute(b, x)
    return b.select(b.compare("slt", x, b.constant(0, x.type)), b.neg(x), x)


def _integer_division(b: Builder, x: Value, y: Value) -> tuple[Value, Value, Value]:
    """Return whether y is zero, quotient and remainder; no operands trap the machine."""
    lowest = b.constant(-(2 ** (int(x.type[1:]) - 1)), x.type)
    zero = b.compare("eq", y, b.constant(0, x.type))
    overflow = b.both(b.compare("eq", x, lowest), b.compare("eq", y, b.constant(-1, x.type)))
    safe = b.select(b.either(zero, overflow), b.constant(1, x.type), y)
    return zero, b.binary("sdiv", x, safe), b.binary("srem", x, safe)


def _divide(b: Builder, x: Value, y: Value) -> Value:
    if x.type in FLOATS:
        # Numbers over the same one, as by a volume in every stage, may share its inverse: one more rounding.
        return b.binary("fdiv", x, y, "arcp ")
    zero, quotient, _ = _integer_division(b, x, y)
    return b.select(zero, b.constant(-1, x.type), quotient)


def _remainder(b: Builder, x: Value, y: Value) -> Value:
    if x.type in FLOATS:
        return maths.remainder(b, x, y)
    zero, _, left = _integer_division(b, x, y)
    return b.select(zero, x, left)


def _bitwise(operation: str) -> Rule:
    return lambda b, _, x, y: b.binary(operation, x, y)


def _comparison(ordered: str, signed: str, unsigned: str) -> Rule:
    def rule(b: Builder, _: Any, x: Value, y: Value) -> Value:
        predicate = ordered if x.type in FLOATS else unsigned if x.type == "i1" else signed
        return b.compare(predicate, x, y)

    return rule


def _total_order(signed: str) -> Rule:
    """Return a comparison in which NaN and the zeros have places: the bits, those of negative numbers turned round."""

    def key(b: Builder, x: Value) -> Value:
        if x.type not in FLOATS:
            return x
        bits, width = b.bits(x), int(BITS[x.type][1:])
        magnitude = b.constant(2 ** (width - 1) - 1, bits.type)
        return b.binary("xor", bits, b.both(b.shift("ashr", bits, width - 1), magnitude))

    return lambda b, _, x, y: b.compare(signed, key(b, x), key(b, y))


def _choose(b: Builder, _: Any, which: Value, *cases: Value) -> Value:
    if which.type == "i1":
        return b.select(which, cases[-1], cases[0])
    result = cases[-1]
    for number, case in reversed(list(enumerate(cases[:-1]))):
        result = b.select(b.compare("sle", which, b.constant(number, which.type)), case, result)
    return result


def _clamp(b: Builder, _: Any, low: Value, x: Value, high: Value) -> Value:
    return _smallest(b, _largest(b, x, low), high)


def _round(b: Builder, parameters: dict, x: Value) -> Value:
    return b.call("roundeven" if int(parameters["rounding_method"]) else "round", x)


def _power(b: Builder, _: Any, x: Value, y: Value) -> Value:
    if isinstance(y.constant, int):
        return maths.whole_power(b, x, y.constant)
    return maths.power(b, x, y if y.type in FLOATS else b.cast("sitofp", y, x.type))


def _logistic(b: Builder, _: Any, x: Value) -> Value:
    one = b.constant(1.0, x.type)
    return b.div(one, b.add(one, maths.exp(b, b.neg(x))))


def _saturated(b: Builder, x: Value, type: str) -> Value:
    vector, source = b.vector(type), b.vector(x.type)
    name = f"@llvm.fptosi.sat.{b.suffix(type)}.{b.suffix(x.type)}"
    b.declarations.add(f"declare {vector} {name}({source})")
    return b.value(f"call {vector} {name}({b.typed(x)})", type)


def convert(b: Builder, x: Value, type: str) -> Value:
    """Return a value in another type, as JAX converts: a float's integer part within the integer's range, NaN as 0."""
    if x.type == type:
        return x
    if type == "i1":
        zero = b.constant(0.0 if x.type in FLOATS else 0, x.type)
        return b.compare("une" if x.type in FLOATS else "ne", x, zero)
    if x.type == "i1":
        return b.cast("uitofp" if type in FLOATS else "zext", x, type)
    if x.type in FLOATS and type in SIGNED:
        return _saturated(b, x, type)
    if x.type in FLOATS:
        return b.cast("fpext" if type == "double" else "fptrunc", x, type)
    return b.cast("sitofp" if type in FLOATS else "sext" if type == "i64" else "trunc", x, type)


def _reinterpreted(b: Builder, parameters: dict, x: Value) -> Value:
    """Return a float's bits as a signed integer of its size, or the other way round."""
    return b.bits(x) if x.type in FLOATS else b.cast("bitcast", x, "double" if x.type == "i64" else "float")


def _shifted(b: Builder, _: Any, x: Value, places: Value) -> Value:
    return b.binary("ashr", x, places)


def _polynomial(b: Builder, _: Any, x: Value, *coefficients: Value) -> Value:
    *rest, result = coefficients
    for number in reversed(rest):
        result = b.muladd(result, x, number)
    return result


def _plain(function: Callable[..., Value]) -> Rule:
    """Return the rule of a primitive without parameters that matter."""
    return lambda b, _, *operands: function(b, *operands)


def _intrinsic(name: str) -> Rule:
    return lambda b, _, x: b.call(name, x)


RULES: dict[str, Rule] = {
    "add": _plain(Builder.add),
    "add_any": _plain(Builder.add),
    "sub": _plain(Builder.sub),
    "mul": lambda b, _, x, y: b.both(x, y) if x.type == "i1" else b.mul(x, y),
    "div": _plain(_divide),
    "rem": _plain(_remainder),
    "neg": _plain(Builder.neg),
    "max": _plain(_largest),
    "min": _plain(_smallest),
    "clamp": _clamp,
    "abs": _plain(_absolute),
    "sign": _plain(_sign),
    "square": lambda b, _, x: b.mul(x, x),
    "one_minus_square": lambda b, _, x: b.sub(b.constant(1.0, x.type), b.mul(x, x)),
    "integer_pow": lambda b, parameters, x: maths.whole_power(b, x, parameters["y"]),
    "pow": _power,
    "sqrt": _intrinsic("sqrt"),
    "rsqrt": lambda b, _, x: b.div(b.constant(1.0, x.type), b.call("sqrt", x)),
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "round": _round,
    "is_finite": lambda b, _, x: b.compare("olt", maths.absolute(b, x), b.constant(math.inf, x.type)),
    "logistic": _logistic,
    "exp2": lambda b, _, x: maths.power(b, b.constant(2.0, x.type), x),
    "cbrt": _plain(maths.cube_root),
    **{function.__name__: _plain(function) for function in (maths.exp, maths.expm1, maths.log, maths.log2)},
    "log1p": _plain(maths.log1p),
    **{function.__name__: _plain(function) for function in (special.sin, special.cos, special.tan, special.tanh)},
    **{function.__name__: _plain(function) for function in (special.sinh, special.cosh, special.asinh)},
    **{function.__name__: _plain(function) for function in (special.acosh, special.atanh, special.atan)},
    **{function.__name__: _plain(function) for function in (special.atan2, special.asin, special.acos)},
    **{function.__name__: _plain(function) for function in (special.erf, special.erfc, special.erf_inv)},
    **{function.__name__: _plain(function) for function in (gamma.lgamma, gamma.digamma)},
    "polynomial": _polynomial,
    "bitcast_convert_type": _reinterpreted,
    "shift_right_arithmetic": _shifted,
    "lt": _comparison("olt", "slt", "ult"),
    "le": _comparison("ole", "sle", "ule"),
    "gt": _comparison("ogt", "sgt", "ugt"),
    "ge": _comparison("oge", "sge", "uge"),
    "eq": _comparison("oeq", "eq", "eq"),
    "ne": _comparison("une", "ne", "ne"),
    "lt_to": _total_order("slt"),
    "le_to": _total_order("sle"),
    "eq_to": _total_order("eq"),
    "and": _bitwise("and"),
    "or": _bitwise("or"),
    "xor": _bitwise("xor"),
    "not": _plain(Builder.invert),
    "select_n": _choose,
}
