"""Assembles a kernel: one block of persons in the lanes, from loading their numbers to storing their results.

The kernel reads its shared state from a row of 8-byte slots that the handler fills. A lane that is no longer active
keeps its carry and writes nothing more; a row asked of a table beyond its ends is the nearest one there is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vtrial.solve.lanes.elementwise import convert
from vtrial.solve.lanes.emit import Emitter, Values, single, type_of
from vtrial.solve.lanes.handler import BUFFERS, PERSONS, TABLES
from vtrial.solve.lanes.ir import Builder, Value
from vtrial.solve.lanes.program import Program, Step
from vtrial.solve.lanes.schedule import scheduled

_FIXED, _SAMPLES, _FINALS, _TABLES = (BUFFERS + 3 * number for number in range(TABLES + 1))
"""The state's slots: an address each, then the first dim of what is there, then the persons it is for."""


class Traced(NamedTuple):
    """A program's four parts as jaxprs."""

    init: Any
    step: Any
    emit: Any
    finish: Any
    carried: list[jax.ShapeDtypeStruct]


class _Table(NamedTuple):
    address: str
    start: Value
    last: Value
    rows: Value
    kind: str


def trace(program: Program) -> Traced:
    """Trace a program's parts; what a step carries on must be shaped and typed as what `init` made."""
    fixed = (jax.ShapeDtypeStruct((), jnp.result_type(float)),) * program.fixed
    init, carry = _jaxpr(program.init, fixed)
    step, left = _jaxpr(lambda *arguments: Step(*program.step(*arguments)), fixed, carry)
    before, after = _described(carry), _described(left.carry)
    if before != after:
        raise TypeError(f"A step must carry on what it was given, {before}, not {after}.")
    emit, row = _jaxpr(lambda *arguments: tuple(program.emit(*arguments)), fixed, left.arguments)
    finish, finals = _jaxpr(lambda *arguments: tuple(program.finish(*arguments)), fixed, carry)
    for what, expected, given in (("emit", program.columns, row), ("finish", program.finals, finals)):
        if len(given) != expected:
            raise TypeError(f"The program's '{what}' returns {len(given)} numbers instead of {expected}.")
        if any(one.shape for one in given):
            raise TypeError(f"The program's '{what}' returns arrays, not numbers.")
    return Traced(init, scheduled(step, left), emit, finish, jax.tree.leaves(carry))


def _jaxpr(function: Callable, *arguments: Any) -> tuple[Any, Any]:
    return jax.make_jaxpr(function, return_shape=True)(*arguments)


def _described(carry: Any) -> tuple[Any, list[str]]:
    return jax.tree.structure(carry), [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(carry)]


def _flat(arrays: list[Values]) -> list[Value]:
    return [value for values in arrays for value in values.flat]


