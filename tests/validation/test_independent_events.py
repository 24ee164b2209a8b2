"""Dose records against an independent solver, case by case, and against NONMEM's own output."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.minmod import MinimalModel
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.helpers import SHARED
from tests.validation.events import DATA, _parameter, case, names
from vtrial.dosing import Dose, Mark, Reset, event_table
from vtrial.solve import Auto, General, Lanes

STIFF = ("s22_tmdd_full_sc", "s24_hiv_dual_therapy")


def tolerances(name):
    """A virus falls to 1e-10 in a mL, so that absolute errors must be smaller still."""
    return {"rtol": 1e-10, "atol": 1e-18 if name.startswith("s24") else 1e-12}


def integrated(name):
    return General(name in STIFF, max_steps=100_000, **tolerances(name))


def compiled(name):
    return Lanes(name in STIFF, **tolerances(name))


def chosen(name):
    return Auto(**tolerances(name))


KINDS = [
    pytest.param(chosen, id="auto"),
    pytest.param(compiled, id="lanes"),
    pytest.param(integrated, id="general", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("solver", KINDS)
@pytest.mark.parametrize("name", names())
def test_reference_case(name, solver):
    """Within 1e-6 of the largest value of each output, as the reference states for an adaptive solver."""
    model, p, events, expected = case(name)
    found = jax.jit(lambda p: solver(name)(model, p, events))({n: jnp.asarray(v) for n, v in p.items()})
    assert found.code == 0
    for output, values in expected.items():
        np.testing.assert_allclose(found.outputs[output], values, rtol=0, atol=1e-6 * np.abs(values).max())


EVERY = [
    pytest.param(Auto(1e-9, 1e-12), id="auto"),
    pytest.param(Lanes(rtol=1e-9, atol=1e-12), id="lanes", marks=pytest.mark.slow),
    pytest.param(General(rtol=1e-9, atol=1e-12), id="general", marks=pytest.mark.slow),
]


KINKS = (("s10_rate_minus2_duration_F", 6.0), ("s10_rate_minus2_duration_F", 27.0))


def sensitivities():
    with (DATA / "events_sensitivities.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [r for r in rows if r["CASE"] == name] for name in dict.fromkeys(r["CASE"] for r in rows)}


@pytest.mark.parametrize("solver", KINDS)
@pytest.mark.parametrize("name", sensitivities())
def test_reference_sensitivities(name, solver):
    """d output / d log parameter, lag, bioavailability and modelled duration included: 1e-5 of the largest."""
    rows = sensitivities()[name]
    model, p, _, expected = case(name)
    states, sampled = tuple(model.states), sorted({float(r["TIME"]) for r in rows})
    events = case(name, samples=sampled).events
    p = {n: jnp.asarray(v) for n, v in p.items()}
    wanted = {_parameter(r["PARAM"], states) for r in rows}

    def outputs(logs):
        return solver(name)(model, p | {n: jnp.exp(v) for n, v in logs.items()}, events).outputs

    slopes = jax.jit(jax.jacrev(outputs))({n: jnp.log(p[n]) for n in wanted})
    largest = {}
    for r in rows:
        key = r["OUTPUT"], r["PARAM"]
        largest[key] = max(largest.get(key, 0.0), abs(float(r["D_DLOGPARAM"])))
    names_of = dict(zip(dict.fromkeys(r["OUTPUT"] for r in rows), expected, strict=False))
    highest = {o: max(abs(float(r["VALUE"])) for r in rows if r["OUTPUT"] == o) for o, _ in largest}
    for r in rows:
        scale = largest[r["OUTPUT"], r["PARAM"]]
        # Left out: what the reference itself is unsure of, what does not depend on the parameter at all, and the kink
        # at the very end of an infusion of modelled duration, where differences mean nothing.
        kink = (name, float(r["TIME"])) in KINKS
        if float(r["ERR_EST"]) <= 1e-6 * scale and scale > 1e-9 * highest[r["OUTPUT"]] and not kink:
            found = slopes[names_of[r["OUTPUT"]]][_parameter(r["PARAM"], states)][sampled.index(float(r["TIME"]))]
            assert abs(float(found) - float(r["D_DLOGPARAM"])) <= 1e-5 * scale, (r["PARAM"], r["TIME"])


def nonmem(name):
    with (SHARED / "data" / name / f"{name}.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def record(row):
    """One row of NONMEM's tables; those of its dose rows are left out."""
    time, event = row["TIME"], int(row["EVID"])
    if event in (1, 4):
        regular = int(row["CMT"]) - 1, int(row["ADDL"]), row["II"], row["RATE"], 0.0, int(row["SS"]), event == 4
        return Dose(time, row["AMT"], *regular)
    return {0: float, 2: Mark, 3: Reset}[event](time)


