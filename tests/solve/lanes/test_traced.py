"""The program that kernels are compiled from, run by JAX as on devices that no kernel is compiled for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.friberg import Myelosuppression
from vtrial.models.oral_2cpt_mm import TwoCompartmentOralMichaelisMenten
from vtrial.models.tmdd import TargetMediatedDisposition

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, Reset, event_table
from vtrial.solve import Lanes

ROWS = [Dose(0.0, 50.0, 0, 2, 12.0), 0.5, 13.0, Dose(26.0, 40.0, 0, rate=20.0), 27.0, 30.0, Reset(31.0), 33.0]


@pytest.fixture
def elsewhere(monkeypatch):
    """Pretend that JAX runs on another device; it is this CPU all the same."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


@pytest.mark.parametrize(
    "model", [TwoCompartmentOralMichaelisMenten(), Myelosuppression(), TargetMediatedDisposition()]
)
def test_other_devices_give_what_kernels_give(model, monkeypatch):
    """To rounding: both run the same program, with exp and log of their own."""
    solver, events = Lanes(model.stiff, 1e-6, 1e-9), event_table(ROWS)
    p = {n: jnp.asarray(v) * jnp.asarray([0.9, 1.0, 1.3]) for n, v in MODEL_PARAMETERS[type(model).__name__].items()}
    compiled = jax.vmap(lambda p: solver(model, p, events))(p)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "run by XLA" in solver.check(model, {n: v[0] for n, v in p.items()})
    found = jax.jit(jax.vmap(lambda p: solver(model, p, events)))(p)
    for name, values in compiled.outputs.items():
        np.testing.assert_allclose(found.outputs[name], values, rtol=1e-9, atol=1e-12)
    assert found.code.tolist() == compiled.code.tolist() == [0, 0, 0]


def test_nested_batches_and_derivatives(elsewhere):
    model = TwoCompartmentOralMichaelisMenten()
    p = {n: jnp.asarray(v) for n, v in MODEL_PARAMETERS[type(model).__name__].items()}
    events = event_table([Dose(0.0, 100.0, 0), 1.0, 8.0])

    def seen(scale, vmax):
        return Lanes(rtol=1e-9, atol=1e-12)(model, p | {"VMAX": scale * vmax}, events).outputs["concentration"]

    scales, rates = jnp.asarray([0.5, 1.0]), jnp.asarray([5.0, 10.0, 20.0])
    every = jax.vmap(lambda s: jax.vmap(lambda r: seen(s, r))(rates))(scales)
    assert every.shape == (2, 3, 2)
    np.testing.assert_allclose(every[0, 1], every[1, 0], rtol=1e-12)
    slope = jax.jacrev(lambda r: seen(1.0, r))(10.0)
    difference = (seen(1.0, 10.0 + 1e-4) - seen(1.0, 10.0 - 1e-4)) / 2e-4
    np.testing.assert_allclose(slope, difference, rtol=1e-5)
