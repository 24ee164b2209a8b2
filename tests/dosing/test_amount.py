"""Amounts that go by a patient's covariates: formulas, rounding, limits, and event tables mapped over patients."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.dosing.test_formulas import EXAMPLES
from tests.helpers import finished
from vtrial.dosing import (
    AbstractMeasure,
    AbstractRounding,
    After,
    Banded,
    Calvert,
    Combined,
    Consecutive,
    Cycles,
    Dose,
    DuBois,
    Mosteller,
    PerCategory,
    PerCovariate,
    Regimen,
    RoundDown,
    RoundNearest,
    RoundUp,
    Scaled,
    Weekly,
)
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve import General

MODEL = OneCompartmentOral()
WEIGHT = PerCovariate("WT", "kg")
PATIENT = {"WT": 70.0, "HT": 170.0, "GFR": 75.0}


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        (WEIGHT, 70.0),
        # Worked by hand: 70^0.425 = 6.08368, 170^0.725 = 41.4072; sqrt(70 x 170 / 3600).
        (DuBois("WT", "kg", "HT", "cm"), 1.80971),
        (Mosteller("WT", "kg", "HT", "cm"), 1.81812),
        (Calvert("GFR", "mL/min"), 100.0),
    ],
)
def test_measures(measure, wanted):
    assert float(measure.value(PATIENT)) == pytest.approx(wanted, rel=1e-5)
    assert measure.describe()


def test_every_measure_and_rounding_is_tested():
    formulas = {type(measure) for measure, _, _ in EXAMPLES}  # in test_formulas.py
    assert set(finished(AbstractMeasure)) == {PerCategory, PerCovariate, DuBois, Mosteller, Calvert} | formulas
    assert set(finished(AbstractRounding)) == {RoundNearest, RoundUp, RoundDown}


def test_measures_take_covariates_in_other_units():
    patient = {"WT": 70_000.0, "HT": 1.70, "GFR": 4.5}
    for measure, same in (
        (DuBois("WT", "g", "HT", "m"), DuBois("WT", "kg", "HT", "cm")),
        (Mosteller("WT", "g", "HT", "m"), Mosteller("WT", "kg", "HT", "cm")),
        (Calvert("GFR", "L/h"), Calvert("GFR", "mL/min")),
    ):
        assert float(measure.value(patient)) == pytest.approx(float(same.value(PATIENT)), rel=1e-12)


@pytest.mark.parametrize(
    ("amount", "wanted"),
    [
        (Scaled("15 mg/kg", WEIGHT), 1050.0),
        (Scaled("0.015 g/kg", WEIGHT), 1050.0),
        (Scaled("175 mg/m^2", Mosteller("WT", "kg", "HT", "cm")), 318.171),
        (Scaled("5 mg*min/mL", Calvert("GFR", "mL/min")), 500.0),
        (Scaled("15 mg/kg", WEIGHT, most="1 g"), 1000.0),
        (Scaled("15 mg/kg", WEIGHT, least="1.2 g"), 1200.0),
        (Scaled("15 mg/kg", WEIGHT, most="1 g", rounding=RoundUp("500 mg")), 1000.0),
        (Scaled("15 mg/kg", WEIGHT, rounding=RoundNearest("100 mg")), 1100.0),
        (Scaled("15 mg/kg", WEIGHT, rounding=RoundNearest("250 mg")), 1000.0),
        (Scaled("15 mg/kg", WEIGHT, rounding=RoundUp("250 mg")), 1250.0),
        (Scaled("15 mg/kg", WEIGHT, rounding=RoundDown("100 mg")), 1000.0),
        (Scaled("1 mg/kg", WEIGHT, least="100 mg", rounding=RoundDown("100 mg")), 100.0),
    ],
)
def test_amounts(amount, wanted):
    amount.check("mg")
    assert float(amount.value("mg", PATIENT)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("rounding", [RoundNearest("0.1 mg"), RoundUp("0.1 mg"), RoundDown("0.1 mg")])
def test_a_whole_number_of_tablets_stays_as_it_is(rounding):
    """0.1 kg x 3 is more than 0.3 in binary, and 0.3 / 0.1 less than 3."""
    for tablets in range(1, 300):
        found = Scaled("1 mg/kg", WEIGHT, rounding=rounding).value("mg", {"WT": 0.1 * tablets})
        assert float(found) == pytest.approx(0.1 * tablets, rel=1e-12)


MISTAKES = [
    (Scaled("15 mg", WEIGHT), "dose is given in 'mg'"),
    (Scaled("15 nmol/kg", WEIGHT), "only by a molar mass"),
    (Scaled("0 mg/kg", WEIGHT), "must be positive"),
    (Scaled("15 mg/kg", WEIGHT, least="2 g", most="1 g"), "at least 2 g and at most 1 g"),
    (Scaled("15 mg/kg", WEIGHT, most="1 h"), "most is given in 'h'"),
    (Scaled("15 mg/kg", WEIGHT, most="0 g"), "correct these limits"),
    (Scaled("15 mg/kg", WEIGHT, rounding=RoundUp("0 mg")), "that must be positive"),
    (Scaled("15 mg/kg", WEIGHT, rounding=RoundUp("1 kg/h")), "rounding is given in 'kg/h'"),
    (Scaled("15 mg/kg", WEIGHT, most="1.9 g", rounding=RoundUp("250 mg")), "1.9 g is no whole number of 250 mg"),
    (Scaled("15 mg/m^2", DuBois("WT", "cm", "HT", "cm")), "Covariate WT is given in 'cm'"),
]


@pytest.mark.parametrize(("amount", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_mistakes(amount, said):
    with pytest.raises(UserError) as caught:
        Regimen(amount, "12 h", 2, "depot").orders(MODEL)
    assert said in str(caught.value)


TABLETS = Scaled("4 mg/kg", WEIGHT, least="100 mg", rounding=RoundNearest("50 mg"))
FIXED_RATE = Regimen("100 mg", "24 h", 3, "central", rate="40 mg/h", start="3 h")
REGIMENS = {
    "bolus": lambda dose: Regimen(dose, "12 h", 4, "depot"),
    "infusion": lambda dose: Regimen(dose, "12 h", 4, "central", over="2 h"),
    "steady state": lambda dose: Regimen(dose, "12 h", 4, "central", over="2 h", steady_state=True),
    "beside a fixed dose": lambda dose: Combined([FIXED_RATE, Regimen(dose, "12 h", 4, "depot"), FIXED_RATE]),
    "maintenance after a fixed loading dose": lambda dose: Consecutive(
        [FIXED_RATE, Cycles(dose, [1], "1 d", 2, "depot")]
    ),
    "timed by a parameter": lambda dose: Regimen(dose, "12 h", 4, "central", timed=True),
    "weekly": lambda dose: Weekly(dose, "mon", ["8 h", "20 h"], 1, "depot"),
}
SAMPLES = [0.0, After(0.0), 5.0, 12.0, 30.0, 60.0]


@pytest.mark.parametrize("kind", REGIMENS)
def test_a_table_of_many_patients_is_each_patients_own(kind):
    """Under jit and vmap, traced covariates give the table of the amounts written out."""
    weight = jnp.array([19.0, 52.0, 70.0, 113.0])
    by_weight = REGIMENS[kind](TABLETS)
    batch = jax.jit(jax.vmap(lambda w: by_weight.records(MODEL, SAMPLES, {"WT": w})))(weight)
    for i, amount in enumerate((100, 200, 300, 450)):
        alone = REGIMENS[kind](f"{amount} mg").records(MODEL, SAMPLES)
        for many, one in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(many[i], one, rtol=1e-14)
        assert (batch.dosed, batch.infused, batch.filled) == (alone.dosed, alone.infused, alone.filled)


def test_solutions_by_weight_equal_a_loop():
    weight = jnp.array([52.0, 70.0, 113.0])
    p, solve, regimen = {"CL": 2.8, "VC": 32.0, "KA": 1.5}, General(), Regimen(TABLETS, "12 h", 3, "depot")
    batch = jax.jit(jax.vmap(lambda w: solve(MODEL, p, regimen.records(MODEL, SAMPLES, {"WT": w}))))(weight)
    for i, amount in enumerate((200, 300, 450)):
        alone = jax.jit(solve)(MODEL, p, Regimen(f"{amount} mg", "12 h", 3, "depot").records(MODEL, SAMPLES))
        np.testing.assert_allclose(batch.outputs["concentration"][i], alone.outputs["concentration"], rtol=1e-6)


def test_covariates_must_be_known_in_their_unit():
    in_pounds = Regimen(Scaled("2 mg/lb", PerCovariate("WT", "lb")), "12 h", 4, "depot")
    regimen = Combined([FIXED_RATE, Regimen(TABLETS, "12 h", 4, "depot")])
    regimen.check_covariates(MODEL, {"WT": "kg"})
    with pytest.raises(UserError, match=r"covariate WT, which the dataset does not have.*Did you mean 'WTKG'"):
        regimen.check_covariates(MODEL, {"WTKG": "kg"})
    with pytest.raises(UserError, match="WT is in 'lb' in the data, but the dose takes it in 'kg'"):
        regimen.check_covariates(MODEL, {"WT": "lb"})
    with pytest.raises(UserError, match="WT is in 'kg' in the data, but the dose takes it in 'lb'"):
        Combined([in_pounds, regimen]).check_covariates(MODEL, {"WT": "kg"})
    with pytest.raises(UserError, match="WT of the data is given in 'cm'"):
        regimen.check_covariates(MODEL, {"WT": "cm"})


@pytest.mark.parametrize(
    ("amount", "weight", "said"),
    [
        (Scaled("4 mg/kg", WEIGHT, rounding=RoundDown("200 mg")), 45.0, "WT 45 kg is given 0 mg"),
        (Scaled("4 mg/kg", WEIGHT), -1.0, "WT -1 kg is given nan mg"),
        (Scaled("4 mg/kg", WEIGHT), np.nan, "WT nan kg is given nan mg"),
        (TABLETS, -1.0, "WT -1 kg"),
    ],
)
def test_nobody_is_given_nothing(amount, weight, said):
    regimen = Regimen(amount, "12 h", 4, "depot")
    regimen.check_patients(MODEL, {"WT": np.array([[70.0, 60.0], [80.0, 90.0]])})
    with pytest.raises(UserError, match=said):
        regimen.check_patients(MODEL, {"WT": np.array([[70.0, 60.0], [80.0, weight]])})


class Moles(AbstractModel):
    """A drug counted in nmol that nothing happens to."""

    time: ClassVar = "h"
    states: ClassVar = {"drug": "nmol"}
    parameters: ClassVar = {}
    outputs: ClassVar = {"drug": "nmol"}
    linear: ClassVar = True

    def initial(self, p):
        return {"drug": 0.0}

    def rates(self, t, y, p):
        return {"drug": 0.0 * y["drug"]}

    def observe(self, t, y, p):
        return y


def test_a_molar_mass_leads_from_mass_to_substance():
    """140 mg at 140 kg/mol are 1000 nmol."""
    fixed = Regimen("140 mg", "2 week", 3, "drug", molar_mass="140 kg/mol", rate="14 mg/h")
    assert fixed.orders(Moles())[0].record == pytest.approx(Dose(0.0, 1000.0, 0, 2, 336.0, rate=100.0), rel=1e-12)
    by_weight = Regimen(Scaled("2 mg/kg", WEIGHT, most="140 mg"), "2 week", 3, "drug", molar_mass="140 kg/mol")
    for weight, amount in ((35.0, 500.0), (100.0, 1000.0)):
        found = by_weight.records(Moles(), [0.0], {"WT": weight}).amount
        np.testing.assert_allclose(found, [0.0, amount, amount, amount], rtol=1e-12)
    with pytest.raises(UserError, match="only by a molar mass; give molar_mass"):
        Regimen("140 mg", "2 week", 3, "drug").orders(Moles())
    with pytest.raises(UserError, match="molar_mass is 0 g/mol; it must be positive"):
        Regimen("140 mg", "2 week", 3, "drug", molar_mass="0 g/mol").orders(Moles())


def test_words():
    amount = Scaled("175 mg/m^2", Mosteller("WT", "kg", "HT", "cm"), most="350 mg", rounding=RoundDown("10 mg"))
    assert amount.describe() == (
        "175 mg/m^2 by body surface (Mosteller, WT and HT) (at most 350 mg, rounded down to whole 10 mg)"
    )


BANDS = Banded(WEIGHT, ["15 kg", "30 kg"], ["100 mg", "0.2 g", "400 mg"])


@pytest.mark.parametrize(
    ("weight", "dose"), [(14.9, 100.0), (15.0, 200.0), (29.9, 200.0), (30.0, 400.0), (0.0, np.nan)]
)
def test_a_band_gives_its_dose(weight, dose):
    np.testing.assert_allclose(BANDS.value("mg", {"WT": weight}), dose)
    table = Regimen(BANDS, "6 h", 4, "depot").records(MODEL, [], {"WT": jnp.asarray(weight)})
    np.testing.assert_allclose(np.max(table.amount), dose)


@pytest.mark.parametrize(
    ("bounds", "doses", "said"),
    [
        (["15 kg"], ["1 mg"], "one dose more"),
        (["15 kg", "15 kg"], ["1 mg", "2 mg", "3 mg"], "must go up"),
        (["15 kg"], ["0 mg", "2 mg"], "must be positive"),
    ],
)
def test_bands_that_are_none(bounds, doses, said):
    with pytest.raises(UserError, match=said):
        Regimen(Banded(WEIGHT, bounds, doses), "6 h", 4, "depot").orders(MODEL)
