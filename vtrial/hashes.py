"""Hashes that say which bytes went in and came out."""

import hashlib
from pathlib import Path


def files(folder: Path) -> list[Path]:
    """Return every file below a folder, in one order."""
    return sorted(f for f in folder.rglob("*") if f.is_file())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of every file below a folder with its relative path."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in files(path):
        total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return total.hexdigest()
