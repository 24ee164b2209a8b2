"""Measures by formula, against numbers that others have published."""

import jax.numpy as jnp
import numpy as np
import pytest

from vtrial.dosing import (
    AbsoluteFiltrationRate,
    BodyMassIndex,
    Calvert,
    CreatinineClearance,
    FatFreeMass,
    FiltrationRate,
    FiltrationRateChild,
    IdealBodyWeight,
    Mosteller,
    PerCategory,
    PerCovariate,
    PostmenstrualAge,
    check_limits,
)
from vtrial.errors import UserError
from vtrial.population import LogNormalPrior, Parameter, Population, PowerEffect, check_observed

MAN, WOMAN = {"SEX": 1.0}, {"SEX": 2.0}
INCH = 2.54

GENOTYPES = PerCategory({"CYP2C9": {0: 1.0, 1: 0.685, 10: 0.547}, "VKORC1": {0: 1.0, 1: 0.655, 2: 0.477}})

# Measure, patient, and the published number with the digits it was published with.
EXAMPLES = [
    # 70 kg and 1.76 m: the standard man of Holford and Anderson 2017, doi:10.1016/j.ejps.2017.05.056, fat-free 56.1 kg.
    (FatFreeMass(2.0), MAN | {"WT": 70.0, "HT": 176.0}, "56.1"),
    # WHO's limits of overweight and obesity at 1.70 m: 72.25 and 86.7 kg (WHO Technical Report Series 894).
    (BodyMassIndex(), {"WT": 72.25, "HT": 170.0}, "25.0"),
    (BodyMassIndex("WT", "g", "HT", "m"), {"WT": 86_700.0, "HT": 1.70}, "30.0"),
    # Devine's base weights at 60 inches, and 10 inches over it.
    (IdealBodyWeight(2.0), MAN | {"HT": 60 * INCH}, "50.0"),
    (IdealBodyWeight(2.0), WOMAN | {"HT": 60 * INCH}, "45.5"),
    (IdealBodyWeight(2.0), MAN | {"HT": 70 * INCH}, "73.0"),
    # The calculators of the National Kidney Foundation, as the tests of the R package admiral cite them.
    (CreatinineClearance(2.0), MAN | {"SCR": 1.09, "AGE": 55.0, "WT": 90.0}, "97"),
    (CreatinineClearance(2.0, creatinine_unit="umol/L"), WOMAN | {"SCR": 85.0, "AGE": 65.0, "WT": 60.0}, "55"),
    (FiltrationRate(2.0), MAN | {"SCR": 1.09, "AGE": 55.0}, "80"),
    (FiltrationRate(2.0), MAN | {"SCR": 1.2, "AGE": 55.0}, "71"),
    (FiltrationRate(2.0, creatinine_unit="umol/L"), WOMAN | {"SCR": 85.0, "AGE": 65.0}, "66"),
    # The test of the R package transplantr.
    (FiltrationRateChild(), {"SCR": 0.6, "HT": 101.0, "AGE": 4.0}, "69.5"),
    # The same child's own rate: 17 kg and 101 cm have sqrt(17 x 101 / 3600) = 0.6906 m^2, of 1.73.
    (
        AbsoluteFiltrationRate(FiltrationRateChild(), Mosteller("WT", "kg", "HT", "cm")),
        {"SCR": 0.6, "HT": 101.0, "AGE": 4.0, "WT": 17.0},
        "27.8",
    ),
    # Goti 2018: creatinine below 1 mg/dL counts as 1 above 60 years: (140 - 72) 70 / 72, not of 0.5.
    (CreatinineClearance(2.0, floor=1.0, floor_above=60.0), MAN | {"SCR": 0.5, "AGE": 72.0, "WT": 70.0}, "66.1"),
    (CreatinineClearance(2.0, floor=1.0, floor_above=60.0), MAN | {"SCR": 0.5, "AGE": 50.0, "WT": 70.0}, "175.0"),
    # Born at 33 weeks and 1 day, 10 weeks and 5 days old: 43 weeks and 6 days (American Academy of Pediatrics 2004).
    (PostmenstrualAge("AGE", "day", "GA"), {"AGE": 75.0, "GA": 33 + 1 / 7}, f"{43 + 6 / 7:.6f}"),
    (PostmenstrualAge(), {"AGE": 1.0}, "92.18"),
    # Hamberg 2007, table 5: 7.72 mg at 70 years for *1/*1 and GG, 3.68 mg for *1/*1 and AA, 2.02 for *1/*3 and AA.
    (GENOTYPES, {"CYP2C9": 0.0, "VKORC1": 2.0}, f"{3.68 / 7.72:.2f}"),
    (GENOTYPES, {"CYP2C9": 10.0, "VKORC1": 2.0}, f"{2.02 / 7.72:.2f}"),
]


@pytest.mark.parametrize(("measure", "patient", "published"), EXAMPLES)
def test_published_examples(measure, patient, published):
    digits = len(published.partition(".")[2])
    found = float(measure.value({name: jnp.asarray(value) for name, value in patient.items()}))
    assert abs(found - float(published)) <= 0.5000001 * 10.0**-digits
    assert set(measure.covariates) == set(patient)
    assert measure.describe()


