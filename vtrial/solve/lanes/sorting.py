"""Whole numbers in order: many short rows side by side, each in a lane of a vector register.

XLA sorts a row of 300 numbers one comparison after the other, in 8 us. Here eight rows go through one network of
comparisons, which is the same whatever the numbers are, in 1.2 us a row. The network is Batcher's merge exchange:
algorithm M of Knuth, The Art of Computer Programming 3, 5.2.2, ISBN 978-0-201-89685-5.
"""

from collections.abc import Iterator
from functools import cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from vtrial.solve.lanes.batching import joined
from vtrial.solve.lanes.call import registered
from vtrial.solve.lanes.emit import Unsupported
from vtrial.solve.lanes.handler import BUFFERS, PERSONS, handler

_LANES = 8
"""Rows sorted at once: 512 bits."""
_MOST = 4096
"""Longer rows leave the cache, and are left to XLA."""

_BLOCK = """
define internal void @block(ptr %state, i64 %number) {{
entry:
  %persons.at = getelementptr i64, ptr %state, i64 {persons}
  %persons = load i64, ptr %persons.at
  %given.at = getelementptr i64, ptr %state, i64 {given}
  %given = load ptr, ptr %given.at
  %found.at = getelementptr i64, ptr %state, i64 {found}
  %found = load ptr, ptr %found.at
  %base = mul i64 %number, {lanes}
  %left = sub i64 %persons, %base
  %here = call i64 @llvm.smin.i64(i64 %left, i64 {lanes})
  %last = sub i64 %here, 1
  %memory = call ptr @malloc(i64 {bytes})
  %where = ptrtoint ptr %memory to i64
  %above = add i64 %where, 63
  %aligned = and i64 %above, -64
  %rows = inttoptr i64 %aligned to ptr
  {load}
  {passes}
  {store}
  call void @free(ptr %memory)
  ret void
}}
define internal void @pass(ptr %rows, i64 %p, i64 %r, i64 %d) {{
entry:
  %end = sub i64 {length}, %d
  %twice = shl i64 %p, 1
  {compare}
  ret void
}}
declare i64 @llvm.smin.i64(i64, i64)
declare <{lanes} x i64> @llvm.smin.v{lanes}i64(<{lanes} x i64>, <{lanes} x i64>)
declare <{lanes} x i64> @llvm.smax.v{lanes}i64(<{lanes} x i64>, <{lanes} x i64>)
"""
_LOAD = """
  %row = call i64 @llvm.smin.i64(i64 %lane, i64 %last)
  %person = add i64 %base, %row
  %start = mul i64 %person, {length}
  {each}"""
_LOAD_ONE = """
  %from.place = add i64 %start, %i
  %from = getelementptr i64, ptr %given, i64 %from.place
  %one = load i64, ptr %from
  %to.row = mul i64 %i, {lanes}
  %to.place = add i64 %to.row, %lane
  %to = getelementptr i64, ptr %rows, i64 %to.place
  store i64 %one, ptr %to"""
_STORE = """
  %out.person = add i64 %base, %out
  %out.start = mul i64 %out.person, {length}
  {each}"""
_STORE_ONE = """
  %kept.row = mul i64 %k, {lanes}
  %kept.place = add i64 %kept.row, %out
  %kept.at = getelementptr i64, ptr %rows, i64 %kept.place
  %kept = load i64, ptr %kept.at
  %found.place = add i64 %out.start, %k
  %into = getelementptr i64, ptr %found, i64 %found.place
  store i64 %kept, ptr %into"""
_COMPARE = """
  %beyond = add i64 %b, %p
  %stop = call i64 @llvm.smin.i64(i64 %beyond, i64 %end)
  {each}"""
