"""How a run uses the machine: precision, device, compilation cache, and the time that goes into compiling."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from vtrial.errors import UserError, nearest


def apply(runtime: Any) -> None:
    """Set device and compilation cache before anything imports jax, then the precision in jax itself.

    A sweep's later runs find jax imported: they may change the precision, but neither device nor cache.

    Raises:
        UserError: a key or value is unknown, or there is no such device.
    """
    if not isinstance(runtime, dict):
        raise UserError(f"runtime must be a mapping with precision, device and cache, not {runtime!r}.")
    known = {"precision": (32, 64), "device": ("auto", "cpu", "gpu")}
    for key, value in runtime.items():
        if key not in (*known, "cache"):
            raise UserError(f"runtime.{key} is no key of runtime. {nearest(key, [*known, 'cache'])}")
        if key in known and value not in known[key]:
            raise UserError(f"runtime.{key} must be one of {', '.join(map(str, known[key]))}, not {value!r}.")
    platforms = {"cpu": "cpu", "gpu": "cuda,cpu", "auto": ""}[runtime.get("device", "cpu")]
    if platforms:
        os.environ.setdefault("JAX_PLATFORMS", platforms)
    folder = runtime.get("cache")
    if folder is not None and not isinstance(folder, str):
        raise UserError(f"runtime.cache must be a folder or null, not {folder!r}.")
    if folder and _writable(Path(folder).expanduser()):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(folder).expanduser()))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
    import jax

    jax.config.update("jax_enable_x64", runtime.get("precision", 64) == 64)
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        raise UserError(f"runtime.device={runtime.get('device')}: {str(error).splitlines()[0]}") from error
    if runtime.get("device") == "gpu" and found != "gpu":
        raise UserError(
            "runtime.device=gpu, but jax finds no GPU; install the extra cuda12 or cuda13, or use runtime.device=cpu."
        )


def _writable(folder: Path) -> bool:
    """Make a folder and say whether it can be written; a compilation cache is a comfort, no need."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK)


@cache
def compile_clock() -> Callable[[], float]:
    """Return the function that tells the seconds spent tracing and compiling; all runs of a process share one."""
    import jax

    spent = [0.0]

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            spent[0] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: spent[0]


def interruptible() -> dict[int, Any]:
    """Make Ctrl-C reach the run wherever it comes; return the handlers that were there.

    Python drops an exception raised inside a garbage-collection callback, and jax has one that is often active: there
    the interrupt is put off by a moment.
    """

    def interrupt(_: int, frame: Any) -> None:
        if frame is not None and "gc_callback" in frame.f_code.co_name:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
