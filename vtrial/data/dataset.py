"""Dataset: observed subjects as arrays, already checked and in the model's units."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from vtrial._types import Values
from vtrial.dosing import EventTable


class Observations(eqx.Module):
    """The observations of one output in long form, one entry a measurement."""

    value: Float[np.ndarray, " obs"]
    """Measured value, in the output's unit."""
    time: Float[np.ndarray, " obs"]
    """Time since the subject's time 0, in the model's time unit."""
    subject: Int[np.ndarray, " obs"]
    """Position of the subject in `Dataset.subjects`."""
    sample: Int[np.ndarray, " obs"]
    """Position of the sample in that subject's event table."""


class Dataset(eqx.Module):
    """Everything observed about a group of subjects; a constructed dataset has passed every check."""

    subjects: tuple[str, ...] = eqx.field(static=True)
    """IDs as in the file, in its order."""
    events: EventTable
    """Doses and samples of each subject, stacked on a leading `subject` axis."""
    covariates: Mapping[str, Float[np.ndarray, " subject"]]
    """Baseline covariates by name, each in its unit of `covariate_units`."""
    covariate_units: Mapping[str, str] = eqx.field(static=True)
    observations: Mapping[str, Observations]
    """By output."""
    output_units: Mapping[str, str] = eqx.field(static=True)
    """Unit of each output observed."""
    time_unit: str = eqx.field(static=True)
    """Unit of every time."""
    source: str = eqx.field(static=True)
    """Name of the file."""
    sha256: str = eqx.field(static=True)
    """Hash of its bytes."""

    def long(self, by_output: Values) -> np.ndarray:
        """Join values [..., obs of the output] of all outputs along one long axis, in the order of `observations`."""
        return np.concatenate([np.asarray(by_output[o]) for o in self.observations], axis=-1)

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return what each entry of that axis is: its subject's ID, time, output and unit."""
        parts = self.observations.items()
        return {
            "subject": np.array([self.subjects[i] for _, obs in parts for i in obs.subject]),
            "time": self.long({o: obs.time for o, obs in parts}),
            "output": np.array([o for o, obs in parts for _ in obs.value]),
            "unit": np.array([self.output_units[o] for o, obs in parts for _ in obs.value]),
        }
