"""Turns a jaxpr into instructions: every number of every (small) array becomes a value of its own."""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import jax
import numpy as np
from jax.extend import core

from vtrial.solve.lanes.elementwise import RULES, convert
from vtrial.solve.lanes.ir import FLOATS, Builder, Value

Values = np.ndarray
"""An object array of `Value`, shaped as the jaxpr's variable."""
Load = Callable[[int, Value], Value]
"""Emits the entry of a table at a row."""

_TYPES = {"float64": "double", "float32": "float", "int32": "i32", "int64": "i64", "bool": "i1"}
_UNSIGNED = {"uint32": np.int32, "uint64": np.int64}
"""Held as signed ones of their size: for what treats bits alone that is the same."""
_WITHOUT_SIGN = {np.dtype(name) for name in _UNSIGNED}
_BITWISE = {"bitcast_convert_type", "and", "or", "xor", "not"}
"""What may be done with unsigned numbers."""
_CALLS = {
    *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
_SAME = {"copy", "copy_p", "stop_gradient", "optimization_barrier"}
_RESHAPES = {"reshape", "squeeze", "expand_dims"}
_REDUCTIONS = {
    **{"reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min"},
    **{"reduce_and": "and", "reduce_or": "or"},
}
_INDEXED = {"gather": (1,), "dynamic_slice": slice(1, None), "dynamic_update_slice": slice(2, None), "scatter": (1,)}
"""Which operands of a primitive that moves entries are indices."""
_MOVES = {*_INDEXED, "concatenate", "stack", "transpose", "rev", "pad", "split", "unstack", "slice", "broadcast_in_dim"}


class Unsupported(Exception):
    """A program uses something no lane kernel can do; whoever asked for the kernel can take another road."""


def type_of(dtype: Any) -> str:
    """Return the IR type of a JAX dtype."""
    kind = str(np.dtype(_UNSIGNED[str(dtype)])) if str(dtype) in _UNSIGNED else str(dtype)
    if kind not in _TYPES:
        raise Unsupported(f"Lane kernels have no values of type {dtype}.")
    return _TYPES[kind]


def constants(b: Builder, array: Any) -> Values:
    """Return an array known now as values."""
    array = np.asarray(array)
    array = array.view(_UNSIGNED.get(str(array.dtype), array.dtype))
    kind = type_of(array.dtype)
    result = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        result[place] = b.constant(array[place].item(), kind)
    return result


def single(value: Value) -> Values:
    """Return one value as a scalar's array."""
    result = np.empty((), object)
    result[()] = value
    return result


def _known(values: Values) -> bool:
    return all(value.constant is not None for value in values.flat)


def _numbers(values: Values, dtype: Any) -> np.ndarray:
    held = np.dtype(_UNSIGNED.get(str(dtype), dtype))
    return np.array([value.constant for value in values.flat], held).view(dtype).reshape(values.shape)


class Emitter:
    """Emits jaxprs into a builder."""

    def __init__(self, builder: Builder, load: Load, rows: Sequence[Value]):
        self.builder = builder
        self._load = load
        self._rows = rows

    def jaxpr(self, closed: core.ClosedJaxpr, arguments: Sequence[Values]) -> list[Values]:
        """Emit a jaxpr and return its results."""
        jaxpr = closed.jaxpr
        known: dict[Any, Values] = dict(zip(jaxpr.invars, arguments, strict=True))
        known |= {
            variable: constants(self.builder, value)
            for variable, value in zip(jaxpr.constvars, closed.consts, strict=True)
        }

        def read(atom: Any) -> Values:
            return constants(self.builder, atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            results = self._equation(equation, [read(atom) for atom in equation.invars])
            known |= zip(equation.outvars, results, strict=True)
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Values]) -> list[Values]:
        name, parameters = equation.primitive.name, equation.params
        if name in _CALLS:
            return self.jaxpr(_called(parameters), inputs)
        if name == "lane_load":
            return [single(self._load(parameters["table"], inputs[0].item()))]
        if name == "lane_rows":
            return [single(self._rows[parameters["table"]])]
        if name in _SAME:
            return inputs
        if name == "cond":
            return self._branches(parameters["branches"], inputs)
        if name not in _BITWISE and any(x.aval.dtype in _WITHOUT_SIGN for x in (*equation.invars, *equation.outvars)):
            raise Unsupported(f"Lane kernels cannot do '{name}' with unsigned numbers.")
        if self._folds(inputs):
            return self._fold(equation, inputs)
        return self._compute(equation, name, inputs)

    def _compute(self, equation: Any, name: str, inputs: list[Values]) -> list[Values]:
        parameters, shape = equation.params, equation.outvars[0].aval.shape
        if name == "convert_element_type":
            kind = type_of(parameters["new_dtype"])
            return [self._each(lambda x: convert(self.builder, x, kind), inputs, shape)]
        if name in RULES:
            rule = RULES[name]
            return [self._each(partial(rule, self.builder, parameters), inputs, shape)]
        if name in _RESHAPES or (name in _MOVES and len(inputs) == 1 and inputs[0].size == 1 == math.prod(shape)):
            return [inputs[0].reshape(shape)]
        if name in _MOVES:
            return _moved(equation, inputs)
        if name in _REDUCTIONS:
            return [self._reduced(_REDUCTIONS[name], inputs[0], parameters["axes"])]
        if name == "dot_general":
            left, right = inputs
            return [self._product(left, right, parameters["dimension_numbers"])]
        raise Unsupported(f"Lane kernels do not know the primitive '{name}'.")

    def _each(self, function: Callable[..., Value], inputs: list[Values], shape: tuple[int, ...]) -> Values:
        if shape == ():
            return single(function(*(values.item() for values in inputs)))
        result, spread = np.empty(shape, object), [np.broadcast_to(values, shape) for values in inputs]
        for place in np.ndindex(shape):
            result[place] = function(*(values[place] for values in spread))
        return result

    def _folds(self, inputs: list[Values]) -> bool:
        """Whether an equation's operands are whole numbers known now; indices become known by this."""
        return all(_known(values) and not any(value.type in FLOATS for value in values.flat) for values in inputs)

    def _fold(self, equation: Any, inputs: list[Values]) -> list[Values]:
        arrays = [_numbers(values, atom.aval.dtype) for values, atom in zip(inputs, equation.invars, strict=True)]
        return [constants(self.builder, array) for array in _evaluate(equation, arrays)]

    def _branches(self, branches: Sequence[core.ClosedJaxpr], inputs: list[Values]) -> list[Values]:
        """Emit every branch and choose between their results."""
        which, *arguments = inputs
        results = zip(*(self.jaxpr(branch, arguments) for branch in branches), strict=True)
        choose = RULES["select_n"]

        def pick(*cases: Value) -> Value:
            return choose(self.builder, {}, which.item(), *cases)

        return [self._each(pick, list(cases), cases[0].shape) for cases in results]

    def _reduced(self, rule: str, values: Values, axes: Sequence[int]) -> Values:
        if values.size == 0:
            raise Unsupported(f"Lane kernels cannot take the '{rule}' of nothing.")
        kept = [axis for axis in range(values.ndim) if axis not in axes]
        rows = values.transpose(*kept, *axes).reshape(*(values.shape[axis] for axis in kept), -1)
        result = np.empty(rows.shape[:-1], object)
        for place in np.ndindex(result.shape):
            result[place] = reduce(lambda x, y: RULES[rule](self.builder, {}, x, y), rows[place])
        return result

    def _product(self, left: Values, right: Values, dimensions: Any) -> Values:
        """Return the sums of products over the contracted axes: (batch, left, right)."""
        (left_sum, right_sum), (left_batch, right_batch) = dimensions
        left, right = _arranged(left, left_batch, left_sum), _arranged(right, right_batch, right_sum)
        depth = len(left_batch)
        batch, rows, columns = left.shape[:depth], left.shape[depth:-1], right.shape[depth:-1]
        left = left.reshape(*batch, *rows, *(1 for _ in columns), -1)
        right = right.reshape(*batch, *(1 for _ in rows), *columns, -1)
        shape = (*batch, *rows, *columns, left.shape[-1])
        products = self._each(self.builder.mul, [left, right], shape)
        return self._reduced("add", products, (len(shape) - 1,))


