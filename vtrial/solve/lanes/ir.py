"""Writes LLVM IR for values that live in the lanes of a SIMD register, or for plain scalars: one lane."""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

FLOATS = ("double", "float")
BITS = {"double": "i64", "float": "i32"}
"""The integer type as wide as each float type."""
SIGNED = ("i32", "i64")
_SUFFIX = {"double": "f64", "float": "f32", "ptr": "p0"}


@dataclass(frozen=True, slots=True)
class Value:
    """An operand: the same scalar type in every lane."""

    text: str
    type: str
    constant: bool | int | float | None = None
    """Its number, if it is known while compiling."""


def _literal(number: bool | int | float, type: str) -> str:
    if type == "i1":
        return "true" if number else "false"
    if type in SIGNED:
        return str(int(number))
    rounded = struct.unpack("<f", struct.pack("<f", number))[0] if type == "float" and math.isfinite(number) else number
    return "0x" + struct.pack(">d", rounded).hex().upper()


class Builder:
    """Collects instructions; `width` lanes to a value, and no vectors at all where that is 1."""

    def __init__(self, width: int):
        self.width = width
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self._names = 0
        self._constants: dict[tuple, Value] = {}

    def vector(self, type: str) -> str:
        """Return the LLVM type of a value whose lanes are of `type`."""
        return type if self.width == 1 else f"<{self.width} x {type}>"

    def suffix(self, type: str) -> str:
        """Return how an intrinsic's name spells the vector of `type`."""
        lanes = "" if self.width == 1 else f"v{self.width}"
        return lanes + _SUFFIX.get(type, type)

    def typed(self, value: Value) -> str:
        """Return the operand with its type before it."""
        return f"{self.vector(value.type)} {value.text}"

    def name(self) -> str:
        """Return a new local name."""
        self._names += 1
        return f"%v{self._names}"

    def line(self, text: str) -> None:
        """Append a line that yields no value."""
        self.lines.append(f"  {text}")

    def scalar(self, text: str) -> str:
        """Append an instruction outside the lanes and return its result's name."""
        name = self.name()
        self.lines.append(f"  {name} = {text}")
        return name

    def value(self, text: str, type: str) -> Value:
        """Append an instruction and return its result."""
        return Value(self.scalar(text), type)

    def constant(self, number: bool | int | float, type: str) -> Value:
        """Return the same number in every lane."""
        key = (type, _literal(number, type))
        if key not in self._constants:
            text = key[1] if self.width == 1 else f"splat ({type} {key[1]})"
            self._constants[key] = Value(text, type, number)
        return self._constants[key]

    def splat(self, scalar: str, type: str) -> Value:
        """Return a scalar that is known only when the kernel runs, in every lane."""
        if self.width == 1:
            return Value(scalar, type)
        vector = self.vector(type)
        first = self.scalar(f"insertelement {vector} poison, {type} {scalar}, i32 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.value(f"shufflevector {vector} {first}, {vector} poison, {zeros}", type)

    def lanes(self) -> Value:
        """Return 0, 1, 2, ..."""
        if self.width == 1:
            return self.constant(0, "i64")
        return Value("<" + ", ".join(f"i64 {lane}" for lane in range(self.width)) + ">", "i64")

    def binary(self, operation: str, a: Value, b: Value, flags: str = "") -> Value:
        """Apply a two-operand instruction."""
        return self.value(f"{operation} {flags}{self.vector(a.type)} {a.text}, {b.text}", a.type)

    def _arithmetic(self, operation: str, a: Value, b: Value) -> Value:
        if a.type in FLOATS:
            return self.binary("f" + operation, a, b, "contract ")
        return self.binary(operation, a, b)

    def add(self, a: Value, b: Value) -> Value:
        """Return a + b; a float sum may be fused with the product before it."""
        return self._arithmetic("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """Return a - b."""
        return self._arithmetic("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """Return a b."""
        return self._arithmetic("mul", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """Return a / b of floats."""
        return self.binary("fdiv", a, b)

    def neg(self, a: Value) -> Value:
        """Return -a."""
        if a.type in FLOATS:
            return self.value(f"fneg {self.typed(a)}", a.type)
        return self.sub(self.constant(0, a.type), a)

    def shift(self, operation: str, a: Value, places: int) -> Value:
        """Shift an integer (shl, lshr or ashr)."""
        return self.binary(operation, a, self.constant(places, a.type))

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """Compare floats (olt, une, ...) or integers (slt, ne, ...)."""
        operation = "fcmp" if a.type in FLOATS else "icmp"
        return self.value(f"{operation} {predicate} {self.vector(a.type)} {a.text}, {b.text}", "i1")

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """Return `yes` in the lanes where `condition` holds and `no` in the others."""
        if condition.constant is not None:
            return yes if condition.constant else no
        return (
            no
            if yes == no
            else self.value(f"select {self.typed(condition)}, {self.typed(yes)}, {self.typed(no)}", yes.type)
        )

    def both(self, a: Value, b: Value) -> Value:
        """Return a and b."""
        return self.binary("and", a, b)

    def either(self, a: Value, b: Value) -> Value:
        """Return a or b."""
        return self.binary("or", a, b)

    def invert(self, a: Value) -> Value:
        """Return not a, bit by bit."""
        return self.binary("xor", a, self.constant(True if a.type == "i1" else -1, a.type))

    def cast(self, operation: str, a: Value, type: str) -> Value:
        """Convert to another type (sitofp, zext, bitcast, ...)."""
        return self.value(f"{operation} {self.typed(a)} to {self.vector(type)}", type)

    def bits(self, a: Value) -> Value:
        """Return a float's bits as an integer."""
        return self.cast("bitcast", a, BITS[a.type])

    def call(self, intrinsic: str, *operands: Value) -> Value:
        """Call an intrinsic whose operands and result have one type."""
        type = operands[0].type
        vector, name = self.vector(type), f"@llvm.{intrinsic}.{self.suffix(type)}"
        self.declarations.add(f"declare {vector} {name}({', '.join([vector] * len(operands))})")
        return self.value(f"call {vector} {name}({', '.join(map(self.typed, operands))})", type)

    def muladd(self, a: Value, b: Value, c: Value) -> Value:
        """Return a b + c, fused where the machine can."""
        return self.call("fmuladd", a, b, c)

    def polynomial(self, coefficients: Iterable[float], x: Value) -> Value:
        """Return the polynomial with these coefficients, that of x^0 first."""
        *rest, last = (self.constant(number, x.type) for number in coefficients)
        result = last
        for number in reversed(rest):
            result = self.muladd(result, x, number)
        return result

    def any(self, mask: Value) -> str:
        """Return, as a scalar i1, whether a mask holds in any lane."""
        if self.width == 1:
            return mask.text
        name = f"@llvm.vector.reduce.or.{self.suffix('i1')}"
        self.declarations.add(f"declare i1 {name}({self.vector('i1')})")
        return self.scalar(f"call i1 {name}({self.typed(mask)})")

    def gather(self, pointer: str, index: Value, type: str) -> Value:
        """Load one number a lane from `pointer` plus `index` (i64)."""
        vector, places, mask = self.vector(type), self._places(pointer, index, type), self.constant(True, "i1")
        if self.width == 1:
            return self.value(f"load {type}, {places}", type)
        name = f"@llvm.masked.gather.{self.suffix(type)}.{self.suffix('ptr')}"
        self.declarations.add(f"declare {vector} {name}({self.vector('ptr')}, i32, {self.vector('i1')}, {vector})")
        return self.value(
            f"call {vector} {name}({places}, i32 {_SIZE[type]}, {self.typed(mask)}, {vector} poison)", type
        )

    def scatter(self, value: Value, pointer: str, index: Value, mask: Value) -> None:
        """Store a value at `pointer` plus `index` (i64) in the lanes of `mask`."""
        vector, places = self.vector(value.type), self._places(pointer, index, value.type)
        if self.width == 1:
            return self._store(value, places, mask)
        name = f"@llvm.masked.scatter.{self.suffix(value.type)}.{self.suffix('ptr')}"
        self.declarations.add(f"declare void {name}({vector}, {self.vector('ptr')}, i32, {self.vector('i1')})")
        self.line(f"call void {name}({self.typed(value)}, {places}, i32 {_SIZE[value.type]}, {self.typed(mask)})")

    def _store(self, value: Value, place: str, mask: Value) -> None:
        """Store a scalar where `mask` holds, in a branch of its own."""
        self._names += 1
        write, after = f"write{self._names}", f"after{self._names}"
        self.line(f"br i1 {mask.text}, label %{write}, label %{after}")
        self.lines.append(f"{write}:")
        self.line(f"store {self.typed(value)}, {place}")
        self.line(f"br label %{after}")
        self.lines.append(f"{after}:")

    def _places(self, pointer: str, index: Value, type: str) -> str:
        place = self.scalar(f"getelementptr {type}, ptr {pointer}, {self.typed(index)}")
        return f"{self.vector('ptr')} {place}"


_SIZE = {"double": 8, "float": 4, "i32": 4}
