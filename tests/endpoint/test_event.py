"""Times to an event: the cumulative hazard is inverted at the patient's own draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.endpoint import Course, TimeToEvent, Window
from vtrial.errors import UserError

MODEL = OneCompartmentOral()
ENDPOINT = TimeToEvent(Window("hazard", "0 h", "10 h", 101))
TIME = np.linspace(0, 10, 101)


@jax.jit
@jax.vmap
def when(key, factor):
    """Time to an event with hazard 0.1 x factor x 1.5 sqrt(t): Weibull."""
    hazard = 0.1 * factor * jnp.asarray(TIME) ** 1.5
    return ENDPOINT.value(Course(TIME, hazard, hazard, key), MODEL)


KEYS = jax.random.split(jax.random.key(1), 4000)


def test_times_have_the_distribution_of_the_hazard():
    """Kolmogorov-Smirnov against the Weibull distribution, and the share without event; lines between 101 points
    change a probability by less than .001."""
    found = np.asarray(when(KEYS, jnp.ones(4000)))
    none = np.isinf(found).mean()
    expected = np.exp(-0.1 * 10**1.5)
    assert abs(none - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)
    inside = stats.weibull_min(1.5, scale=10 ** (1 / 1.5))
    test = stats.kstest(found[np.isfinite(found)], lambda t: inside.cdf(t) / inside.cdf(10))
    assert test.pvalue > 1e-4


def test_a_lower_hazard_is_never_earlier():
    """The same patient under two arms; the hazard at the time is the patient's draw."""
    early, late = when(KEYS, jnp.ones(4000)), when(KEYS, jnp.full(4000, 0.5))
    assert (early <= late).all()
    at = np.asarray(late)[np.isfinite(late)]
    draws = np.asarray(jax.vmap(jax.random.exponential)(KEYS))[np.isfinite(late)]
    np.testing.assert_allclose(np.interp(at, TIME, 0.05 * TIME**1.5), draws, rtol=1e-9)


def test_death_counts_or_competes():
    """Hazard 1.5 t reaches the draw at t = draw / 1.5; death counts to the end of follow-up alone."""
    hazard, key = 1.5 * jnp.asarray(TIME), KEYS[0]
    alone = float(ENDPOINT.value(Course(TIME, hazard, hazard, key), MODEL))
    both = TimeToEvent(ENDPOINT.window, or_death=True)
    for death, counted, competing in ((alone / 2, alone / 2, np.inf), (2 * alone, alone, alone)):
        course = Course(TIME, hazard, hazard, key, jnp.asarray(death))
        assert float(both.value(course, MODEL)) == counted
        assert float(ENDPOINT.value(course, MODEL)) == competing
    nothing = Course(TIME, 0 * hazard, 0 * hazard, key, jnp.asarray(11.0))
    assert np.isinf(float(both.value(nothing, MODEL)))
    assert "or to death" in both.describe()


def test_a_failed_solve_is_not_a_number():
    hazard = jnp.where(jnp.arange(101) > 50, jnp.nan, 0.0)
    assert np.isnan(ENDPOINT.value(Course(TIME, hazard, hazard, KEYS[0]), MODEL))


def test_mistakes():
    with pytest.raises(UserError, match="must start at 0"):
        TimeToEvent(Window("hazard", "1 h", "10 h"))
    with pytest.raises(UserError, match="needs a window with an end"):
        TimeToEvent(Window("hazard", "0 h"))
    with pytest.raises(UserError, match="a cumulative hazard has no unit"):
        TimeToEvent(Window("concentration", "0.0 h", "10 h")).unit(MODEL)
