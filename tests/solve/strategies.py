"""Hypothesis strategies for event tables and parameters, and small models made for tests.

Every table of one strategy has the same structure: times, amounts and rates are drawn, the rows are not. So all
examples of a property are solved by what the first one compiled.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import ClassVar

import jax
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from vtrial.models.oral_2cpt import TwoCompartmentOral

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import After, Dose, Reset, event_table
from vtrial.model import AbstractModel
from vtrial.solve import AbstractSolver, General, Lanes, Linear

RTOL = 1e-8
TIERS = {
    "linear": Linear(),
    "lanes": Lanes(rtol=RTOL, atol=1e-10),
    "lanes stiff": Lanes(stiff=True, rtol=RTOL, atol=1e-10),
    "general": General(rtol=RTOL, atol=1e-10),
}
GLOBAL = 100 * RTOL
"""Global error of the numerical tiers: the model forgets, so that it stays within a hundred local tolerances."""

MODEL = TwoCompartmentOral()
TYPICAL = MODEL_PARAMETERS["TwoCompartmentOral"]

examples = settings(max_examples=12, derandomize=True, deadline=None, database=None)
"""Few, and the same each time."""


def typical(model: AbstractModel) -> dict[str, float]:
    return MODEL_PARAMETERS[type(model).__name__]


def near(values: dict[str, float], factor: float = 2.0) -> st.SearchStrategy[dict[str, float]]:
    """Draw each value within a factor."""
    return st.fixed_dictionaries({name: st.floats(value / factor, value * factor) for name, value in values.items()})


entering = st.fixed_dictionaries(
    {
        "F_depot": st.floats(0.1, 1.5),
        "F_central": st.floats(0.1, 1.5),
        "ALAG_depot": st.floats(0.0, 6.0),
        "ALAG_central": st.floats(0.0, 6.0),
    }
)
"""How doses enter; lags may outlast a reset, which then cancels the dose."""

amounts = st.floats(1.0, 1000.0)
gaps = st.integers(1, 32).map(lambda quarter: quarter / 4) | st.floats(0.25, 8.0)
times = st.integers(0, 60).map(float) | st.floats(0.01, 60.0)


@st.composite
def doses(draw) -> list:
    """Rows with boluses, infusions, additional doses, a reset and a dose with reset, into every state of `MODEL`."""
    t = list(accumulate(draw(st.lists(gaps, min_size=6, max_size=6))))
    a = draw(st.lists(amounts, min_size=6, max_size=6))
    interval = (t[3] - t[2]) / 3
    return [
        Dose(0.0, a[0], 0),
        Dose(t[0], a[1], 1, rate=a[1] / draw(gaps)),
        Dose(t[1], a[2], 2),
        Dose(t[2], a[3], 0, 2, interval),
        Reset(t[3]),
        Dose(t[4], a[4], 1, duration=draw(gaps)),
        Dose(t[5], a[5], 0, reset=True),
    ]


@st.composite
def tables(draw):
    """Those rows with samples anywhere, at doses, just after them, and twice at one time."""
    rows = draw(doses())
    anywhere = draw(st.lists(times, min_size=6, max_size=6))
    ties = [rows[1].time, After(rows[1].time), rows[3].time + rows[3].interval, After(rows[5].time), rows[5].time]
    return event_table([*rows, *anywhere, anywhere[0], *ties])


def solved(solver: AbstractSolver, model: AbstractModel = MODEL) -> Callable:
    """Return the compiled solve of parameters and an event table, which checks that it was solved."""
    compiled = jax.jit(lambda p, events: solver(model, p, events))

    def outputs(p, events) -> dict[str, np.ndarray]:
        found = compiled(p, events)
        assert found.code == 0
        return {name: np.asarray(values) for name, values in found.outputs.items()}

    return outputs


def assert_close(found: dict, expected: dict, part: float) -> None:
    """Compare outputs, each within a part of its largest value."""
    for name, values in expected.items():
        largest = float(np.max(np.abs(np.asarray(values)), initial=0.0))
        np.testing.assert_allclose(found[name], values, rtol=0, atol=part * largest + 1e-300, err_msg=name)


class Plain(AbstractModel):
    """One state that decays; the parent of nothing, but a pattern for the rest."""

    time: ClassVar = "h"
    states: ClassVar = {"x": "mg"}
    parameters: ClassVar = {"K": "1/h"}
    outputs: ClassVar = {"x": "mg"}
    linear: ClassVar = False

    def initial(self, p):
        return {"x": 0.0}

    def rates(self, t, y, p):
        return {"x": -p["K"] * y["x"]}

    def observe(self, t, y, p):
        return {"x": y["x"]}


class Collected(AbstractModel):
    """A depot, a central state, and all that was eliminated: what entered is never lost."""

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "eliminated": "mg"}
    parameters: ClassVar = {"KA": "1/h", "KE": "1/h"}
    outputs: ClassVar = {"total": "mg"}
    linear: ClassVar = True

    def initial(self, p):
        return dict.fromkeys(self.states, 0.0)

    def rates(self, t, y, p):
        absorbed, eliminated = p["KA"] * y["depot"], p["KE"] * y["central"]
        return {"depot": -absorbed, "central": absorbed - eliminated, "eliminated": eliminated}

    def observe(self, t, y, p):
        return {"total": y["depot"] + y["central"] + y["eliminated"]}
