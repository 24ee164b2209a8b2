"""How far an inference is: a bar in a terminal, a line in the log each quarter otherwise."""

import logging
import sys
import time
from collections.abc import Callable

import numpy as np
from arviz_stats.base import array_stats
from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Counts iterations, or whatever else, and says what is left."""

    def __init__(self, total: int, done: int = 0, what: str = "iterations"):
        """Start with so many already done."""
        self.total, self.done, self.what = total, done, what
        self._begin, self._first = time.monotonic(), done
        self._bar = tqdm(total=total, initial=done, unit=f" {what}", disable=not sys.stderr.isatty(), leave=False)
        if done:
            log.info("           resuming after %d of %d %s", done, total, what)

    def __enter__(self) -> "Progress":
        """Do nothing more."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.close()

    def advance(self, count: int, phase: str, detail: Callable[[], str]) -> None:
        """Count iterations; `detail` is asked only where its answer is shown: at each twentieth, or each quarter."""
        before, self.done = self.done, self.done + count
        self._bar.update(count)
        if not self._bar.disable and self._passed(before, 20):
            self._bar.set_description(", ".join(filter(None, (phase, detail()))))
        if self._bar.disable and self._passed(before, 4):
            left = (self.total - self.done) * (time.monotonic() - self._begin) / (self.done - self._first)
            said = [f"{phase}: {self.done} of {self.total} {self.what}", detail()]
            said.append(f"{left:.0f} s left" if self.done < self.total else "")
            log.info("           %s", ", ".join(filter(None, said)))

    def _passed(self, before: int, parts: int) -> bool:
        return (parts * self.done) // self.total > (parts * before) // self.total


def least_ess(columns: np.ndarray) -> float:
    """Return the least bulk effective sample size of columns [chain draw column]; NaN while there are few draws."""
    if columns.shape[1] < 8 or columns.shape[2] == 0:
        return float("nan")
    found = [
        array_stats.ess(columns[..., i], chain_axis=0, draw_axis=1, method="bulk") for i in range(columns.shape[2])
    ]
    return float(np.min(found))
