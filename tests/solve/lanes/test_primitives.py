"""Every primitive of the lane compiler against JAX, at ordinary and at special numbers.

Where JAX itself strays by more than a few ulp (far tails), NumPy and the C library say what is right.
"""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy import special
from scipy.special import erfinv

from tests.solve.lanes.reference import run
from vtrial.errors import UserError
from vtrial.model import interpolated
from vtrial.solve.lanes.call import Kernel, compile
from vtrial.solve.lanes.emit import Unsupported
from vtrial.solve.lanes.program import Program, Step

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -1.5, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan]
X, Y = (side.ravel() for side in np.meshgrid(SPECIAL, SPECIAL))
_ORDINARY = np.random.default_rng(0)


def ordinary() -> tuple[np.ndarray, np.ndarray]:
    scale = 10 ** _ORDINARY.uniform(-6, 2.8, 1500)
    return scale * _ORDINARY.choice([-1.0, 1.0], 1500), _ORDINARY.uniform(-30, 30, 1500)


XS, YS = (np.concatenate(both) for both in zip((X, Y), ordinary(), strict=True))


def whole(x):
    return jnp.asarray(jnp.clip(jnp.nan_to_num(x), -1e9, 1e9), jnp.int32)


def truth(x):
    return x > 0.7


def matrix(x, y):
    return jnp.stack([jnp.stack([x, y, x + y]), jnp.stack([x * y, x - y, jnp.ones_like(x)])])


@jax.custom_jvp
def custom(x):
    return x * 3


@custom.defjvp
def _(primals, tangents):
    return custom(*primals), tangents[0] * 5


@jax.custom_vjp
def reverse(x):
    return x * 4


reverse.defvjp(lambda x: (reverse(x), None), lambda _, g: (g,))

