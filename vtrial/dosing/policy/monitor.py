"""Monitor: which output of a patient a policy sees, and when."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from vtrial import units
from vtrial._types import texts
from vtrial.dosing.records import rounded
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

_WRITTEN = 6
"""So many times are written out; more are counted."""


class Monitor(eqx.Module):
    """Samples of one output, after each of which doses may change.

    A sample at the hour of a dose is taken before it.

    Args:
        output: the model's output.
        at: times of the samples with their units, ascending, for example ["72 h", "120 h"].
        measured: whether the policy sees the measured value, with the study's residual error; if not, the true one.
        delay: time from a sample to the first dose that can follow from it, shorter than the time between two samples;
            left out, the dose of the sample's own hour can.
    """

    output: str = eqx.field(static=True)
    at: tuple[str, ...] = eqx.field(static=True, converter=texts)
    measured: bool = eqx.field(static=True, default=True)
    delay: str | None = eqx.field(static=True, default=None)

    def unit(self, model: AbstractModel) -> str:
        """Return the unit of the output.

        Raises:
            UserError: the model has no such output.
        """
        if self.output not in model.outputs:
            raise UserError(
                f"monitor.output is '{self.output}', which is no output of model {type(model).__name__}. "
                f"{nearest(self.output, model.outputs)}"
            )
        return model.outputs[self.output]

    def times(self, model: AbstractModel) -> Float[np.ndarray, " decision"]:
        """Return the times of the samples, in the model's time unit.

        Raises:
            UserError: there is none, one is before the trial, or they do not go up.
        """
        times = np.array([rounded(units.quantity(time, model.time, where="monitor.at")) for time in self.at])
        if len(times) == 0 or times[0] < 0 or (np.diff(times) <= 0).any():
            raise UserError(
                f"monitor.at goes up from 0 or later, and has at least one time; got {', '.join(self.at) or 'none'}."
            )
        return times

    def effective(self, model: AbstractModel) -> Float[np.ndarray, " decision"]:
        """Return from when on doses follow each sample, in the model's time unit.

        Raises:
            UserError: the delay is negative, or not shorter than the time between two samples.
        """
        times = self.times(model)
        delay = 0.0 if self.delay is None else units.quantity(self.delay, model.time, where="monitor.delay")
        if delay < 0 or (len(times) > 1 and delay >= np.diff(times).min()):
            raise UserError(
                f"monitor.delay is {self.delay}; it is not negative, and shorter than the time between two samples, so "
                "that each decision is followed before the next."
            )
        return np.array([rounded(time + delay) for time in times.tolist()])

    def describe(self) -> str:
        """Say what is seen, and when."""
        if len(self.at) <= _WRITTEN:
            when = f"at {', '.join(self.at)}"
        else:
            when = f"at {len(self.at)} times from {self.at[0]} to {self.at[-1]}"
        late = "" if self.delay is None else f", followed {self.delay} later"
        return f"by {self.output} {'measured' if self.measured else 'as it truly is'} {when}{late}"
