"""Provenance: what a result was made from, for the root attributes of result.zarr."""

import inspect
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from vtrial import __version__, schema
from vtrial.data import Dataset
from vtrial.hashes import digest
from vtrial.model import AbstractModel

_LIBRARIES = ("jax", "jaxlib", "numpyro", "diffrax", "equinox", "arviz", "xarray", "zarr", "polars", "hydra-core")


def identity(
    name: str, config: str, data: Dataset, *, model: AbstractModel, seed: int, inputs: Mapping[str, str]
) -> dict[str, Any]:
    """Return what identifies a run: its study, configuration, inputs with their hashes, versions and precision.

    Args:
        name: of the study.
        config: its complete configuration as YAML text.
        data: the dataset.
        model: the model; the file it comes from is an input too.
        seed: all randomness follows from it.
        inputs: SHA-256 of further files, by name.
    """
    source = Path(inspect.getfile(type(model)))
    return {
        "schema": schema.VERSION,
        "study": name,
        "states": list(model.states),
        "outputs": list(model.outputs),
        "config": config,
        "seed": seed,
        "version": __version__,
        "libraries": {library: version(library) for library in _LIBRARIES},
        "precision": int(jnp.finfo(float).bits),
        "inputs": {data.source: data.sha256, source.name: digest(source)} | dict(inputs),
        "data_file": data.source,
        "data_sha256": data.sha256,
        "git_commit": _commit(),
    }


def _commit() -> str:
    """Return the commit of the checkout vtrial runs from, marked if it has changes; "" outside a checkout."""
    here, git = Path(__file__).resolve().parent, shutil.which("git")
    if git is None or not (here.parent / ".git").exists():
        return ""
    said = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip()
