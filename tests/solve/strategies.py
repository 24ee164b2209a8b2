"""Hypothesis strategies for dose records and parameters, and small models made for tests.

The records of one strategy have the same structure: times, amounts and rates are drawn, the rows are not. So all
examples of a property are solved by what the first one compiled.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import ClassVar, NamedTuple

import jax
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from vtrial.models.friberg_oral import MyelosuppressionOral
from vtrial.models.minmod import MinimalModel
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten
from vtrial.models.simeoni import TumourGrowthInhibition
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import After, Dose, EventTable, Reset, event_table
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


lags = st.just(0.0) | st.floats(0.01, 6.0)

entering = st.fixed_dictionaries(
    {
        "F_depot": st.floats(0.1, 1.5),
        "F_central": st.floats(0.1, 1.5),
        "ALAG_depot": lags,
        "ALAG_central": lags,
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
def sampled(draw) -> list:
    """Those rows with samples anywhere, at doses, just after them, and twice at one time."""
    rows = draw(doses())
    anywhere = draw(st.lists(times, min_size=6, max_size=6))
    ties = [rows[1].time, After(rows[1].time), rows[3].time + rows[3].interval, After(rows[5].time), rows[5].time]
    return [*rows, *anywhere, anywhere[0], *ties]


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


class Case(NamedTuple):
    """A nonlinear model with a dosing history of its own time scale."""

    model: AbstractModel
    rows: list
    varying: dict[str, list[float]] = {}
    """A value for each row, of parameters that vary with time."""
    carried: str = ""
    entry: dict[str, float] = {}

    @property
    def events(self) -> EventTable:
        return event_table(self.rows, states=len(self.model.states), carried=self.carried)

    @property
    def p(self) -> dict:
        return self.near(typical(self.model))

    def near(self, p: dict[str, float]) -> dict:
        """Return these parameters with what the case adds to the model's own."""
        return p | self.entry | {name: np.asarray(value) for name, value in self.varying.items()}

    @property
    def solver(self) -> Lanes:
        return Lanes(self.model.stiff, RTOL, 1e-10)


_SATURABLE = [0.0, Dose(0.0, 200.0, 0), 3.0, Dose(8.0, 90.0, 1, rate=20.0), 10.0, 20.0, Dose(24.0, 50.0, 2), 30.0, 48.0]
_FALLING = {"VMAX": [15.0, 14.0, 13.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0]}

CASES = {
    "saturable": Case(
        TwoCompartmentOralMichaelisMenten(), _SATURABLE, entry={"F_depot": 0.8, "ALAG_depot": 0.4, "ALAG_central": 1.3}
    ),
    "saturable locf": Case(TwoCompartmentOralMichaelisMenten(), _SATURABLE, _FALLING, "locf"),
    "saturable nocb": Case(TwoCompartmentOralMichaelisMenten(), _SATURABLE, _FALLING, "nocb"),
    "modelled rates": Case(
        TwoCompartmentOralMichaelisMenten(),
        [Dose(0.0, 200.0, 0, rate=-1), 3.0, Dose(8.0, 90.0, 1, rate=-2), 10.0, 20.0, 48.0],
        entry={"R_depot": 55.0, "D_central": 4.7, "F_depot": 0.7},
    ),
    "friberg": Case(
        MyelosuppressionOral(),
        [Dose(0.0, 60.0, 0, 4, 24.0), 5.0, 100.0, 200.0, 400.0, 700.0],
        entry={"ALAG_depot": 0.7},
    ),
    "tmdd": Case(
        TargetMediatedDisposition(), [Dose(0.0, 300.0, 0), 2.0, 20.0, Dose(100.0, 30.0, 1), 101.0, 150.0, 300.0]
    ),
    "simeoni": Case(TumourGrowthInhibition(), [Dose(4.0, 20.0, 0, 5, 1.0), 2.0, 6.0, 9.0, 15.0, 25.0]),
    "minmod": Case(
        MinimalModel(), [0.0, 5.0, 12.0, 30.0, 60.0, 120.0], {"INS": [20.0, 110.0, 60.0, 45.0, 20.0, 15.0]}, "linear"
    ),
    "steady": Case(
        TwoCompartmentOralMichaelisMenten(),
        [Dose(0.0, 60.0, 0, 1, 12.0, steady=1), 0.5, 6.0, 20.0],
        entry={"ALAG_depot": 0.9, "F_depot": 0.7},
    ),
}


class Plain(AbstractModel):
    """One state that decays."""

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