def test_fat_free_mass_is_that_of_the_other_form_of_the_formula():
    """WHSmax HT^2 WT / (WHS50 HT^2 + WT), 42.92 and 30.93 in men, 37.99 and 35.98 in women (Holford and Anderson)."""
    for who, (most, half) in ((MAN, (42.92, 30.93)), (WOMAN, (37.99, 35.98))):
        for weight, height in ((50.0, 1.5), (70.0, 1.76), (120.0, 1.9)):
            other = most * height**2 * weight / (half * height**2 + weight)
            found = FatFreeMass(2.0).value(who | {"WT": weight, "HT": 100 * height})
            assert float(found) == pytest.approx(other, rel=3e-4)  # the coefficients have four digits


def test_filtration_goes_on_smoothly_at_the_knot_and_falls_with_creatinine():
    for who, knot in ((MAN, 0.9), (WOMAN, 0.7)):
        low, high = (float(FiltrationRate(2.0).value(who | {"SCR": knot + e, "AGE": 40.0})) for e in (-1e-9, 1e-9))
        assert low == pytest.approx(high, rel=1e-7)
    # At its knot the formula is 142 x 0.9938^age, in women times 1.012.
    at = {"SCR": 0.7, "AGE": 40.0}
    assert float(FiltrationRate(2.0).value(WOMAN | at)) == pytest.approx(142 * 0.9938**40 * 1.012, rel=1e-12)


def test_a_patient_of_another_category_cannot_be_given_the_dose():
    assert jnp.isnan(GENOTYPES.value({"CYP2C9": jnp.asarray(3.0), "VKORC1": jnp.asarray(0.0)}))


def test_a_rate_of_a_standard_surface_is_no_persons_own():
    """140 kg and 190 cm have 2.718 m^2: by the rate of 1.73 m^2 the dose of carboplatin would be a third too small."""
    index = FiltrationRate(2.0)
    own = AbsoluteFiltrationRate(index, PerCovariate("BSA", "m^2"))
    man = MAN | {"SCR": 1.0, "AGE": 40.0, "BSA": (140 * 190 / 3600) ** 0.5}
    assert float(own.value(man) / index.value(man)) == pytest.approx(2.7183 / 1.73, rel=1e-4)
    assert own.unit == "mL/min"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Calvert("EGFR", FiltrationRate(2.0).unit),
            "EGFR is given in 'mL/min/1.73m.2', but 'mL/min' is wanted",
        ),
        (lambda: AbsoluteFiltrationRate(CreatinineClearance(2.0), PerCovariate("BSA", "m^2")), "a person's own rate"),
        (lambda: AbsoluteFiltrationRate(FiltrationRate(2.0), PerCovariate("WT", "kg")), "cannot be converted to 'm.2'"),
        (
            lambda: check_observed(
                Population(
                    {
                        "CL": Parameter(
                            "L/h", LogNormalPrior(4.5, 0.3), None, {"K": PowerEffect("K", "mL/min", 120.0, 0.8)}
                        )
                    }
                ),
                {"K": FiltrationRate(2.0).unit},
                {"K": np.asarray([90.0])},
                ("A",),
            ),
            "Covariate K of the data is given in 'mL/min/1.73m.2', but 'mL/min' is wanted.*AbsoluteFiltrationRate",
        ),
    ],
)
def test_mixed_rates_are_refused(make, said):
    with pytest.raises(UserError, match=said):
        make()


@pytest.mark.parametrize(
    ("formula", "covariate", "unit", "inside", "outside", "said"),
    [
        (FiltrationRate(2.0), "AGE", "month", [216.0, 900.0], 35.0, "AGE of at least 18 year, but .* has 2.917"),
        (CreatinineClearance(2.0), "AGE", "year", [18.0, 90.0], 17.0, "FiltrationRateChild"),
        (FiltrationRateChild(), "AGE", "year", [1.0, 17.9], 0.5, "at least 1 and at most 18 year, but .* has 0.5"),
        (FiltrationRateChild(), "AGE", "year", [1.0, 17.9], 30.0, "adults have FiltrationRate"),
        (IdealBodyWeight(2.0), "HT", "m", [1.22, 2.0], 0.9, "HT of at least 121.92 cm, but .* has 90"),
    ],
)
def test_formulas_refuse_people_they_do_not_hold_for(formula, covariate, unit, inside, outside, said):
    """However deep they are in what uses them."""
    used = (
        {"arm": AbsoluteFiltrationRate(formula, Mosteller("WT", "kg", "HT", "cm"))}
        if "1.73" in formula.unit
        else [formula]
    )
    check_limits(used, {covariate: jnp.asarray(inside)}, {covariate: unit})
    with pytest.raises(UserError, match=said):
        check_limits(used, {covariate: jnp.asarray([*inside, outside])}, {covariate: unit})
