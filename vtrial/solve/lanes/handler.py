"""The function XLA calls, in LLVM IR: it checks the call frame, fills a kernel's state and shares blocks among threads.

Threads take blocks of persons from one counter, so none waits for another until nothing is left to take. The state
lives until the last thread that knows of it lets go: XLA may start a task after all the work is done.

In the text `<Struct.field>` stands for a field's offset, `<Struct>` for a struct's size as XLA counts it.
"""

import re
import sys
from collections.abc import Sequence

from vtrial.solve.lanes import frame
from vtrial.solve.lanes.layout import enumerator, offset, used, version

NEXT, DONE, REFERENCES, BLOCKS, PERSONS, BUFFERS = range(6)
"""Slots of 8 bytes in a kernel's state; from BUFFERS on each buffer takes three: its address, its first inner dim and
the persons it is for."""
TABLES = 3
"""Buffers before the tables: what is fixed, the samples, the finals."""
FEW_BLOCKS = 8
"""Fewer blocks than these are not worth another thread."""

_WORK = """
define internal void @work(ptr %state) {
  %done = getelementptr i64, ptr %state, i64 {DONE}
  %blocks = call i64 @number(ptr %state, i64 {BLOCKS_BYTE})
  br label %take
take:
  %block = atomicrmw add ptr %state, i64 1 monotonic
  %left = icmp slt i64 %block, %blocks
  br i1 %left, label %run, label %leave
run:
  call void @block(ptr %state, i64 %block)
  %before = atomicrmw add ptr %done, i64 1 release
  br label %take
leave:
  ret void
}
define internal void @release(ptr %state) {
  %references = getelementptr i64, ptr %state, i64 {REFERENCES}
  %before = atomicrmw sub ptr %references, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %drop, label %leave
drop:
  call void @free(ptr %state)
  br label %leave
leave:
  ret void
}
define internal void @task(ptr %state) {
  call void @work(ptr %state)
  call void @release(ptr %state)
  ret void
}
; waits for the blocks that other threads have begun
define internal void @wait(ptr %state) {
  %done = getelementptr i64, ptr %state, i64 {DONE}
  %blocks = call i64 @number(ptr %state, i64 {BLOCKS_BYTE})
  br label %look
look:
  %finished = load atomic i64, ptr %done acquire, align 8
  %waiting = icmp slt i64 %finished, %blocks
  br i1 %waiting, label %pause, label %leave
pause:
  %yielded = call i32 @sched_yield()
  br label %look
leave:
  ret void
}
"""