FLOATS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x, y: -x,
    "max": jnp.maximum,
    "max_constant": lambda x, y: jnp.maximum(x, 1.5),
    "max_constant_first": lambda x, y: jnp.maximum(1.5, x),
    "max_nan": lambda x, y: jnp.maximum(x, jnp.nan),
    "min": jnp.minimum,
    "min_constant": lambda x, y: jnp.minimum(x, -0.5),
    "abs": lambda x, y: jnp.abs(x),
    "sign": lambda x, y: jnp.sign(x),
    "sqrt": lambda x, y: jnp.sqrt(x),
    "rsqrt": lambda x, y: lax.rsqrt(x),
    "cbrt": lambda x, y: jnp.cbrt(x),
    "square": lambda x, y: jnp.square(x),
    "cube": lambda x, y: x**3,
    "power_-7": lambda x, y: lax.integer_pow(x, -7),
    "power_0": lambda x, y: lax.integer_pow(x, 0),
    "pow": lambda x, y: x**y,
    "pow_constant": lambda x, y: x**0.75,
    "pow_negative": lambda x, y: jnp.abs(x) ** -2.3,
    "pow_of_constant": lambda x, y: 1.7**y,
    "pow_integer": lambda x, y: lax.pow(x, whole(y)),
    "pow_whole": lambda x, y: x ** jnp.floor(y),
    "exp": lambda x, y: jnp.exp(x),
    "exp_moderate": lambda x, y: jnp.exp(y),
    "exp2": lambda x, y: jnp.exp2(x),
    "expm1": lambda x, y: jnp.expm1(x),
    "expm1_small": lambda x, y: jnp.expm1(y / 1e3),
    "log": lambda x, y: jnp.log(x),
    "log2": lambda x, y: jnp.log2(x),
    "log2_near_one": lambda x, y: jnp.log2(1 + y / 1e3),
    "log_near_one": lambda x, y: jnp.log(1 + y / 1e3),
    "log1p": lambda x, y: jnp.log1p(x),
    "log1p_small": lambda x, y: jnp.log1p(y / 1e5),
    "logistic": lambda x, y: jax.nn.sigmoid(x),
    "softplus": lambda x, y: jax.nn.softplus(y),
    "sin": lambda x, y: jnp.sin(x),
    "cos": lambda x, y: jnp.cos(x),
    "tan": lambda x, y: jnp.tan(x),
    "tanh": lambda x, y: jnp.tanh(x),
    "sinh": lambda x, y: jnp.sinh(x),
    "cosh": lambda x, y: jnp.cosh(x),
    "asinh": lambda x, y: jnp.arcsinh(x),
    "acosh": lambda x, y: jnp.arccosh(x),
    "atanh": lambda x, y: jnp.arctanh(y * (1.0 / 30.0)),
    "atan": lambda x, y: jnp.arctan(x),
    "atan2": lambda x, y: jnp.arctan2(x, y),
    "asin": lambda x, y: jnp.arcsin(y * (1.0 / 30.0)),
    "acos": lambda x, y: jnp.arccos(y * (1.0 / 30.0)),
    "erf": lambda x, y: special.erf(x),
    "erfc": lambda x, y: special.erfc(x),
    "erf_slope": lambda x, y: jax.jvp(special.erf, (x,), (jnp.ones_like(x),))[1],
    "erf_curvature": lambda x, y: jax.jvp(jax.grad(special.erf), (x,), (jnp.ones_like(x),))[1],
    "erf_inv_slope": lambda x, y: jax.grad(special.erfinv)(y * (1.0 / 60.0)),
    "polynomial": lambda x, y: jnp.polyval(jnp.array([0.5, -1.0, 3.0, 2.0]), y),
    "copysign": jnp.copysign,
    "signbit": lambda x, y: jnp.where(jnp.signbit(x), x, y),
    "erf_inv": lambda x, y: special.erfinv(y * (1.0 / 30.0)),
    "erf_inv_of_any": lambda x, y: special.erfinv(x),
    "erf_inv_near_one": lambda x, y: special.erfinv(1 - jnp.exp(-jnp.abs(y))),
    "normal": lambda x, y: special.ndtr(y),
    "lgamma": lambda x, y: special.gammaln(x),
    "lgamma_moderate": lambda x, y: special.gammaln(y),
    "digamma": lambda x, y: special.digamma(x),
    "digamma_moderate": lambda x, y: special.digamma(jnp.abs(y)),
    "floor": lambda x, y: jnp.floor(x),
    "ceil": lambda x, y: jnp.ceil(x),
    "round": lambda x, y: jnp.round(x),
    "round_away": lambda x, y: lax.round(x),
    "trunc": lambda x, y: jnp.trunc(x),
    "rem": lax.rem,
    "mod": lambda x, y: jnp.mod(y, 24.0),
    "floor_divide": lambda x, y: y // 7,
    "clamp": lambda x, y: lax.clamp(-1.0, x, 2.0),
    "clip": lambda x, y: jnp.clip(x, -1, 2),
    "nan_to_num": lambda x, y: jnp.nan_to_num(x),
    "where": lambda x, y: jnp.where(x > y, x, y),
    "relu": lambda x, y: jax.nn.relu(x),
    "stopped": lambda x, y: lax.stop_gradient(x),
    "float32": lambda x, y: jnp.asarray(jnp.asarray(y, jnp.float32) + 1, jnp.float64),
    "custom_jvp": lambda x, y: custom(x),
    "custom_vjp": lambda x, y: reverse(x),
    "remat": lambda x, y: jax.checkpoint(lambda z: jnp.sin(z) * z)(y),
    "derivative": lambda x, y: jax.jvp(lambda z: custom(z) * jnp.exp(-z), (y,), (y,))[1],
    "derivative_pow": lambda x, y: jax.jvp(lambda z: jnp.abs(z) ** 1.3, (y,), (y,))[1],
    "cond": lambda x, y: lax.cond(x > 0, lambda z: z + 1, lambda z: z - 1, x),
    "switch": lambda x, y: lax.switch(whole(y) % 3, [lambda z: z, lambda z: 2 * z, lambda z: -z], x),
}
INTEGERS = {
    "finite": lambda x, y: jnp.isfinite(x),
    "nan": lambda x, y: jnp.isnan(x),
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "integer_lt": lambda x, y: whole(x) < whole(y),
    "bool_lt": lambda x, y: truth(x) < truth(y),
    "bool_eq": lambda x, y: truth(x) == truth(y),
    "and": lambda x, y: truth(x) & truth(y),
    "or": lambda x, y: truth(x) | truth(y),
    "xor": lambda x, y: truth(x) ^ truth(y),
    "not": lambda x, y: ~truth(x),
    "bool_max": lambda x, y: jnp.maximum(truth(x), truth(y)),
    "bits": lambda x, y: (whole(x) & 12) | (~whole(y) ^ 5),
    "integer_add": lambda x, y: whole(x) + whole(y),
    "integer_sub": lambda x, y: whole(x) - 7 * whole(y),
    "integer_neg": lambda x, y: -whole(x),
    "integer_abs": lambda x, y: jnp.abs(whole(x)),
    "integer_sign": lambda x, y: jnp.sign(whole(x)),
    "integer_max": lambda x, y: jnp.minimum(jnp.maximum(whole(x), 3), whole(y)),
    "integer_power": lambda x, y: (whole(y) // 4) ** 3,
    "integer_div": lambda x, y: lax.div(whole(x), whole(y)),
    "integer_rem": lambda x, y: lax.rem(whole(x), whole(y)),
    "integer_mod": lambda x, y: jnp.mod(whole(x), 5),
    "int64": lambda x, y: jnp.where(truth(x), 1, 0) + jnp.asarray(whole(y), jnp.int64),
    "float_to_int": lambda x, y: lax.convert_element_type(x, jnp.int32),
    "float_to_bool": lambda x, y: lax.convert_element_type(x, jnp.bool_),
    "select_of_three": lambda x, y: lax.select_n(whole(y) % 3, whole(x), jnp.int32(7), whole(y)),
}
ARRAYS = {
    "index": lambda x, y: jnp.stack([x, y])[1],
    "index_from_end": lambda x, y: jnp.stack([x, y])[-2],
    "fancy": lambda x, y: jnp.stack([x, y, x * y])[jnp.array([2, 0])].sum(),
    "slice": lambda x, y: jnp.stack([x, y, x + y])[1:].sum(),
    "set": lambda x, y: jnp.zeros(3).at[1].set(x).at[2].set(y).sum(),
    "sum_axis": lambda x, y: matrix(x, y).sum(0)[1],
    "max_all": lambda x, y: matrix(x, y).max(),
    "product": lambda x, y: jnp.prod(jnp.stack([x, y, x])),
    "any": lambda x, y: jnp.any(matrix(x, y) > 3) * 1.0,
    "dot": lambda x, y: jnp.stack([x, y]) @ jnp.array([2.0, 3.0]),
    "matrix_product": lambda x, y: (matrix(x, y) @ matrix(y, x).T)[1, 0],
    "einsum": lambda x, y: jnp.einsum("ij,ij->j", matrix(x, y), matrix(y, y))[2],
    "transpose": lambda x, y: matrix(x, y).T[2, 0],
    "reverse": lambda x, y: matrix(x, y)[::-1, ::-1][0, 1],
    "concatenate": lambda x, y: jnp.concatenate([jnp.array([1.0, 2.0]), x[None], y[None]])[2],
    "broadcast": lambda x, y: (jnp.full((2, 1), x) + jnp.zeros((1, 3)) + y)[1, 2],
    "linspace": lambda x, y: (jnp.linspace(0, 1, 5) * x)[3],
    "pad": lambda x, y: jnp.pad(jnp.stack([x, y]), 1)[2],
    "where": lambda x, y: jnp.where(jnp.array([True, False]), x, y)[1],
    "vmap": lambda x, y: jax.vmap(jnp.exp)(jnp.stack([-jnp.abs(x), y]))[1],
    "constant_array": lambda x, y: (jnp.array([1.0, 2.0, 4.0]) * x)[2],
}
TRUE = {
    "cbrt": lambda x, y: np.cbrt(x),
    "sinh": lambda x, y: np.sinh(x),
    "cosh": lambda x, y: np.cosh(x),
    "atanh": lambda x, y: np.arctanh(y * (1.0 / 30.0)),
    "acos": lambda x, y: np.arccos(y * (1.0 / 30.0)),
    "exp2": lambda x, y: np.exp2(x),
    "erfc": lambda x, y: np.vectorize(math.erfc)(x),
    "erf_inv": lambda x, y: erfinv(y * (1.0 / 30.0)),
    "erf_inv_of_any": lambda x, y: erfinv(x),
    "erf_inv_near_one": lambda x, y: erfinv(1 - np.exp(-np.abs(y))),
    "normal": lambda x, y: 0.5 * np.vectorize(math.erfc)(-y * math.sqrt(0.5)),
}
BOUNDED = {"sin": XS, "cos": XS, "tan": XS, "remat": YS, "mod": YS, "floor_divide": YS}
"""What is NaN beyond 2^49, and the argument that must not be there."""


def evaluator(functions: dict) -> Program:
    """One person's program: all functions at one point."""

    def emit(fixed, arguments):
        with jax.numpy_rank_promotion("allow"):
            return tuple(jnp.asarray(function(*fixed), jnp.float64) for function in functions.values())

    def step(fixed, carry):
        return Step(carry, False, True, 0, ())

    return Program(2, (), len(functions), 0, lambda fixed: jnp.int32(0), step, emit, lambda fixed, carry: ())


@cache
def both(kind: str) -> tuple[dict, dict]:
    """Return every function's values by the kernel and by JAX."""
    functions = {"floats": FLOATS, "integers": INTEGERS, "arrays": ARRAYS}[kind]
    program, points = evaluator(functions), jnp.stack([XS, YS], 1)
    kernel = compile(program)
    lanes, _ = jax.jit(jax.vmap(lambda fixed: kernel(fixed, samples=1)))(points)
    plain, _ = jax.jit(jax.vmap(lambda fixed: run(program, fixed, (), 1)))(points)
    return tuple({name: np.asarray(values[:, 0, i]) for i, name in enumerate(functions)} for values in (lanes, plain))


@pytest.mark.parametrize("name", FLOATS)
def test_float(name):
    lanes, plain = (values[name] for values in both("floats"))
    if name in TRUE:
        with np.errstate(all="ignore"):
            plain = TRUE[name](XS, YS)
    if name in BOUNDED:
        plain = np.where(np.abs(BOUNDED[name]) < 2.0**49, plain, np.nan)
    if name == "rem":
        with np.errstate(all="ignore"):
            plain = np.where(np.isinf(YS) | (np.abs(XS / YS) < 2.0**52), plain, np.nan)
    np.testing.assert_allclose(lanes, plain, rtol=1e-14, atol=1e-14 if "gamma" in name else 1e-307)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer(name):
    lanes, plain = (values[name] for values in both("integers"))
    np.testing.assert_array_equal(lanes, plain)


@pytest.mark.parametrize("name", ARRAYS)
def test_array(name):
    moderate = ~((np.abs(XS) > 1e200) | (np.abs(YS) > 1e200))  # products overflow or not by how they are fused
    lanes, plain = (values[name][moderate] for values in both("arrays"))
    np.testing.assert_allclose(lanes, plain, rtol=1e-13, atol=1e-300)


def test_signs_of_zero():
    lanes, plain = both("floats")
    for name in ("neg", "floor", "sqrt", "div", "mul", "where"):
        np.testing.assert_array_equal(
            np.signbit(lanes[name]) & (lanes[name] == 0), np.signbit(plain[name]) & (plain[name] == 0)
        )


@pytest.mark.parametrize(
    ("function", "primitive"),
    [
        (lambda x, y: special.gammainc(2.0, x), "igamma"),
        (lambda x, y: lax.while_loop(lambda z: z < 10, lambda z: z + 1, x), "while"),
        (lambda x, y: jnp.sort(jnp.stack([x, y]))[0], "sort"),
        (lambda x, y: jnp.stack([x, y])[whole(x)], "dynamic_slice"),
        (lambda x, y: jnp.asarray(x, jnp.float16), "float16"),
    ],
)
def test_unsupported_primitive_is_named(function, primitive):
    with pytest.raises(Unsupported, match=primitive):
        compile(evaluator({"f": function}))


def test_kernel_refuses_other_operands():
    kernel = compile(evaluator({"f": lambda x, y: x}))
    assert isinstance(kernel, Kernel)
    with pytest.raises(TypeError, match="float64"):
        kernel(jnp.zeros(3), samples=1)
    with pytest.raises(TypeError, match="tables"):
        kernel(jnp.zeros(2), jnp.zeros(2), samples=1)


def test_a_broken_line_compiles_and_is_what_jax_interpolates():
    at, values = [0.0, 1.0, 4.0, 4.5], [2.0, -1.0, 3.0, 3.5]
    x = np.linspace(-2.0, 6.0, 41)
    slope = jax.grad(lambda x: interpolated(x, at, values))
    kernel = compile(evaluator({"value": lambda x, y: interpolated(x, at, values), "slope": lambda x, y: slope(x)}))
    points = jnp.stack([jnp.asarray(x), jnp.ones(41)], 1)
    found, slope = jax.jit(jax.vmap(lambda fixed: kernel(fixed, samples=1)))(points)[0][:, 0].T
    np.testing.assert_allclose(found, np.interp(x, at, values), rtol=1e-13, atol=1e-13)
    inside = ~np.isin(x, at)
    steps = np.select([x < 0, x < 1, x < 4, x < 4.5], [0.0, -3.0, 4 / 3, 1.0], 0.0)
    np.testing.assert_allclose(slope[inside], steps[inside], rtol=1e-13)
    with pytest.raises(UserError, match="ascending"):
        interpolated(jnp.asarray(1.0), [0.0, 0.0], [1.0, 2.0])
