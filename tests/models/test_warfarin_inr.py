"""S-warfarin and INR (Hamberg 2007) against the dose table of the paper and an independent solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral
from vtrial.models.warfarin_inr import WarfarinINR

from tests.models.cards import AUTO, repeated, solve, subject
from vtrial.dosing import event_table

MODEL = WarfarinINR()
CYP2C9 = {"*1/*1": 0, "*1/*2": 1, "*1/*3": 10, "*2/*2": 2, "*2/*3": 11, "*3/*3": 20}
"""*2 counts 1 and *3 10, so that each pair of alleles has a sum of its own."""
TABLE = {
    "*1/*1": [[9.08, 7.72, 6.36], [5.94, 5.06, 4.16], [4.32, 3.68, 3.04]],
    "*1/*2": [[6.22, 5.30, 4.40], [4.10, 3.50, 2.90], [2.98, 2.54, 2.10]],
    "*1/*3": [[5.04, 4.30, 3.58], [3.30, 2.82, 2.34], [2.40, 2.06, 1.71]],
    "*2/*2": [[2.54, 2.16, 1.77], [1.66, 1.41, 1.16], [1.21, 1.03, 0.84]],
    "*2/*3": [[2.82, 2.40, 1.97], [1.85, 1.57, 1.29], [1.35, 1.14, 0.94]],
    "*3/*3": [[1.38, 1.18, 1.00], [0.90, 0.77, 0.65], [0.66, 0.56, 0.47]],
}
"""Table 5: mg of racemic warfarin a day for an INR of 2.5; rows VKORC1 GG, GA, AA, columns 50, 70, 90 years."""


def patient(age, cyp2c9, alleles):
    return subject("warfarin_inr", MODEL, {"AGE": age, "CYP2C9": CYP2C9[cyp2c9], "VKORC1": alleles})


def needed(p, inr=2.5):
    """The closed form: at steady state both chains are at 1 - I, with S-warfarin at (dose/48)/CL."""
    left = np.sqrt(1 - ((inr - p["BASE"]) / p["INRMAX"]) ** (1 / p["LAMBDA"]))
    inhibited = (1 - left) / p["EMAX"]
    return 48 * p["CL"] * p["EC50"] * (inhibited / (1 - inhibited)) ** (1 / p["GAMMA"])


@pytest.mark.parametrize("genotype", CYP2C9)
def test_published_dose_table(genotype):
    found = [[needed(patient(age, genotype, alleles)) for age in (50, 70, 90)] for alleles in range(3)]
    np.testing.assert_allclose(found, TABLE[genotype], rtol=0.04)
    if genotype == "*1/*1":
        np.testing.assert_allclose(found[0], [9.393402, 7.958091, 6.522780], rtol=1e-6)


def test_the_closed_form_is_a_steady_state_of_the_equations():
    p = patient(70, "*1/*1", 0)
    infused = needed(p) / 48
    c = infused / p["CL"]
    left = 1 - c ** p["GAMMA"] / (p["EC50"] ** p["GAMMA"] + c ** p["GAMMA"])
    y = dict.fromkeys(MODEL.states, left)
    y |= {"depot": infused / p["KA"], "central": c * p["VC"], "peripheral": c * p["VP"]}
    rates = MODEL.rates(0.0, y, p)
    assert float(rates.pop("depot")) == pytest.approx(-infused)
    assert all(abs(float(rate)) < 1e-12 for rate in rates.values())
    assert float(MODEL.observe(0.0, y, p)["inr"]) == pytest.approx(2.5, rel=1e-9)


@pytest.mark.parametrize(
    ("genotype", "alleles", "expected"),
    [
        ("*1/*1", 0, [1.053253, 1.293742, 1.493272, 1.826837, 1.953897]),
        ("*1/*3", 2, [1.145982, 1.817344, 2.412392, 3.538144, 4.089485]),
    ],
)
def test_course_of_the_inr(genotype, alleles, expected):
    rows = [repeated(5.0, 24.0, 31), 72.0, 120.0, 168.0, 336.0, 720.0]
    np.testing.assert_allclose(solve(MODEL, patient(71, genotype, alleles), rows)["inr"], expected, rtol=1e-4)


@pytest.mark.slow
def test_inr_at_day_90_under_the_published_doses():
    """All 54: one program, for the dose is a factor of F_depot. The table has three digits, or two below 1 mg."""
    cells = [(g, a, i, TABLE[g][a][i]) for g in CYP2C9 for a in range(3) for i in range(3)]
    people = [patient((50, 70, 90)[i], g, a) | {"F_depot": 0.5 * dose} for g, a, i, dose in cells]
    events = event_table([repeated(1.0, 24.0, 90), 2160.0])
    p = {n: jnp.asarray([one[n] for one in people], float) for n in people[0]}
    found = jax.jit(jax.vmap(lambda p: AUTO(MODEL, p, events)))(p)
    assert (np.asarray(found.code) == 0).all()
    inr = dict(zip((cell[:3] for cell in cells), np.asarray(found.outputs["inr"])[:, 0], strict=True))
    assert inr["*1/*1", 0, 1] == pytest.approx(2.4413, rel=1e-4)
    np.testing.assert_allclose(list(inr.values()), 2.5, rtol=0.03)


def test_inr_at_day_90_under_the_published_dose():
    inr = solve(MODEL, patient(70, "*1/*1", 0), [repeated(7.72, 24.0, 90), 2160.0])["inr"][0]
    assert inr == pytest.approx(2.4413, rel=1e-4)


def test_r_warfarin_has_its_published_half_life():
    """64 h, of two digits: 63.5 to 64.5, so that in 64 h a half is left within 0.5 %."""
    p = subject("warfarin_r", OneCompartmentOral())
    late = solve(OneCompartmentOral(), p, [repeated(10.0, 24.0, 1), 100.0, 164.0])["concentration"]
    assert late[1] / late[0] == pytest.approx(0.5, rel=0.0055)


def test_without_drug_the_inr_stays():
    np.testing.assert_allclose(solve(MODEL, patient(71, "*1/*1", 0), [0.0, 1000.0])["inr"], 1.0)