_INVITE = """
; asks XLA's other threads to take part, if there is enough to do
define internal void @invite(ptr %frame, ptr %state) {
entry:
  %threads = alloca i64
  %question = alloca [<ThreadPool_NumThreads_Args> x i8], align 8
  %order = alloca [<ThreadPool_Schedule_Args> x i8], align 8
  %apology = alloca [<Error_Destroy_Args> x i8], align 8
  %references = getelementptr i64, ptr %state, i64 {REFERENCES}
  %blocks = call i64 @number(ptr %state, i64 {BLOCKS_BYTE})
  %few = icmp slt i64 %blocks, {FEW_BLOCKS}
  br i1 %few, label %leave, label %ask
ask:
  %api = call ptr @pointer(ptr %frame, i64 <CallFrame.api>)
  %context = call ptr @pointer(ptr %frame, i64 <CallFrame.ctx>)
  store i64 1, ptr %threads
  call void @put_number(ptr %question, i64 0, i64 <ThreadPool_NumThreads_Args>)
  call void @put_pointer(ptr %question, i64 <ThreadPool_NumThreads_Args.extension_start>, ptr null)
  call void @put_pointer(ptr %question, i64 <ThreadPool_NumThreads_Args.ctx>, ptr %context)
  call void @put_pointer(ptr %question, i64 <ThreadPool_NumThreads_Args.num_threads>, ptr %threads)
  %count = call ptr @pointer(ptr %api, i64 <Api.XLA_FFI_ThreadPool_NumThreads>)
  %unknown = call ptr %count(ptr %question)
  %answered = icmp eq ptr %unknown, null
  br i1 %answered, label %prepare, label %trouble
prepare:
  %available = load i64, ptr %threads
  %wanted = call i64 @llvm.smin.i64(i64 %available, i64 %blocks)
  call void @put_number(ptr %order, i64 0, i64 <ThreadPool_Schedule_Args>)
  call void @put_pointer(ptr %order, i64 <ThreadPool_Schedule_Args.extension_start>, ptr null)
  call void @put_pointer(ptr %order, i64 <ThreadPool_Schedule_Args.ctx>, ptr %context)
  call void @put_pointer(ptr %order, i64 <ThreadPool_Schedule_Args.task>, ptr @task)
  call void @put_pointer(ptr %order, i64 <ThreadPool_Schedule_Args.data>, ptr %state)
  %schedule = call ptr @pointer(ptr %api, i64 <Api.XLA_FFI_ThreadPool_Schedule>)
  br label %next
next:
  %asked = phi i64 [1, %prepare], [%more, %accepted]
  %left = icmp slt i64 %asked, %wanted
  br i1 %left, label %start, label %leave
start:
  %held = atomicrmw add ptr %references, i64 1 monotonic
  %refused = call ptr %schedule(ptr %order)
  %fine = icmp eq ptr %refused, null
  br i1 %fine, label %accepted, label %unheld
accepted:
  %more = add i64 %asked, 1
  br label %next
unheld:
  %let_go = atomicrmw sub ptr %references, i64 1 monotonic
  br label %trouble
trouble:
  %error = phi ptr [%unknown, %ask], [%refused, %unheld]
  call void @put_number(ptr %apology, i64 0, i64 <Error_Destroy_Args>)
  call void @put_pointer(ptr %apology, i64 <Error_Destroy_Args.extension_start>, ptr null)
  call void @put_pointer(ptr %apology, i64 <Error_Destroy_Args.error>, ptr %error)
  %destroy = call ptr @pointer(ptr %api, i64 <Api.XLA_FFI_Error_Destroy>)
  call void %destroy(ptr %apology)
  br label %leave
leave:
  ret void
}
"""

_ADVISE = """
; asks for huge pages where the samples are many: a page fault every 4 kB costs as much as solving a linear model
define internal void @advise(ptr %state) {
  %at = getelementptr i64, ptr %state, i64 {SAMPLES}
  %start = load i64, ptr %at
  %rows = call i64 @number(ptr %at, i64 8)
  %persons = call i64 @number(ptr %at, i64 16)
  %all = mul i64 %rows, %persons
  %bytes = mul i64 %all, {ROW_BYTES}
  %end = add i64 %start, %bytes
  %above = add i64 %start, {HUGE_LESS_1}
  %first = and i64 %above, {HUGE_MASK}
  %left = sub i64 %end, %first
  %many = icmp sgt i64 %left, {HUGE_LESS_1}
  br i1 %many, label %ask, label %leave
ask:
  %whole = and i64 %left, {HUGE_MASK}
  %place = inttoptr i64 %first to ptr
  ; a refusal costs time only
  %answer = call i32 @madvise(ptr %place, i64 %whole, i32 {HUGE_PAGES})
  br label %leave
leave:
  ret void
}
declare i32 @madvise(ptr, i64, i32)
"""
_HUGE = 2**21
"""Bytes of a huge page."""
_MADV_HUGEPAGE = 14
"""Linux's number of the advice (madvise(2)); elsewhere none is given."""

_HANDLER = """
define ptr @handler(ptr %frame) {
entry:
  %extension = call ptr @pointer(ptr %frame, i64 <CallFrame.extension_start>)
  %plain = icmp eq ptr %extension, null
  br i1 %plain, label %look, label %metadata
metadata:
  call void @answer(ptr %extension)
  ret ptr null
look:
  %stage = call i32 @int(ptr %frame, i64 <CallFrame.stage>)
  %execute = icmp eq i32 %stage, {EXECUTE}
  br i1 %execute, label %read, label %leave
read:
  %state = call ptr @malloc(i64 {STATE_BYTES})
  %known = call i1 @fill(ptr %frame, ptr %state)
  br i1 %known, label %run, label %refuse
refuse:
  call void @free(ptr %state)
  %error = call ptr @complaint(ptr %frame)
  ret ptr %error
run:
  {ADVISE}
  call void @invite(ptr %frame, ptr %state)
  call void @work(ptr %state)
  call void @wait(ptr %state)
  call void @release(ptr %state)
  br label %leave
leave:
  ret ptr null
}
declare ptr @malloc(i64)
declare void @free(ptr)
declare i32 @sched_yield()
"""

