"""Measurements below the limit of quantification: one rule for endpoints and policies."""

import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.oral_1cpt import OneCompartmentOral

from tests.cohort.test_outcomes import ENDPOINTS, KEY, LOW, cohort, posterior
from vtrial.cohort import Assay, Treatment, simulate
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
__all__ = ["cohort"]


@pytest.mark.parametrize(("below", "taken"), [(0.5, 0.05), (0.0, 0.0), (None, np.nan)])
def test_what_cannot_be_quantified_is_replaced(below, taken):
    found = Assay("100 ug/L", below).reported(jnp.array([-0.2, 0.0999, 0.1, 3.0, jnp.nan]), "concentration", MODEL)
    np.testing.assert_allclose(found, [taken, taken, 0.1, 3.0, np.nan])


def test_measured_endpoints_are_of_what_is_reported(cohort, statistical):
    """With an error of 4 mg/L some measurements are negative; the true peak is what it is."""
    plain = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(4.0), statistical)
    course = Treatment(assays={"concentration": Assay("2 mg/L")})
    found = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(4.0), statistical, course=course)
    assert (plain.values["sample"] < 0).any()
    expected = np.where(plain.values["sample"] < 2.0, 1.0, plain.values["sample"])
    np.testing.assert_allclose(found.values["sample"], expected, rtol=1e-12)
    np.testing.assert_allclose(found.values["peak"], plain.values["peak"], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Assay("1 mg/L", 1.0), "less than 1"),
        (lambda: Treatment(assays={"effect": Assay("1 mg/L")}).check(MODEL, {}, ()), "no output of the model"),
        (lambda: Treatment(assays={"concentration": Assay("0 mg/L")}).check(MODEL, {}, ()), "is positive"),
        (lambda: Treatment(assays={"concentration": Assay("1 mg")}).check(MODEL, {}, ()), "lloq"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(UserError, match=said):
        make()