@pytest.mark.external
@pytest.mark.parametrize("solver", EVERY)
def test_nonmem_dosing_scenarios(solver):
    """25 scenarios; NONMEM prints 5 digits, so 1e-4 (1 + x)."""
    rows, model = nonmem("events_nonmem_1cmt"), OneCompartmentOral()
    solve = jax.jit(lambda p, events: solver(model, p, events))
    for subject in dict.fromkeys(row["ID"] for row in rows):
        mine = [row for row in rows if row["ID"] == subject]
        one = mine[0]
        p = {"CL": 1.1, "VC": 20.0, "KA": 1.5, "ALAG_central": one["LAGT"], "F_central": one["BIOAV"]}
        p |= {"R_central": one["RAT2"], "D_central": one["DUR2"]}
        found = solve({n: jnp.asarray(v) for n, v in p.items()}, event_table([record(row) for row in mine], states=2))
        expected = np.array([row["NM_CP"] for row in mine if row["EVID"] == 0])
        error = np.abs(1000 * np.asarray(found.outputs["concentration"]) - expected)
        assert found.code == 0
        assert np.all(error <= 1e-4 * (1 + np.abs(expected))), f"scenario {subject:g}"


@pytest.mark.external
@pytest.mark.parametrize("solver", EVERY)
def test_nonmem_time_varying_covariate(solver):
    rows, model = nonmem("events_nonmem_timevarying"), OneCompartmentOral()
    weight = jnp.asarray([row["WT"] for row in rows])
    p = {"CL": 1.1 * (weight / 70.0) ** 0.75, "VC": jnp.asarray(20.0), "KA": jnp.asarray(1.5)}
    events = event_table([record(row) for row in rows], carried="nocb")
    found = np.asarray(solver(model, p, events).outputs["concentration"])
    expected = np.array([row["NM_CP"] for row in rows if row["EVID"] == 0])
    assert np.all(np.abs(1000 * found - expected) <= 1e-4 * (1 + np.abs(expected)))


@pytest.mark.external
@pytest.mark.parametrize("solver", EVERY)
def test_minimal_model_with_measured_insulin(solver):
    """Insulin runs linearly from measurement to measurement."""
    with (SHARED / "data" / "ivgtt_minmod" / "ivgtt_minmod.csv").open() as file:
        insulin = [(float(r["TIME"]), float(r["DV"])) for r in csv.DictReader(file) if r["DVID"] == "2"]
    with (DATA / "events_cases.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["CASE"] == "s25_minmod"]
    _, p, _, _ = case("s25_minmod", samples=[0.0])
    times = sorted({float(r["TIME"]) for r in rows})
    every = sorted({*times, *(t for t, _ in insulin)})
    p["INS"] = jnp.interp(jnp.asarray(every), *(jnp.asarray(c) for c in zip(*insulin, strict=True)))
    events = event_table([t if t in times else Mark(t) for t in every], carried="linear")
    found = solver(MinimalModel(), {n: jnp.asarray(v) for n, v in p.items()}, events)
    assert found.code == 0
    for output, ours in (("G", "glucose"), ("X", "action")):
        values = np.array([float(r["VALUE"]) for r in rows if r["OUTPUT"] == output])
        np.testing.assert_allclose(found.outputs[ours], values, rtol=0, atol=1e-6 * np.abs(values).max())
