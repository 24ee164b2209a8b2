"""The state of an unfinished inference on disk: killed at any instant, it goes on to the same draws."""

import hashlib
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from vtrial.data import Dataset
from vtrial.likelihood import StatisticalModel

log = logging.getLogger(__name__)

_STATE, _PART = "state.npz", "part_{:06d}.npz"


class Checkpoint:
    """A folder with the last saved state, and the draws up to it in numbered parts.

    A part is written before the state that counts it, each under another name first and then renamed: whatever the
    instant of a kill, the folder holds a state and the draws that belong to it. The state carries the identity of what
    is run; the state of anything else is thrown away.
    """

    def __init__(self, folder: Path, every: float = 20.0):
        """Use a folder, which need not exist; save at most every so many seconds."""
        self.folder, self.every = folder, every
        self._identity, self._parts, self._saved = "", 0, time.monotonic()

    def claim(self, identity: str) -> None:
        """Say what is run; remove what a run of anything else has left."""
        self._identity, self._parts, self._saved = identity, 0, time.monotonic()
        if self.folder.is_dir() and self._about().get("identity") != identity:
            log.info("           the saved state in %s belongs to something else: starting anew", self.folder)
            self.clear()

    def _about(self) -> dict[str, Any]:
        try:
            with np.load(self.folder / _STATE) as file:
                return json.loads(str(file["about"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return {}

    def due(self) -> bool:
        """Return whether it is time to save again."""
        return time.monotonic() - self._saved >= self.every

    def save(self, done: int, state: Any, fresh: Any) -> None:
        """Save the state after `done` iterations, and the draws since the last save (None if there are none)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh is not None:
            self._write(_PART.format(self._parts), dict(_leaves(fresh)))
            self._parts += 1
        about = json.dumps({"identity": self._identity, "done": done, "parts": self._parts})
        self._write(_STATE, {"about": np.asarray(about)} | dict(_leaves(state)))
        self._saved = time.monotonic()

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        partial = self.folder / (name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.folder / name)

    def load(self, state: Any, draws: Any) -> tuple[int, Any, list[Any]] | None:
        """Return iterations done, state and parts of the draws; None if nothing is saved, or it cannot be read.

        Args:
            state: a tree of arrays or shapes like the state.
            draws: a tree with the structure of a part.
        """
        if not (about := self._about()):
            return None
        try:
            parts = [self._read(_PART.format(i), draws) for i in range(int(about["parts"]))]
            found = jax.tree.map(_like, state, self._read(_STATE, state))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            log.warning("the saved state in %s cannot be read (%s): starting anew", self.folder, error)
            self.clear()
            return None
        self._parts = len(parts)
        return int(about["done"]), found, parts

    def _read(self, name: str, like: Any) -> Any:
        with np.load(self.folder / name) as file:
            found = [file[f"leaf_{i}"] for i in range(len(jax.tree.leaves(like)))]
        return jax.tree.unflatten(jax.tree.structure(like), found)

    def clear(self) -> None:
        """Remove everything: the inference is complete and its draws are stored."""
        shutil.rmtree(self.folder, ignore_errors=True)


def identity(inference: eqx.Module, key: Key[Array, ""], statistical: StatisticalModel, data: Dataset) -> str:
    """Return the hash of all that the draws depend on."""
    said = [eqx.tree_pformat(part, short_arrays=False) for part in (inference, statistical)]
    numbers = jax.random.key_data(key).tolist()
    platform = (jax.__version__, jax.default_backend(), str(jnp.finfo(float).dtype))
    text = json.dumps([*said, numbers, data.sha256, list(data.subjects), *platform])
    return hashlib.sha256(text.encode()).hexdigest()


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _leaves(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Return the arrays of a tree, named by their number; random keys as their words."""
    leaves = jax.tree.leaves(tree)
    return [(f"leaf_{i}", np.asarray(jax.random.key_data(x) if _is_key(x) else x)) for i, x in enumerate(leaves)]


def _like(old: Any, found: np.ndarray) -> Array:
    if not _is_key(old):
        return jnp.asarray(found, old.dtype)
    return jax.random.wrap_key_data(jnp.asarray(found))
