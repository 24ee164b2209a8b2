"""Dataset: observed subjects as arrays, already checked and in the model's units."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial._types import Values
from vtrial.dosing.batch import Batch


class Observations(eqx.Module):
    """The observations of one output in long form, one entry a measurement; a subject's stand in order of time."""

    value: Float[np.ndarray, " obs"]
    """Measured value, in the output's unit; of a censored one the limit that DV says."""
    lower: Float[np.ndarray, " obs"]
    """Of a censored value the lower end of the interval it is in, -inf if there is none; NaN of a measured value."""
    upper: Float[np.ndarray, " obs"]
    """Of a censored value the upper end of the interval it is in, inf if there is none; NaN of a measured value."""
    time: Float[np.ndarray, " obs"]
    """Time since the subject's time 0, in the model's time unit."""
    subject: Int[np.ndarray, " obs"]
    """Position of the subject in `Dataset.subjects`."""
    sample: Int[np.ndarray, " obs"]
    """Position of the sample in that subject's event table."""
    previous: Int[np.ndarray, " obs"]
    """Position, among these entries, of the same subject's entry before; -1 for its first."""

    @property
    def censored(self) -> np.ndarray | Array:
        """Whether each value is known only to be in its interval."""
        return ~np.isnan(self.lower) if isinstance(self.lower, np.ndarray) else ~jnp.isnan(self.lower)


def _only(seen: Observations, here: Bool[np.ndarray, " obs"]) -> Observations:
    """Return the observations of some subjects, each with all of its own."""
    place = np.cumsum(here) - 1
    kept = jax.tree.map(lambda x: x[here], seen)
    return eqx.tree_at(lambda o: o.previous, kept, np.where(kept.previous >= 0, place[kept.previous], -1))


class Doses(eqx.Module):
    """The dose records as the data have them, in long form, in the model's units; additional doses are not expanded."""

    subject: Int[np.ndarray, " dose"]
    """Position of the subject in `Dataset.subjects`."""
    time: Float[np.ndarray, " dose"]
    amount: Float[np.ndarray, " dose"]
    """In the unit of the state dosed into."""
    state: Int[np.ndarray, " dose"]
    """Position of that state in the model's state vector."""
    rate: Float[np.ndarray, " dose"]
    """Of an infusion; 0 none given, -1 and -2 modelled rate and duration."""
    duration: Float[np.ndarray, " dose"]
    """Of an infusion; 0 none given."""
    interval: Float[np.ndarray, " dose"]
    additional: Int[np.ndarray, " dose"]
    steady: Int[np.ndarray, " dose"]
    """SS."""
    evid: Int[np.ndarray, " dose"]
    """1, or 4 for a dose after a reset."""
    row: Int[np.ndarray, " dose"]
    """Position of the record among its subject's rows."""


class Dataset(eqx.Module):
    """Everything observed about a group of subjects; a constructed dataset has passed every check."""

    subjects: tuple[str, ...] = eqx.field(static=True)
    """IDs as in the file, in its order."""
    events: Batch
    """Doses and samples of each subject, in buckets of subjects with similar numbers of them."""
    doses: Doses
    covariates: Mapping[str, Float[np.ndarray, " subject"]]
    """Baseline covariates by name, each in its unit of `covariate_units`; of those that vary, the first value."""
    varying: Mapping[str, Float[np.ndarray, "subject span"]]
    """Covariates that vary within a subject: the value at each of its rows, aligned with the event table's spans; a
    subject with fewer rows repeats its last value."""
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

    @property
    def empty(self) -> bool:
        """Whether nobody was observed."""
        return not self.subjects

    @property
    def every_covariate(self) -> dict[str, np.ndarray]:
        """Covariates as parameters take them: [subject span] where they vary, else [subject]."""
        return dict(self.covariates) | dict(self.varying)

    def varying_at_doses(self) -> dict[str, Float[np.ndarray, " dose"]]:
        """Return the covariates that vary within subjects at each dose record: those of its row."""
        return {name: np.asarray(value)[self.doses.subject, self.doses.row] for name, value in self.varying.items()}

    def first(self, count: int) -> "Dataset":
        """Return the data of the first subjects alone; an output that none of them has is left out."""
        tables, members = [], []
        for table, mine in zip(self.events.tables, self.events.members, strict=True):
            if (here := mine < count).any():
                tables.append(jax.tree.map(lambda x, here=here: x[here], table))
                members.append(mine[here])
        used = sum(len(m) * sum(t.sizes[:2]) for t, m in zip(tables, members, strict=True))
        observations = {o: _only(seen, seen.subject < count) for o, seen in self.observations.items()}
        return Dataset(
            self.subjects[:count],
            Batch(tuple(tables), tuple(members), used),
            jax.tree.map(lambda x: x[self.doses.subject < count], self.doses),
            {name: value[:count] for name, value in self.covariates.items()},
            {name: value[:count] for name, value in self.varying.items()},
            self.covariate_units,
            {o: seen for o, seen in observations.items() if len(seen.value)},
            self.output_units,
            self.time_unit,
            self.source,
            self.sha256,
        )

    def long(self, by_output: Values) -> np.ndarray:
        """Join values [..., obs of the output] of all outputs along one long axis, in the order of `observations`."""
        parts = [np.asarray(by_output[o]) for o in self.observations]
        return np.concatenate(parts, axis=-1) if parts else np.zeros(0)

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return what each entry of that axis is: its subject's ID, time, output and unit."""
        parts = self.observations.items()
        return {
            "subject": np.array([self.subjects[i] for _, obs in parts for i in obs.subject]),
            "time": self.long({o: obs.time for o, obs in parts}),
            "output": np.array([o for o, obs in parts for _ in obs.value]),
            "unit": np.array([self.output_units[o] for o, obs in parts for _ in obs.value]),
        }
