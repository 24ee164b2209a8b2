"""Real tables and those of other programs, read as they are: subjects, doses and observations as their papers say."""

import json

import numpy as np
import pytest
from vtrial.models.friberg import Myelosuppression
from vtrial.models.friberg_oral import MyelosuppressionOral
from vtrial.models.iv_1cpt import OneCompartmentBolus
from vtrial.models.iv_3cpt import ThreeCompartmentIntravenous
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.oral_1cpt_idr1 import OneCompartmentOralIndirectResponse
from vtrial.models.sir import SusceptibleInfectedRecovered

from tests.helpers import SHARED
from vtrial.data import NonmemTable

pytestmark = pytest.mark.external

HOURS = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}
CP = {"concentration": 1}
DEPOT = {1: "depot", 2: "central"}
TABLES = {
    "theophylline": (OneCompartmentOral(), HOURS, CP, DEPOT, {}),
    "indometh": (OneCompartmentBolus(), HOURS, CP, {1: "central"}, {}),
    "phenobarbital": (
        OneCompartmentBolus(),
        HOURS | {"WT": "kg", "APGR": ""},
        CP,
        {1: "central"},
        {"covariates": ("WT", "APGR")},
    ),
    "warfarin_pkpd": (
        OneCompartmentOralIndirectResponse(),
        HOURS | {"DV": {"concentration": "mg/L", "response": ""}},
        {"concentration": 1, "response": 2},
        DEPOT,
        {},
    ),
    "nimotuzumab_infusion": (
        OneCompartmentBolus(),
        HOURS | {"WGT": "kg"},
        CP,
        {1: "central"},
        {"covariates": ("WGT", "OCC")},
    ),
    "neutrophil_friberg_sim": (
        MyelosuppressionOral(),
        {"TIME": "h", "AMT": "ug", "DV": {"concentration": "ng/mL", "circulating": "1/nL"}},
        {"concentration": 1, "circulating": 2},
        {1: "depot"},
        {},
    ),
    "neutrophil_wbcsim": (Myelosuppression(), HOURS | {"DV": "1/nL"}, {"circulating": 3}, {1: "central"}, {}),
    "influenza_1978": (SusceptibleInfectedRecovered(), {"TIME": "d", "AMT": "", "DV": ""}, {"infected": 1}, {}, {}),
    "events_nonmem_1cmt": (
        OneCompartmentOral(),
        HOURS | {"DV": "ug/L", "LAGT": "h", "BIOAV": ""},
        CP,
        DEPOT,
        {"columns": {"DV": "NM_CP"}, "covariates": ("LAGT", "BIOAV")},
    ),
    "events_nonmem_timevarying": (
        OneCompartmentOral(),
        HOURS | {"DV": "ug/L", "WT": "kg"},
        CP,
        DEPOT,
        {"columns": {"DV": "NM_CP"}, "covariates": ("WT",), "covariate_interpolation": "nocb"},
    ),
}
"""Folder -> model, units, outputs, compartments and other settings."""


def read(name, file=""):
    model, units, outputs, compartments, more = TABLES[name]
    path = str(SHARED / "data" / name / (file or f"{name}.csv"))
    return NonmemTable(path, units, outputs, compartments, **more).read(model)


@pytest.mark.parametrize("name", TABLES)
def test_counts_are_those_of_the_source(name):
    data = read(name)
    said = json.loads((SHARED / "data" / name / "meta.json").read_text())["tables"][0]
    assert len(data.subjects) == said["n_subjects"]
    assert len(data.doses.time) == said["n_dose_records"]
    assert sum(len(seen.value) for seen in data.observations.values()) == said["n_observations"]
    assert data.events.waste <= 0.2


def test_infusions_in_other_units():
    """Remifentanil: minutes, micrograms and nanograms become hours and milligrams; infusions keep their amount."""
    path = SHARED / "data" / "remifentanil" / "remifentanil.csv"
    units = {"TIME": "min", "AMT": "ug", "DV": "ng/mL", "AGE": "yr", "LBM": "kg"}
    data = NonmemTable(str(path), units, CP, {1: "central"}, ("AGE", "LBM")).read(ThreeCompartmentIntravenous())
    assert len(data.subjects) == 65
    assert data.doses.amount[0] == pytest.approx(1.4398)
    assert data.doses.rate[0] == pytest.approx(71.99e-3 * 60)
    assert data.observations["concentration"].value[0] == pytest.approx(9.51e-3)
    assert data.observations["concentration"].time[0] == pytest.approx(0.025)
    assert data.events.waste <= 0.2


def test_missing_as_empty_cells_and_no_rate():
    data = NonmemTable(
        str(SHARED / "data" / "phenobarbital_nlme" / "phenobarbital.csv"), HOURS, CP, {1: "central"}
    ).read(OneCompartmentBolus())
    assert (len(data.subjects), len(data.doses.time), len(data.observations["concentration"].value)) == (59, 589, 155)


def test_a_weight_at_every_record():
    data = read("events_nonmem_timevarying")
    assert data.varying["WT"].shape == (1, 34)
    assert data.varying["WT"][0, :3].tolist() == [62.65, 62.65, 79.43]
    assert data.events.tables[0].carried == "nocb"


def test_every_kind_of_record_of_nonmem_scenarios():
    data = read("events_nonmem_1cmt")
    assert {1, 4} == set(data.doses.evid.tolist())
    assert {0, 1, 2} == set(data.doses.steady.tolist())
    assert data.covariates["LAGT"].max() > 0


def test_occasions_are_whole_numbers_by_row():
    occasion = read("nimotuzumab_infusion").varying["OCC"]
    assert set(np.unique(occasion)) == set(range(1, 11))


def test_dates_beside_numbers_are_not_used():
    seen = read("influenza_1978").observations["infected"]
    assert seen.time.tolist() == list(range(1, 15))


def test_times_before_the_start_and_a_row_that_is_there_twice(caplog):
    """Tumour sizes begin before treatment; one row of the file is there twice, and R's nlme counted it twice (950)."""
    path = str(SHARED / "data" / "tumour_study2" / "tumour_study2.csv")
    data = NonmemTable(path, {"TIME": "d", "AMT": "", "DV": ""}, {"infected": 1}).read(SusceptibleInfectedRecovered())
    assert data.observations["infected"].time.min() < 0
    assert len(data.observations["infected"].value) == 950
    assert "row 663, ID 113, column TIME repeats the record of row 662" in caplog.text