_COMPARE_ONE = """
  %j = add i64 %i, %d
  %x.at = getelementptr <{lanes} x i64>, ptr %rows, i64 %i
  %y.at = getelementptr <{lanes} x i64>, ptr %rows, i64 %j
  %x = load <{lanes} x i64>, ptr %x.at, align 64
  %y = load <{lanes} x i64>, ptr %y.at, align 64
  %low = call <{lanes} x i64> @llvm.smin.v{lanes}i64(<{lanes} x i64> %x, <{lanes} x i64> %y)
  %high = call <{lanes} x i64> @llvm.smax.v{lanes}i64(<{lanes} x i64> %x, <{lanes} x i64> %y)
  store <{lanes} x i64> %low, ptr %x.at, align 64
  store <{lanes} x i64> %high, ptr %y.at, align 64"""


def in_order(x: Int[Array, " number"]) -> Int[Array, " number"]:
    """Return whole numbers in ascending order; quick where many rows are batched on a CPU with 64 bits."""
    length = x.shape[0]
    if x.dtype != jnp.int64 or not 2 <= length <= _MOST:
        return jnp.sort(x)
    try:
        name = _compiled(length)
    except Unsupported:
        return jnp.sort(x)

    def run(rows: Array, *_: Array) -> tuple[Array, Array]:
        shapes = (
            jax.ShapeDtypeStruct((len(rows), 1, length), jnp.float64),
            jax.ShapeDtypeStruct((len(rows), 1), jnp.int32),
        )
        found = jax.ffi.ffi_call(name, shapes)(rows)
        return found[0], found[1]

    def kernel(x: Array) -> Array:
        # The handler's buffers are of floats; what the bits mean is nobody's business on the way.
        rows, _ = joined(run)(jax.lax.bitcast_convert_type(x, jnp.float64)[None])
        return jax.lax.bitcast_convert_type(rows[0, 0], jnp.int64)

    return jax.lax.platform_dependent(x, cpu=kernel, default=jnp.sort)


@cache
def _compiled(length: int) -> str:
    """Return the name of the handler that sorts rows of a length."""
    return registered(_block(length) + handler(_LANES, "double", columns=length, fixed=length, finals=1, tables=()))


def network(length: int) -> Iterator[tuple[int, int, int]]:
    """Return the passes of the network: in each, place i is compared with i + d wherever bit p of i is r."""
    top = 1 << max((length - 1).bit_length() - 1, 0)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            yield p, r, d
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def _block(length: int) -> str:
    """Return the IR of the function that sorts the rows of one block."""
    numbers = {"lanes": _LANES, "length": length}
    load = _LOAD.format(each=_loop("i", "0", str(length), "1", _LOAD_ONE.format(**numbers)), **numbers)
    store = _STORE.format(each=_loop("k", "0", str(length), "1", _STORE_ONE.format(**numbers)), **numbers)
    compare = _COMPARE.format(each=_loop("i", "%b", "%stop", "1", _COMPARE_ONE.format(**numbers)))
    passes = [f"call void @pass(ptr %rows, i64 {p}, i64 {r}, i64 {d})" for p, r, d in network(length)]
    return _BLOCK.format(
        persons=PERSONS,
        given=BUFFERS,
        found=BUFFERS + 3,
        bytes=8 * _LANES * length + 64,
        load=_loop("lane", "0", str(_LANES), "1", load),
        passes="\n  ".join(passes),
        store=_loop("out", "0", "%here", "1", store),
        compare=_loop("b", "%r", "%end", "%twice", compare),
        **numbers,
    )


def _loop(name: str, start: str, stop: str, step: str, body: str) -> str:
    """Return a loop over a counter."""
    return f"""br label %{name}.enter
{name}.enter:
  br label %{name}.head
{name}.head:
  %{name} = phi i64 [{start}, %{name}.enter], [%{name}.next, %{name}.latch]
  %{name}.more = icmp slt i64 %{name}, {stop}
  br i1 %{name}.more, label %{name}.body, label %{name}.end
{name}.body:{body}
  br label %{name}.latch
{name}.latch:
  %{name}.next = add i64 %{name}, {step}
  br label %{name}.head
{name}.end:"""
