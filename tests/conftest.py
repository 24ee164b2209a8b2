"""Strict numerics for every test, and one quick run of the theophylline study shared by those that look at results."""

import os

os.environ |= {"JAX_ENABLE_X64": "1", "MPLBACKEND": "Agg"}
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX_PLATFORMS=cuda,cpu pytest -m gpu runs what needs a GPU
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser("~/.cache/vtrial/tests"))
os.makedirs(os.environ["JAX_COMPILATION_CACHE_DIR"], exist_ok=True)
os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}

from pathlib import Path

import jax
import pytest
import xarray as xr

from tests.helpers import SHARED, run_cli, theophylline, theophylline_data


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("external") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"the shared data are not at {SHARED}"))
        if item.get_closest_marker("gpu") and jax.default_backend() != "gpu":
            item.add_marker(pytest.mark.skip(reason="no GPU here"))


@pytest.fixture(autouse=True)
def strict_ranks(request):
    """No silent broadcasting between ranks in the numerics of our own; NumPyro relies on it."""
    ours = request.path.parent.name in ("solve", "dosing", "endpoint", "design", "trial", "statistics")
    with jax.numpy_rank_promotion("raise" if ours else "allow"):
        yield


@pytest.fixture(scope="session")
def data():
    return theophylline_data()


@pytest.fixture(scope="session")
def statistical():
    return theophylline()


@pytest.fixture(scope="session")
def quick(tmp_path_factory) -> Path:
    """Directory of a complete run of the quick study; do not change it."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    code, _, err = run_cli("-cn", "theophylline_quick", f"directory={folder}")
    assert code == 0, err
    return folder


@pytest.fixture(scope="session")
def tree(quick) -> xr.DataTree:
    return xr.open_datatree(quick / "result.zarr", chunks=None)