class Block:
    """Writes the function `block(state, number)`."""

    def __init__(self, program: Program, traced: Traced, width: int):
        self.program, self.traced = program, traced
        self.float = type_of(jnp.result_type(float))
        self.b = Builder(width)

    def write(self) -> str:
        """Return the function and the declarations it needs."""
        b = self.b
        self._enter()
        emitter = Emitter(b, self._load, [table.rows for table in self.tables])
        carry = _flat(emitter.jaxpr(self.traced.init, self.fixed))
        b.line("br label %loop")
        b.lines.append("loop:")
        phis = len(b.lines)
        kept = [Value(b.name(), value.type) for value in carry]
        alone = b.width == 1
        alive = b.constant(True, "i1") if alone else Value(b.name(), "i1")
        arrays = self._shaped(kept)
        results = emitter.jaxpr(self.traced.step, [*self.fixed, *arrays])
        count = len(arrays)
        moved = [b.select(alive, new, old) for new, old in zip(_flat(results[:count]), kept, strict=True)]
        active, emit, row = (values.item() for values in results[count : count + 3])
        self._samples(emitter, b.both(alive, emit), row, results[count + 3 :])
        still = b.both(alive, active)
        b.line(f"br i1 {b.any(still)}, label %loop, label %leave")
        changing = list(zip(kept, carry, moved, strict=True))
        changing += [] if alone else [(alive, self.present, still)]
        b.lines[phis:phis] = [
            f"  {old.text} = phi {b.vector(old.type)} [{first.text}, %entry], [{later.text}, %latch]"
            for old, first, later in changing
        ]
        b.lines.append("leave:")
        self._finals(emitter.jaxpr(self.traced.finish, [*self.fixed, *self._shaped(moved)]))
        body = ["define internal void @block(ptr %state, i64 %number) {", "entry:", *b.lines, "  ret void", "}"]
        return "\n".join([*body, *sorted(b.declarations)])

    def _whole(self, number: int) -> Value:
        return self.b.constant(number, "i64")

    def _shaped(self, values: list[Value]) -> list[Values]:
        """Return a flat carry as arrays again."""
        arrays, start = [], 0
        for leaf in self.traced.carried:
            array = np.empty(leaf.size, object)
            array[:] = values[start : start + leaf.size]
            arrays.append(array.reshape(leaf.shape))
            start += leaf.size
        return arrays

    def _slot(self, slot: int, kind: str = "i64") -> str:
        place = self.b.scalar(f"getelementptr i64, ptr %state, i64 {slot}")
        return self.b.scalar(f"load {kind}, ptr {place}")

    def _enter(self) -> None:
        """Find the block's persons and load what is fixed; lanes beyond the last person repeat that one, unwritten."""
        b = self.b
        base = b.scalar(f"mul i64 %number, {b.width}")
        persons = self._slot(PERSONS)
        lanes = b.add(b.splat(base, "i64"), b.lanes())
        self.present = b.compare("slt", lanes, b.splat(persons, "i64"))
        last = b.splat(b.scalar(f"sub i64 {persons}, 1"), "i64")
        self.person = b.select(self.present, lanes, last)
        self.samples, self.finals, rows = (
            self._slot(_SAMPLES, "ptr"),
            self._slot(_FINALS, "ptr"),
            self._slot(_SAMPLES + 1),
        )
        self.limit = b.splat(rows, "i64")
        self.tables = [self._table(number, kind) for number, kind in enumerate(self.program.tables)]
        self._blank(base, persons, rows)
        address, first = self._slot(_FIXED, "ptr"), b.mul(self.person, self._whole(self.program.fixed))
        self.fixed = [
            single(b.gather(address, b.add(first, self._whole(i)), self.float)) for i in range(self.program.fixed)
        ]

    def _table(self, number: int, kind: str) -> _Table:
        b = self.b
        first = _TABLES + 3 * number
        address, rows, persons = self._slot(first, "ptr"), self._slot(first + 1), self._slot(first + 2)
        empty = b.scalar(f"icmp eq i64 {rows}, 0")
        address = b.scalar(f"select i1 {empty}, ptr @nothing, ptr {address}")
        last = b.scalar(f"sub i64 {rows}, 1")
        last = b.scalar(f"select i1 {empty}, i64 0, i64 {last}")
        every = b.splat(rows, "i64")
        # Nobody's table is never read, but a division by 0 would end the process.
        some = b.scalar(f"call i64 @llvm.smax.i64(i64 {persons}, i64 1)")
        b.declarations |= {"declare i64 @llvm.smax.i64(i64, i64)"}
        turn = b.binary("srem", self.person, b.splat(some, "i64"))
        start, length = b.mul(turn, every), convert(b, every, "i32")
        return _Table(address, start, b.splat(last, "i64"), length, self.float if kind == "f" else "i32")

    def _load(self, number: int, row: Value) -> Value:
        b, table = self.b, self.tables[number]
        row, zero = convert(b, row, "i64"), self._whole(0)
        row = b.select(b.compare("slt", row, zero), zero, row)
        row = b.select(b.compare("sgt", row, table.last), table.last, row)
        return b.gather(table.address, b.add(table.start, row), table.kind)

    def _blank(self, base: str, persons: str, rows: str) -> None:
        """Fill the block's samples with bytes of ones, which make a NaN."""
        b, bytes_ = self.b, 8 if self.float == "double" else 4
        left = b.scalar(f"sub i64 {persons}, {base}")
        here = b.scalar(f"call i64 @llvm.smin.i64(i64 {left}, i64 {b.width})")
        per_person = b.scalar(f"mul i64 {rows}, {self.program.columns * bytes_}")
        start = b.scalar(f"getelementptr i8, ptr {self.samples}, i64 {b.scalar(f'mul i64 {base}, {per_person}')}")
        length = b.scalar(f"mul i64 {here}, {per_person}")
        b.line(f"call void @llvm.memset.p0.i64(ptr {start}, i8 -1, i64 {length}, i1 false)")
        b.declarations |= {
            "declare i64 @llvm.smin.i64(i64, i64)",
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
        }

    def _samples(self, emitter: Emitter, asked: Value, row: Value, arguments: list[Values]) -> None:
        """Emit a row of samples in the lanes that ask for it, skipped if none does."""
        b, columns = self.b, self._whole(self.program.columns)
        row = convert(b, row, "i64")
        inside = b.both(b.compare("sge", row, self._whole(0)), b.compare("slt", row, self.limit))
        mask = b.both(asked, inside)
        b.line(f"br i1 {b.any(mask)}, label %emit, label %latch")
        b.lines.append("emit:")
        values = _flat(emitter.jaxpr(self.traced.emit, [*self.fixed, *arguments]))
        first = b.mul(b.add(b.mul(self.person, self.limit), row), columns)
        for i, value in enumerate(values):
            b.scatter(convert(b, value, self.float), self.samples, b.add(first, self._whole(i)), mask)
        b.line("br label %latch")
        b.lines.append("latch:")

    def _finals(self, results: list[Values]) -> None:
        b = self.b
        first = b.mul(self.person, self._whole(self.program.finals))
        for i, values in enumerate(results):
            place = b.add(first, self._whole(i))
            b.scatter(convert(b, values.item(), "i32"), self.finals, place, self.present)
