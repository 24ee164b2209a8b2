"""The event-record reference cases: which model each is for, its parameters and its rows."""

import csv
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from vtrial.models.friberg import Myelosuppression
from vtrial.models.hiv import HIVTherapy
from vtrial.models.minmod import MinimalModel
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_effect import OneCompartmentOralEffect
from vtrial.models.oral_1cpt_idr1 import OneCompartmentOralIndirectResponse
from vtrial.models.oral_1cpt_metabolite import OneCompartmentOralMetabolite
from vtrial.models.oral_1cpt_mm import OneCompartmentOralMichaelisMenten
from vtrial.models.oral_2cpt import TwoCompartmentOral
from vtrial.models.oral_transit_1cpt import OneCompartmentOralTransit
from vtrial.models.simeoni import TumourGrowthInhibition
from vtrial.models.sir import SusceptibleInfectedRecovered
from vtrial.models.tmdd import TargetMediatedDisposition

from vtrial.dosing import Dose, EventTable, Reset, event_table
from vtrial.model import AbstractModel

DATA = Path(__file__).parent / "data"

C = {"CP": "concentration"}
MODELS = {
    "pk1": (OneCompartmentOral, C),
    "pk2": (TwoCompartmentOral, C),
    "pk1mm": (OneCompartmentOralMichaelisMenten, C),
    "metab": (OneCompartmentOralMetabolite, C | {"CM": "metabolite"}),
    "transit": (OneCompartmentOralTransit, C),
    "idr1": (OneCompartmentOralIndirectResponse, C | {"R": "response"}),
    "effect": (OneCompartmentOralEffect, C | {"CE": "site", "E": "effect"}),
    "friberg": (Myelosuppression, C | {"ANC": "circulating"}),
    "tmdd": (TargetMediatedDisposition, {"L": "ligand", "R": "receptor", "LR": "complex"}),
    "tgi_simeoni": (TumourGrowthInhibition, C | {"W": "weight"}),
    "hiv": (HIVTherapy, {"LOG10V": "log10_virus", "T": "target"}),
    "minmod": (MinimalModel, {"G": "glucose", "X": "action"}),
    "sir": (SusceptibleInfectedRecovered, {"I": "infected", "R": "recovered"}),
}
"""By the reference's name: model, and its outputs by the reference's."""

NAMES = {"V": "VC", "KASC": "KA", "L0": "LAMBDA0", "L1": "LAMBDA1"}
"""Parameters the reference calls otherwise."""

EXTRA = {"tmdd": {"KPT": 0.0, "KTP": 0.0}}
"""Parameters of ours the reference does not have."""


class Case(NamedTuple):
    model: AbstractModel
    p: dict[str, float | jnp.ndarray]
    events: EventTable
    expected: dict[str, np.ndarray]


@cache
def _tables():
    with (DATA / "events_cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    return json.loads((DATA / "events_parameters.json").read_text()), rows


def names() -> list[str]:
    """All cases but the minimal model, whose insulin is in data that stay outside."""
    return [name for name in _tables()[0] if name != "s25_minmod"]


def case(name: str, samples: list[float] | None = None) -> Case:
    """Return a case, with its own samples or others."""
    every, rows = _tables()
    kind = every[name]["model"]
    model, outputs = MODELS[kind][0](), MODELS[kind][1]
    states = tuple(model.states)
    p = {_parameter(n, states): value for n, value in every[name]["parameters"].items()} | EXTRA.get(kind, {})
    mine = [row for row in rows if row["CASE"] == name]
    first = next(iter(outputs))
    records = [_record(row) for row in mine if row["OUTPUT"] == first]
    if samples is not None:
        records = [r for r in records if not isinstance(r, float)] + samples
    carried, seen = "", [row for row in mine if row["EVID"] == "0"]
    if mine[0]["COV"].strip('"'):
        carried = "nocb"
        clearance = [json.loads(row["COV"])["CRCL"] for row in mine if row["OUTPUT"] == first]
        p["CL"] = p["CL"] * (jnp.asarray(clearance) / 90.0) ** 0.7
    expected = {ours: np.array([float(r["VALUE"]) for r in seen if r["OUTPUT"] == o]) for o, ours in outputs.items()}
    return Case(model, p, event_table(records, states=len(states), carried=carried), expected)


def _parameter(name: str, states: tuple[str, ...]) -> str:
    """Our name of a parameter: F1 is F of the first state."""
    letters = name.rstrip("0123456789")
    if letters in ("F", "ALAG", "D", "R") and letters != name:
        return f"{letters}_{states[int(name[len(letters) :]) - 1]}"
    return NAMES.get(name, name)


def _record(row: dict[str, str]) -> Dose | Reset | float:
    time, event = float(row["TIME"]), int(row["EVID"])
    if event == 0:
        return time
    if event == 3:
        return Reset(time)
    amount, rate, interval = (float(row[column]) for column in ("AMT", "RATE", "II"))
    more, steady = int(row["ADDL"]), int(row["SS"])
    return Dose(time, amount, int(row["CMT"]) - 1, more, interval, rate, 0.0, steady, event == 4)
