import jax
import jax.numpy as jnp
import numpy as np
import pytest
from vtrial.models.iv_1cpt import OneCompartmentBolus

from tests.cohort.test_recruit import draws
from tests.helpers import bateman
from vtrial.cohort import Bootstrap, Cohort, Recruitment, outcomes, recruit, simulate
from vtrial.design import Arm
from vtrial.dosing import Regimen
from vtrial.endpoint import Maximum, Measured, Minimum, Window
from vtrial.likelihood import StatisticalModel

KEY = jax.random.key(5)
LOW, HIGH = (Arm(Regimen(f"{dose} mg", "12 h", 4, "depot")) for dose in (200, 400))
ENDPOINTS = {
    "peak": Maximum(Window("concentration", "36 h", "48 h", 13)),
    "trough": Minimum(Window("concentration", "36 h", "48 h", 13)),
    "sample": Measured(Window("concentration", "48 h")),
}


def posterior(sigma=0.0):
    count = len(draws()["CL"])
    return draws() | {"concentration_sigma_add": np.full(count, sigma), "concentration_sigma_prop": np.zeros(count)}


@pytest.fixture(scope="module")
def cohort(statistical, data):
    return recruit(jax.random.key(0), Recruitment(6, 10, Bootstrap()), draws(), statistical, data)


def test_equal_the_textbook_formula(cohort, statistical):
    found = simulate(KEY, cohort, (LOW,), ENDPOINTS, posterior(), statistical)
    time = np.linspace(36, 48, 13)
    for r, s in ((0, 0), (3, 7), (5, 9)):
        cl, vc, ka = (float(cohort.parameters[n][r, s]) for n in ("CL", "VC", "KA"))
        # A sample at the hour of a dose precedes it; by mouth both are the same.
        course = sum(bateman(time - 12 * k, 200.0, ka, cl, vc) for k in range(4))
        assert found.values["peak"][r, s, 0] == pytest.approx(course.max(), rel=1e-9)
        assert found.values["trough"][r, s, 0] == pytest.approx(course.min(), rel=1e-9)
        assert found.values["sample"][r, s, 0] == pytest.approx(course[-1], rel=1e-9)
    assert (found.code == 0).all()


def test_neither_blocks_nor_the_order_of_arms_matter(cohort, statistical, monkeypatch):
    one = simulate(KEY, cohort, (LOW, HIGH), ENDPOINTS, posterior(0.5), statistical)
    monkeypatch.setattr(outcomes, "_PROFILES", 80)  # blocks of four replicates, the last one half empty
    other = simulate(KEY, cohort, (HIGH, LOW), ENDPOINTS, posterior(0.5), statistical)
    for name, value in one.values.items():
        np.testing.assert_allclose(value, other.values[name][..., ::-1], rtol=1e-13)
    np.testing.assert_allclose(one.course["concentration"], other.course["concentration"][:, ::-1], rtol=1e-13)


def test_arms_share_the_patients_and_their_residual_errors(cohort, statistical):
    """Common random numbers: twice the dose is twice the truth, and the additive error is the same."""
    found = simulate(KEY, cohort, (LOW, HIGH), ENDPOINTS, posterior(0.5), statistical)
    np.testing.assert_allclose(found.values["peak"][..., 1], 2 * found.values["peak"][..., 0], rtol=1e-12)
    exact = simulate(KEY, cohort, (LOW, HIGH), ENDPOINTS, posterior(), statistical)
    error = found.values["sample"] - exact.values["sample"]
    np.testing.assert_allclose(error[..., 0], error[..., 1], rtol=1e-9)
    # 60 errors of SD 0.5: their SD within four standard errors.
    assert abs(error[..., 0].std() - 0.5) < 4 * 0.5 / np.sqrt(2 * 60)


def test_a_failed_solve_is_missing_and_counted(cohort, statistical):
    broken = {n: v.at[2, 4].set(jnp.nan) for n, v in cohort.parameters.items()}
    found = simulate(
        KEY, Cohort(cohort.draw, broken, cohort.covariates), (LOW, HIGH), ENDPOINTS, posterior(), statistical
    )
    assert (found.code != 0).sum() == 2
    assert (found.code[2, 4] == 1).all()
    for value in found.values.values():
        assert np.isnan(value[2, 4]).all()
        assert np.isfinite(np.delete(value.reshape(60, 2), 24, axis=0)).all()
    assert np.isfinite(found.course["concentration"]).all()


def test_a_window_from_dose_to_dose_has_the_peak_of_a_bolus_and_its_trough(statistical):
    """One compartment, bolus: just after the second dose C = D/V (1 + r), just before the third C r, r = exp(-12 k)."""
    model = OneCompartmentBolus()
    patients = Cohort(jnp.zeros(1, int), {"CL": jnp.asarray([[2.8]]), "VC": jnp.asarray([[32.0]])}, {})
    stretch = Window("concentration", "12 h", "24 h", 13)
    ends = {"peak": Maximum(stretch), "trough": Minimum(stretch), "sample": Measured(Window("concentration", "12 h"))}
    noise = {name: value[:1] for name, value in posterior().items()}
    bolus = StatisticalModel(model, statistical.population, statistical.solver, statistical.noise)
    found = simulate(KEY, patients, (Arm(Regimen("320 mg", "12 h", 3, "central")),), ends, noise, bolus)
    r = np.exp(-12 * 2.8 / 32.0)
    assert found.values["peak"][0, 0, 0] == pytest.approx(10 * (1 + r), rel=1e-9)
    assert found.values["trough"][0, 0, 0] == pytest.approx(10 * (1 + r) * r, rel=1e-9)
    assert found.values["sample"][0, 0, 0] == pytest.approx(10 * r, rel=1e-9)  # a single sample is a trough


def test_windows_that_meet_at_an_hour_with_float_noise_read_their_own_samples(statistical):
    """An inner point of one window and the start of another are the same hour, a dose's, though not in binary."""
    model = OneCompartmentBolus()
    bolus = StatisticalModel(model, statistical.population, statistical.solver, statistical.noise)
    patients = Cohort(jnp.zeros(1, int), {"CL": jnp.asarray([[2.8]]), "VC": jnp.asarray([[32.0]])}, {})
    hour = float(np.nextafter(2.1, 3.0))  # of the fourth dose; written 2.1 h below
    ends = {
        "inner": Minimum(Window("concentration", "0 h", f"{2 * hour!r} h", 3)),
        "start": Maximum(Window("concentration", "2.1 h", "2.7 h", 3)),
    }
    noise = {name: value[:1] for name, value in posterior().items()}
    found = simulate(KEY, patients, (Arm(Regimen("320 mg", "0.7 h", 4, "central")),), ends, noise, bolus)
    r = np.exp(-0.7 * 2.8 / 32.0)
    # Just after the fourth dose; and the least of: after the first, before the fourth, and 2.1 h later.
    assert found.values["start"][0, 0, 0] == pytest.approx(10 * (1 + r + r**2 + r**3), rel=1e-9)
    assert found.values["inner"][0, 0, 0] == pytest.approx(10.0, rel=1e-9)
