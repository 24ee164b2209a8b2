"""Closed forms in kernels against the same formulas run by XLA, and what only the latter can do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.iv_3cpt import ThreeCompartmentIntravenous
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_2cpt import TwoCompartmentOral

from tests.helpers import MODEL_PARAMETERS
from vtrial.dosing import Dose, Reset, event_table
from vtrial.errors import UserError
from vtrial.solve import Linear, ResultCode

KERNELS, XLA = Linear(), Linear(compiled=False)
MORE = [pytest.param(kind, marks=pytest.mark.slow) for kind in (TwoCompartmentOral, ThreeCompartmentIntravenous)]
KINDS = [OneCompartmentOral, *MORE]
ROWS = [
    *(Dose(0.0, 50.0, 0, 2, 12.0), 0.0, 0.5, 12.0, 13.0, Dose(26.0, 40.0, 0, rate=20.0), 27.0, 28.0, 30.0),
    *(Reset(31.0), 33.0, Dose(40.0, 10.0, 0, interval=8.0, steady=1), 41.0, 300.0),
]


def case(kind):
    model = kind()
    p = {n: jnp.asarray(v) for n, v in MODEL_PARAMETERS[kind.__name__].items()}
    first = next(iter(model.states))
    return model, p | {f"F_{first}": jnp.asarray(0.8), f"ALAG_{first}": jnp.asarray(0.3)}


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_give_what_xla_gives(kind):
    """Values and derivatives in everything, lag and bioavailability too; the formulas differ in rounding alone."""
    model, p = case(kind)
    events = event_table(ROWS, states=len(model.states))
    found, expected = (jax.jit(lambda p, s=s: s(model, p, events))(p) for s in (KERNELS, XLA))
    slopes, wanted = (jax.jit(jax.jacfwd(lambda p, s=s: s(model, p, events).outputs))(p) for s in (KERNELS, XLA))
    assert found.code == expected.code == 0
    for name, values in expected.outputs.items():
        np.testing.assert_allclose(found.outputs[name], values, rtol=1e-10, atol=1e-14)
        for n in p:
            largest = np.abs(wanted[name][n]).max()
            np.testing.assert_allclose(slopes[name][n], wanted[name][n], rtol=1e-8, atol=1e-9 * largest)


def test_second_derivatives_are_left_to_xla():
    """Of C = A/V exp(-CL/V t) in CL."""
    model, p = case(OneCompartmentOral)
    events = event_table([Dose(0.0, 100.0, 1), 3.0], states=2)

    def seen(solver, cl):
        return solver(model, {"CL": cl, "VC": p["VC"], "KA": p["KA"]}, events).outputs["concentration"][0]

    curve = jax.hessian(lambda cl: seen(XLA, cl))(2.0)
    np.testing.assert_allclose(curve, (3.0 / p["VC"]) ** 2 * seen(XLA, 2.0), rtol=1e-9)
    with pytest.raises(UserError, match=r"solver\.compiled=false"):
        jax.hessian(lambda cl: seen(KERNELS, cl))(2.0)


def test_negative_amounts_have_their_code_and_others_do_not_notice():
    model, p = case(OneCompartmentOral)
    events = event_table([Dose(0.0, 1.0, 0), 1.0, 4.0])
    many = {n: jnp.full(3, v) for n, v in p.items()} | {"F_depot": jnp.asarray([1.0, -1.0, 1.0])}
    found = jax.vmap(lambda p: KERNELS(model, p, events))(many)
    assert found.code.tolist() == [ResultCode.SOLVED, ResultCode.NEGATIVE, ResultCode.SOLVED]


def test_a_table_for_all_and_tables_for_each_are_read_alike():
    """Batches on either level, of parameters, tables or both."""
    model, p = case(OneCompartmentOral)
    tables = [event_table([Dose(0.0, a, 0), 1.0, 4.0]) for a in (50.0, 70.0, 90.0)]
    many = jax.tree.map(lambda *one: np.stack(one), *tables)
    clearances = jnp.asarray([1.0, 2.0])

    def seen(cl, events):
        return KERNELS(model, p | {"CL": cl}, events).outputs["concentration"]

    expected = np.stack([[seen(cl, table) for table in tables] for cl in clearances])
    inner = jax.vmap(lambda cl: jax.vmap(lambda e: seen(cl, e))(many))(clearances)
    outer = jax.vmap(lambda e: jax.vmap(lambda cl: seen(cl, e))(clearances))(many)
    np.testing.assert_array_equal(inner, expected)
    np.testing.assert_array_equal(outer, expected.swapaxes(0, 1))
    shared = jax.vmap(lambda cl: seen(cl, tables[1]))(clearances)
    np.testing.assert_array_equal(shared, expected[:, 1])
