"""Programs compiled in a thread beside this one, which goes on meanwhile: XLA needs no Python to compile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Ahead:
    """A compiled function, asked for before it is needed; to call it waits until it is there."""

    def __init__(self, function: Any, *arguments: Any):
        """Trace a function that `jax.jit` made for arguments of these shapes, and begin to compile it."""
        lowered = function.lower(*arguments)  # here: a thread of its own would not know the settings of this one
        beside = ThreadPoolExecutor(1)
        self._compiled = beside.submit(lowered.compile)
        beside.shutdown(wait=False)

    def function(self) -> Callable[..., Any]:
        """Return the compiled function; what went wrong is raised here."""
        return self._compiled.result()

    def __call__(self, *arguments: Any) -> Any:
        """Call it, with arguments of those shapes."""
        return self.function()(*arguments)