def _arranged(values: Values, batch: Sequence[int], contracted: Sequence[int]) -> Values:
    """Return an array with its batch axes first and its contracted axes, as one, last."""
    free = [axis for axis in range(values.ndim) if axis not in (*batch, *contracted)]
    shape = [values.shape[axis] for axis in (*batch, *free)]
    length = math.prod(values.shape[axis] for axis in contracted)
    return values.transpose(*batch, *free, *contracted).reshape(*shape, length)


def _called(parameters: dict[str, Any]) -> core.ClosedJaxpr:
    jaxpr = next(parameters[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in parameters)
    return core.ClosedJaxpr(jaxpr, ()) if isinstance(jaxpr, core.Jaxpr) else jaxpr


def _evaluate(equation: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Let JAX itself evaluate an equation now."""
    primitive = equation.primitive
    with jax.ensure_compile_time_eval():
        results = primitive.bind(*arrays, **primitive.get_bind_params(equation.params))
    return [np.asarray(result) for result in (results if primitive.multiple_results else [results])]


def _moved(equation: Any, inputs: list[Values]) -> list[Values]:
    """Emit a primitive that only moves entries: JAX moves their numbers, and those say which entry went where."""
    name, start, arrays = equation.primitive.name, 0, []
    indices = set(np.atleast_1d(np.arange(len(inputs))[_INDEXED[name]]) if name in _INDEXED else ())
    for i, values in enumerate(inputs):
        if i not in indices:
            arrays.append(np.arange(start, start + values.size, dtype=np.int32).reshape(values.shape))
            start += values.size
        elif _known(values):
            arrays.append(_numbers(values, equation.invars[i].aval.dtype))
        else:
            raise Unsupported(f"Lane kernels need the indices of '{name}' while they are compiled.")
    pool = np.concatenate([values.ravel() for i, values in enumerate(inputs) if i not in indices])
    results = _evaluate(equation, arrays)
    if any(((result < 0) | (result >= start)).any() for result in results):
        raise Unsupported(f"Lane kernels cannot fill entries that '{name}' does not find.")
    return [_entries(pool, result) for result in results]


def _entries(pool: Values, places: np.ndarray) -> Values:
    """Return entries of a flat array; indexing by a scalar would yield the entry bare."""
    return pool[places.ravel()].reshape(places.shape)
