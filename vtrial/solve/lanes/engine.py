"""Compiles IR to machine code in this process, kept in memory and beside JAX's compilation cache."""

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import llvmlite
import llvmlite.binding as llvm

from vtrial.solve.lanes.emit import Unsupported

_engines: list[llvm.ExecutionEngine] = []
"""Machine code lives as long as its engine, and XLA may keep a handler's address for good."""


@cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=2)


@cache
def _features() -> str:
    return llvm.get_host_cpu_features().flatten()


def _host() -> tuple[str, ...]:
    return llvm.get_host_cpu_name(), _features(), llvm.get_default_triple()


@cache
def wide() -> bool:
    """Return whether this processor has registers of 512 bits."""
    return bool(llvm.get_host_cpu_features().get("avx512f"))


def digest(text: str) -> str:
    """Return a stable name for a module: it names the FFI target and, with the machine's, the cached code."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _folder() -> Path | None:
    root = jax.config.jax_compilation_cache_dir
    return Path(root) / "lanes" if root and "://" not in str(root) else None


def _cached(text: str, machine: tuple[str, ...]) -> Path | None:
    folder = _folder()
    return folder / (digest("\n".join((text, *machine, llvmlite.__version__))) + ".o") if folder else None


def _read(path: Path | None) -> bytes | None:
    """Return cached code if its checksum holds."""
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        return None
    code = content[32:]
    return code if len(content) > 32 and hashlib.sha256(code).digest() == content[:32] else None


def _store(path: Path | None, code: bytes) -> None:
    """Write code whole or not at all; a folder that cannot be written to is no reason to fail."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(file.name, path)
    except OSError:
        return


def stored(text: str, machine: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """Return what is kept of a module's compilation for a machine, made and kept if it is not there."""
    path = _cached(text, machine)
    if (code := _read(path)) is None:
        code = make()
        _store(path, code)
    return code


def optimised(text: str) -> llvm.ModuleRef:
    """Return a module for this processor after LLVM's passes."""
    return passed(text, _machine(), 1)


def passed(text: str, machine: llvm.TargetMachine, level: int) -> llvm.ModuleRef:
    """Return a verified module after LLVM's passes; its lanes are as wanted, so passes that make vectors are off."""
    module = llvm.parse_assembly(text)
    module.verify()
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def _object(text: str) -> bytes:
    return stored(text, _host(), lambda: _machine().emit_object(optimised(text)))


@cache
def address(text: str, function: str) -> int:
    """Return where a module's function lies, compiled on first use."""
    if os.name != "posix" or struct.calcsize("P") != 8:
        raise Unsupported("Lane kernels need a 64-bit POSIX system.")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(_object(text)))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(function)