_MESSAGE = "A lane kernel was called with buffers of another type or shape than it was compiled for."
ANY = -1
"""A last dim that only the run-time buffer knows."""


def handler(width: int, float_type: str, columns: int, fixed: int, finals: int, tables: Sequence[str]) -> str:
    """Return the IR of `handler`, which runs a module's `block` for all persons of a call."""
    kinds = {"f": enumerator(f"XLA_FFI_DataType_{'F64' if float_type == 'double' else 'F32'}")}
    kinds["i"] = enumerator("XLA_FFI_DataType_S32")
    operands = offset("CallFrame", "args") + offset("Args", "args")
    results = offset("CallFrame", "rets") + offset("Rets", "rets")
    buffers = [
        (operands, 0, kinds["f"], 1, fixed),
        (results, 0, kinds["f"], 2, columns),
        (results, 1, kinds["i"], 1, finals),
        *((operands, 1 + number, kinds[kind], 1, ANY) for number, kind in enumerate(tables)),
    ]
    numbers = {"WIDTH": width, "WIDTH_LESS_1": width - 1, "COUNT": len(buffers), "OPERANDS": 1 + len(tables)}
    numbers["ROW_BYTES"] = columns * (8 if float_type == "double" else 4)
    advised = sys.platform == "linux"
    run = _HANDLER.replace("{ADVISE}", "call void @advise(ptr %state)" if advised else "; no advice")
    text = frame.ACCESS + frame.ANSWER + frame.READ + frame.COMPLAINT + _WORK + _INVITE + _ADVISE * advised + run
    return _filled(text, numbers | _constants(len(buffers))) + _globals(buffers)


def _constants(buffers: int) -> dict[str, int]:
    slots = {"DONE": DONE, "REFERENCES": REFERENCES, "BLOCKS": BLOCKS, "PERSONS": PERSONS}
    major, minor = version()
    return {
        **slots,
        **{f"{name}_BYTE": 8 * slot for name, slot in slots.items()},
        "BUFFERS": BUFFERS,
        "SAMPLES": BUFFERS + 3,
        "HUGE_LESS_1": _HUGE - 1,
        "HUGE_MASK": -_HUGE,
        "HUGE_PAGES": _MADV_HUGEPAGE,
        "STATE_BYTES": 8 * (BUFFERS + 3 * buffers),
        "TABLES": TABLES,
        "FEW_BLOCKS": FEW_BLOCKS,
        "ARGS_SIZE": offset("CallFrame", "args") + offset("Args", "size"),
        "RETS_SIZE": offset("CallFrame", "rets") + offset("Rets", "size"),
        "MAJOR": major,
        "MINOR": minor,
        "METADATA": enumerator("XLA_FFI_Extension_Metadata"),
        "EXECUTE": enumerator("XLA_FFI_ExecutionStage_EXECUTE"),
        "INVALID": enumerator("XLA_FFI_Error_Code_INVALID_ARGUMENT"),
    }


def _filled(text: str, numbers: dict[str, int]) -> str:
    text = re.sub(r"<(\w+)\.(\w+)>", lambda match: str(offset(match[1], match[2])), text)
    text = re.sub(r"<(\w+)>", lambda match: str(used(match[1])), text)
    return re.sub(r"\{([A-Z_0-9]+)\}", lambda match: str(numbers[match[1]]), text)


def _globals(buffers: Sequence[tuple[int, ...]]) -> str:
    rows = ", ".join(f"[5 x i64] [{', '.join(f'i64 {number}' for number in row)}]" for row in buffers)
    return (
        f"@buffers = internal constant [{len(buffers)} x [5 x i64]] [{rows}]\n"
        f'@message = internal constant [{len(_MESSAGE) + 1} x i8] c"{_MESSAGE}\\00"\n'
        "@nothing = internal constant i64 -1\n"
    )
