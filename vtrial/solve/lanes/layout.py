"""Where the fields of XLA's call frame lie, computed from the header that the installed jaxlib ships."""

import re
from functools import cache
from pathlib import Path

import jax

_SIZES = {"size_t": 8, "int64_t": 8, "uint64_t": 8, "int": 4, "int32_t": 4, "uint32_t": 4, "XLA_FFI_Handler_Traits": 4}
_STRUCT = re.compile(r"^(?:typedef )?struct (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ENUM = re.compile(r"^typedef enum \{(.*?)^\} (\w+);", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^(?:const |struct )*(\w+)\s*(\*+\s*|\s)(\w+)$")
_ENTRY = re.compile(r"^_XLA_FFI_API_STRUCT_FIELD\((\w+)\)$")


@cache
def header() -> str:
    """Return the header's text without comments."""
    text = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text(encoding="utf-8")
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


@cache
def version() -> tuple[int, int]:
    """Return the interface's major and minor version."""
    major, minor = (re.search(rf"define XLA_FFI_API_{part} (\d+)", header()) for part in ("MAJOR", "MINOR"))
    assert major
    assert minor
    return int(major[1]), int(minor[1])


@cache
def _structs() -> dict[str, list[str]]:
    bodies = {match[1]: match[2] for match in _STRUCT.finditer(header())}
    return {name: [" ".join(line.split()) for line in _fields(body)] for name, body in bodies.items()}


def _fields(body: str) -> list[str]:
    return [line for line in body.split(";") if line.strip()]


@cache
def enumerator(name: str) -> int:
    """Return the number behind a constant of an enumeration."""
    match = re.search(rf"\b{name} = (\d+)", header())
    assert match, name
    return int(match[1])


@cache
def _field(line: str) -> tuple[str, int]:
    """Return a field's name and size; its alignment is at most 8 and divides its size or is 8."""
    if entry := _ENTRY.match(line):
        return entry[1], 8
    match = _FIELD.match(line)
    assert match, line
    kind, stars, name = match.groups()
    if "*" in stars:
        return name, 8
    if kind in {match[2] for match in _ENUM.finditer(header())}:
        return name, 4
    return name, _SIZES.get(kind) or size(kind)


@cache
def _offsets(struct: str) -> dict[str, tuple[int, int]]:
    place, result = 0, {}
    for line in _structs()[struct]:
        name, bytes_ = _field(line)
        place += -place % min(bytes_, 8)
        result[name] = (place, bytes_)
        place += bytes_
    return result


def offset(struct: str, field: str) -> int:
    """Return a field's distance in bytes from the start of its struct."""
    return _offsets(f"XLA_FFI_{struct}")[field][0]


@cache
def used(struct: str) -> int:
    """Return the bytes from a struct's start to its last field's end: what XLA calls its size."""
    place, bytes_ = list(_offsets(f"XLA_FFI_{struct}").values())[-1]
    return place + bytes_


@cache
def size(struct: str) -> int:
    """Return a struct's size in bytes, its name in full."""
    return used(struct.removeprefix("XLA_FFI_")) + -used(struct.removeprefix("XLA_FFI_")) % 8
