import inspect
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import finished
from vtrial.endpoint import (
    AbstractEndpoint,
    Average,
    AverageInside,
    Course,
    Inside,
    Maximum,
    Measured,
    Minimum,
    Outside,
    Reached,
    Schedule,
    TimeInside,
    Window,
)
from vtrial.errors import UserError
from vtrial.model import AbstractModel

MODEL = OneCompartmentOral()
WINDOW = Window("concentration", "0 h", "10 h", 101)
RANGE = {"lower": "5 mg/L", "upper": "15 mg/L"}


def course(values, measured=None):
    values = jnp.asarray(values)
    seen = values if measured is None else jnp.asarray(measured)
    return Course(np.linspace(0, 10, len(values)), values, seen, jax.random.key(0))


@pytest.mark.parametrize(
    ("endpoint", "values", "expected"),
    [
        (Maximum(WINDOW), np.linspace(2, 8, 101), 8.0),
        (Minimum(WINDOW), np.linspace(2, 8, 101), 2.0),
        (Average(WINDOW), np.linspace(2, 8, 101), 5.0),  # of a straight line: its middle
        (Inside(WINDOW, **RANGE), np.linspace(5, 15, 101), 1.0),
        (AverageInside(WINDOW, **RANGE), np.linspace(1, 11, 101), 1.0),  # on average 6
        (AverageInside(WINDOW, **RANGE), np.linspace(0, 9, 101), 0.0),
        (Inside(WINDOW, **RANGE), np.linspace(4.9, 15, 101), 0.0),
        (Inside(WINDOW, **RANGE), np.linspace(5, 15.1, 101), 0.0),
        (TimeInside(WINDOW, **RANGE), np.linspace(0, 20, 101), 50.0),  # inside from 2.5 to 7.5 h
        (Inside(WINDOW, upper="15 mg/L"), np.linspace(0, 15, 101), 1.0),
        (Inside(WINDOW, lower="5 mg/L"), np.linspace(4, 50, 101), 0.0),
        (Reached(WINDOW, "20 mg/L", **RANGE), np.linspace(0, 15, 101), 1.0),
        (Reached(WINDOW, "20 mg/L", **RANGE), np.linspace(0, 16, 101), 0.0),  # beyond the range at the end
        (Reached(WINDOW, "20 mg/L", **RANGE), np.linspace(20.1, 10, 101), 0.0),  # too much before
        (TimeInside(WINDOW, lower="5 mg/L"), np.linspace(0, 20, 101), 75.0),
        (TimeInside(WINDOW, **RANGE), np.full(101, 10.0), 100.0),
        (TimeInside(WINDOW, **RANGE), np.full(101, 1.0), 0.0),
        (TimeInside(WINDOW, **RANGE), np.linspace(0, 20, 2), 50.0),  # crossings between points
        (Outside(WINDOW, **RANGE), np.linspace(5, 15, 101), 0.0),
        (Outside(WINDOW, lower="5 mg/L"), np.linspace(10, 4.9, 101), 1.0),
        (Outside(WINDOW, **RANGE, duration="2.4 h"), np.linspace(0, 20, 101), 1.0),  # 2.5 h below, 2.5 h above
        (Outside(WINDOW, **RANGE, duration="2.6 h"), np.linspace(0, 20, 101), 0.0),
        (
            Outside(WINDOW, lower="5 mg/L", duration="4.9 h"),
            [10.0, 0.0, 10.0],
            1.0,
        ),  # from 2.5 to 7.5 h, between points
        (Outside(WINDOW, lower="5 mg/L", duration="5.1 h"), [10.0, 0.0, 10.0], 0.0),
        (Outside(WINDOW, lower="5 mg/L", duration="10 h"), [1.0, 1.0, 1.0], 1.0),
        (Outside(WINDOW, lower="5 mg/L", duration="5 h"), [0.0, 10.0, 0.0], 0.0),  # twice 2.5 h
    ],
)
def test_values_known_in_closed_form(endpoint, values, expected):
    assert endpoint.value(course(values), MODEL) == pytest.approx(expected, rel=1e-12)


def test_a_measurement_has_residual_error():
    assert Measured(Window("concentration", "3 h")).value(course([4.0], measured=[4.4]), MODEL) == 4.4


class WithHazard(AbstractModel):
    """A concentration and a cumulative hazard."""

    time = "h"
    states: ClassVar = {"central": "mg"}
    parameters: ClassVar = {"VC": "L"}
    outputs: ClassVar = {"concentration": "mg/L", "hazard": ""}
    linear = False

    def initial(self, p):
        return {"central": 0.0}

    def rates(self, t, y, p):
        return {"central": 0.0}

    def observe(self, t, y, p):
        return {"concentration": y["central"] / p["VC"], "hazard": 0.0}


def any_of(kind):
    given = RANGE | {"dose": "300 mg", "never_above": "20 mg/L"}
    settings = {name: given[name] for name in inspect.signature(kind).parameters if name in given}
    window = Window("hazard", "0 h", "10 h", 101) if kind.layout == "event" else WINDOW
    return kind(window=window, **settings)


@pytest.mark.parametrize("kind", finished(AbstractEndpoint))
def test_contract(kind):
    endpoint, model = any_of(kind), WithHazard()
    assert endpoint.describe()
    assert isinstance(endpoint.unit(model), str)
    assert isinstance(endpoint.marks(model), tuple)
    value = endpoint.value(course(np.geomspace(8, 2, 101)), model)
    assert value.shape == (endpoint.delay(model).shape if endpoint.layout == "visits" else ())
    assert endpoint.layout == "event" or np.isfinite(value).all()
    assert np.isnan(endpoint.value(course(np.full(101, np.nan)), model)).all()
    assert endpoint.delay(model).max() == 10.0


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window("conc", "0 h", "1 h"), "no output of model"),
        (Window("concentration", "1 h", "1 h"), "end after its start"),
        (Window("concentration", "-1 h", "1 h"), "before the trial"),
        (Window("concentration", "0 h", "1 h", 1), "2 or more points"),
        (Window("concentration", "0 mg", "1 h"), "start is given in 'mg'"),
        (Schedule("concentration", ["0 h", "2 h", "1 h"]), "times go up"),
        (Schedule("concentration", []), "at least one"),
    ],
)
def test_bad_windows(window, said):
    with pytest.raises(UserError, match=said):
        (window.unit(MODEL), window.times(MODEL))


@pytest.mark.parametrize("duration", ["11 h", "0 h"])
def test_a_stretch_must_fit_the_window(duration):
    with pytest.raises(UserError, match="fit into the window"):
        Outside(WINDOW, lower="5 mg/L", duration=duration).unit(MODEL)
    with pytest.raises(UserError, match="needs a window with an end"):
        Outside(Window("concentration", "3 h"), lower="5 mg/L", duration=duration)


@pytest.mark.parametrize("kind", [Inside, Outside, TimeInside])
def test_bad_range(kind):
    with pytest.raises(UserError, match="lower below upper"):
        kind(WINDOW, "15 mg/L", "5 mg/L").marks(MODEL)
