"""Plan: the times at which virtual patients are solved, and who reads which of them."""

from collections.abc import Mapping
from typing import NamedTuple

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
    measured: tuple[tuple[str, Int[np.ndarray, " _"]], ...]
    """Outputs, and at which of the times an endpoint or a policy measures them."""
    hazard: Int[np.ndarray, " evaluation"]
    """Which of the times hazards are evaluated at."""
    shown: Int[np.ndarray, " shown"]
    """Which of the times an endpoint asked for: those of the courses."""
    visit: Int[np.ndarray, " visit"]
    """Which of the times are visits that may be off time."""
    end: Mapping[str, float] = eqx.field(static=True)
    """When each endpoint is over."""
    decided: Mapping[str, Int[np.ndarray, " _"]]
    """By arm with a policy: which of the times it sees the patient at."""

    @property
    def decisions(self) -> int:
        """Most decisions of any arm."""
        return max((len(at) for at in self.decided.values()), default=0)


class _Sample(NamedTuple):
    """A time at which outputs are asked for."""

    time: float
    after: bool = False
    """Whether it comes after the doses of its hour: a stretch's start."""
    visit: bool = False
    """Whether it is a visit that may be off time."""


def planned(
    arms: Mapping[str, Arm],
    endpoints: Mapping[str, AbstractEndpoint],
    model: AbstractModel,
    course: Treatment,
    until: float = 0.0,
) -> Plan:
    """Return every time at which an endpoint, a hazard or a policy needs the patients.

    Hazards go on to the end of what is observed, or to `until` if that is later.
    """
    monitors = {name: arm.policy.monitor for name, arm in arms.items() if arm.policy is not None}
    seen = {name: [_Sample(t) for t in monitor.times(model).tolist()] for name, monitor in monitors.items()}
    wanted = {n: _samples(e, model, moving=course.visits is not None) for n, e in endpoints.items()}
    end = {name: float(e.delay(model).max()) for name, e in endpoints.items()}
    late = 0.0 if course.visits is None else course.visits.bounds(model)[1]
    grid = [_Sample(rounded(t)) for t in course.grid(max(end.values()) + late, until)]
    every = sorted({sample for samples in [*wanted.values(), *seen.values(), grid] for sample in samples})

    def places(samples: list[_Sample]) -> Int[np.ndarray, " _"]:
        return np.array([every.index(sample) for sample in samples], int)

    index = {name: places(samples) for name, samples in wanted.items()}
    decided = {name: places(samples) for name, samples in seen.items()}
    by_output: dict[tuple[str, bool], list[np.ndarray]] = {}
    for name, endpoint in endpoints.items():
        if endpoint.measured:
            by_output.setdefault((endpoint.window.output, wanted[name][0].visit), []).append(index[name])
    for name, monitor in monitors.items():
        if monitor.measured:
            by_output.setdefault((monitor.output, False), []).append(decided[name])
    asked = np.unique(np.concatenate(list(index.values())))
    moving = np.array([sample.visit for sample in every])
    return Plan(
        time=np.array([sample.time for sample in every]),
        index=index,
        rows=tuple(After(sample.time) if sample.after else sample.time for sample in every),
        measured=tuple((output, np.unique(np.concatenate(parts))) for (output, _), parts in by_output.items()),
        hazard=places(grid),
        shown=asked[~moving[asked]] if (~moving[asked]).any() else asked,
        visit=np.flatnonzero(moving),
        end=end,
        decided=decided,
    )


def _samples(endpoint: AbstractEndpoint, model: AbstractModel, *, moving: bool) -> list[_Sample]:
    """Return an endpoint's samples; visits may be `moving`."""
    times = [rounded(time) for time in endpoint.window.times(model).tolist()]
    visits = endpoint.layout == "visits"
    stretch = len(times) > 1 and not visits and endpoint.window.after_dose
    return [_Sample(time, i == 0 and stretch, visits and moving) for i, time in enumerate(times)]
