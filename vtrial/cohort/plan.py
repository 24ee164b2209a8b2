"""Plan: the times at which virtual patients are solved, and who reads which of them."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from vtrial.cohort.course import Treatment
from vtrial.design import Arm
from vtrial.dosing import After, rounded
from vtrial.endpoint import AbstractEndpoint
from vtrial.model import AbstractModel


class Plan(eqx.Module):
    """The times at which everything is solved, and where each endpoint finds its own among them."""

    time: Float[np.ndarray, " time"]
    index: Mapping[str, Int[np.ndarray, " point"]]
    rows: tuple[After | float, ...] = eqx.field(static=True)
    """The same times as the samples of an event table."""
    measured: Mapping[str, Int[np.ndarray, " sample"]]
    """By output: which of the times an endpoint measures it at."""
    hazard: Int[np.ndarray, " evaluation"]
    """Which of the times hazards are evaluated at."""
    shown: Int[np.ndarray, " shown"]
    """Which of the times an endpoint asked for: those of the courses."""
    decided: tuple[Int[np.ndarray, " _"], ...]
    """Of each arm: which of the times its policy sees the patient at."""


def planned(
    arms: tuple[Arm, ...], endpoints: Mapping[str, AbstractEndpoint], model: AbstractModel, course: Treatment
) -> Plan:
    """Return every time at which an endpoint, a hazard or a policy needs the patients."""
    monitors = [None if arm.policy is None else arm.policy.monitor for arm in arms]
    seen = [[] if m is None else [(t, False) for t in m.times(model).tolist()] for m in monitors]
    wanted = {name: _samples(e, model) for name, e in endpoints.items()}
    grid = [(rounded(t), False) for t in course.grid(max(float(e.delay(model).max()) for e in endpoints.values()))]
    every = sorted({sample for samples in [*wanted.values(), *seen, grid] for sample in samples})
    index = {name: np.array([every.index(sample) for sample in samples]) for name, samples in wanted.items()}
    rows = tuple(After(time) if after else time for time, after in every)
    by_output: dict[str, list[np.ndarray]] = {}
    for name, endpoint in endpoints.items():
        if endpoint.measured:
            by_output.setdefault(endpoint.window.output, []).append(index[name])
    decided = tuple(np.array([every.index(sample) for sample in samples], int) for samples in seen)
    for monitor, at in zip(monitors, decided, strict=True):
        if monitor is not None and monitor.measured:
            by_output.setdefault(monitor.output, []).append(at)
    measured = {output: np.unique(np.concatenate(parts)) for output, parts in by_output.items()}
    hazard = np.array([every.index(sample) for sample in grid], int)
    shown = np.unique(np.concatenate(list(index.values())))
    return Plan(np.array([time for time, _ in every]), index, rows, measured, hazard, shown, decided)


def _samples(endpoint: AbstractEndpoint, model: AbstractModel) -> list[tuple[float, bool]]:
    """Return an endpoint's sample times, and which comes after the doses of its hour: a stretch's start."""
    times = [rounded(time) for time in endpoint.window.times(model).tolist()]
    stretch = len(times) > 1 and endpoint.layout != "visits" and endpoint.window.after_dose
    return [(time, i == 0 and stretch) for i, time in enumerate(times)]
