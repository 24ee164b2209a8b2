"""Programs as kernels of an NVIDIA GPU: PTX text, one person a thread.

The very function `block` that a CPU runs eight persons at a time is written for plain scalars, and LLVM's back end for
NVIDIA's machines turns it into PTX. XLA hands such text to the driver, which compiles it for the card at hand; nothing
of CUDA's tools is needed here.
"""

from collections.abc import Sequence
from functools import cache

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
from jaxtyping import Array, Float, Int

from vtrial.solve.lanes.batching import joined
from vtrial.solve.lanes.call import checked
from vtrial.solve.lanes.engine import passed, stored
from vtrial.solve.lanes.handler import BUFFERS, PERSONS
from vtrial.solve.lanes.kernel import Block, trace
from vtrial.solve.lanes.program import Program

ENTRY = "lanes"
"""The kernel's name in its module."""
TARGET = "__gpu$xla.gpu.ptx"
"""XLA's name for a call of a kernel given as PTX (openxla/xla, xla/service/gpu/kernel_call.h)."""
THREADS = 64
"""Persons of one block: two warps, so that each thread may have as many registers as there are."""
_TRIPLE, _CARD, _FEATURES = "nvptx64-nvidia-cuda", "sm_75", "+ptx63"
"""The oldest card that CUDA 13 still serves; the driver compiles the text for any later one."""
_INDEX = "llvm.nvvm.read.ptx.sreg"


@cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(_TRIPLE).create_target_machine(cpu=_CARD, features=_FEATURES, opt=3)


def module(program: Program) -> str:
    """Return a program's module for a GPU as LLVM IR."""
    return (
        f'target triple = "{_TRIPLE}"\n'
        + Block(program, trace(program), 1).write()
        + _entry(2 + 1 + len(program.tables))
    )


def _entry(buffers: int) -> str:
    """Return the kernel, which fills a state as a CPU's handler does and runs the thread's person.

    Its parameters are the addresses of what is fixed, of the tables, of the sizes (int32: for each buffer in the order
    of the state its first inner dim and its persons), of the samples and of the finals.
    """
    operands = ["%fixed", *(f"%table{k}" for k in range(buffers - 3)), "%sizes", "%samples", "%finals"]
    order = ["%fixed", "%samples", "%finals", *operands[1:-3]]
    fill = []
    for k, address in enumerate(order):
        fill += _put(BUFFERS + 3 * k, "ptr", address)
        for part in range(2):
            size = f"%size{2 * k + part}"
            fill += [
                f"{size}_at = getelementptr i32, ptr %sizes, i64 {2 * k + part}",
                f"{size}_short = load i32, ptr {size}_at",
                f"{size} = sext i32 {size}_short to i64",
                *_put(BUFFERS + 3 * k + 1 + part, "i64", size),
            ]
    body = [
        f"%state = alloca [{BUFFERS + 3 * buffers} x i64], align 8",
        *(f"%{name}_short = call i32 @{_INDEX}.{what}()" for name, what in _PLACE.items()),
        *(f"%{name} = zext i32 %{name}_short to i64" for name in _PLACE),
        "%before = mul i64 %group, %groups",
        "%person = add i64 %before, %thread",
        *fill,
        *_put(PERSONS, "i64", "%size1"),
        "%present = icmp slt i64 %person, %size1",
        "br i1 %present, label %run, label %leave",
    ]
    parameters = ", ".join(f"ptr {name}" for name in operands)
    lines = [f"define ptx_kernel void @{ENTRY}({parameters}) {{", *(f"  {line}" for line in body)]
    lines += [
        "run:",
        "  call void @block(ptr %state, i64 %person) alwaysinline",
        "  br label %leave",
        "leave:",
        "  ret void",
        "}",
    ]
    declared = [f"declare i32 @{_INDEX}.{what}()" for what in _PLACE.values()]
    return "\n".join(["", *lines, *declared, "@nothing = internal constant i64 -1", ""])


_PLACE = {"group": "ctaid.x", "groups": "ntid.x", "thread": "tid.x"}
"""Where a thread stands."""


def _put(slot: int, kind: str, value: str) -> list[str]:
    """Return the lines that store a value in a slot of the state."""
    return [
        f"%slot{slot} = getelementptr i64, ptr %state, i64 {slot}",
        f"store {kind} {value}, ptr %slot{slot}",
    ]


@cache
def assembly(text: str) -> str:
    """Return a module as PTX."""

    def made() -> bytes:
        return _machine().emit_assembly(passed(text, _machine(), 3)).encode()

    return stored(text, (_TRIPLE, _CARD, _FEATURES), made).decode()


class PtxKernel:
    """A program compiled for NVIDIA GPUs: call it for one person, batch it with `jax.vmap`."""

    def __init__(self, program: Program):
        self.program = program
        self.text = assembly(module(program))
        self._kinds = {"f": jnp.result_type(float), "i": jnp.dtype("int32")}

    def __call__(
        self, fixed: Float[Array, " fixed"], *tables: Float[Array, "_"] | Int[Array, "_"], samples: int
    ) -> tuple[Float[Array, "sample column"], Int[Array, " final"]]:
        """Return the samples, NaN in rows never written, and what `finish` returned."""
        checked(self.program, fixed, tables)

        def run(fixed: Array, *tables: Array) -> tuple[Array, Array]:
            return self._launched(samples, fixed, tables)

        rows, last = joined(run)(fixed[None], *(table[None] for table in tables))
        return rows[0], last[0]

    def _launched(self, samples: int, fixed: Array, tables: Sequence[Array]) -> tuple[Array, Array]:
        """Run all persons, each on a leading axis."""
        persons, program = len(fixed), self.program
        shapes = (
            jax.ShapeDtypeStruct((persons, samples, program.columns), self._kinds["f"]),
            jax.ShapeDtypeStruct((persons, program.finals), self._kinds["i"]),
        )
        if persons == 0:
            return tuple(jnp.zeros(one.shape, one.dtype) for one in shapes)  # pyright: ignore
        inner = [(program.fixed, persons), (samples, persons), (program.finals, persons)]
        inner += [(table.shape[1], len(table)) for table in tables]
        sizes = np.asarray(inner, np.int32).ravel()
        whole = {"grid_x": -(-persons // THREADS), "block_x": THREADS, "shared_mem_bytes": 0}
        whole |= {"grid_y": 1, "grid_z": 1, "block_y": 1, "block_z": 1}
        # The attributes are a dictionary of MLIR only in the newest version of the interface.
        found = jax.ffi.ffi_call(TARGET, shapes, custom_call_api_version=4)(
            fixed, *tables, sizes, name=ENTRY, kernel_type="ptx", kernel_data=self.text,
            **{name: np.int32(number) for name, number in whole.items()},
        )  # fmt: skip
        return found[0], found[1]
