"""One of each noise with parameters, and observations for it; a new noise adds its line here."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.helpers import half
from vtrial import keys
from vtrial.data import Observations
from vtrial.noise import (
    Additive,
    Autoregressive,
    Bernoulli,
    Combined,
    Combined1,
    LogNormal,
    NegativeBinomial,
    Ordinal,
    Poisson,
    Positive,
    Power,
    Proportional,
    RepeatedEvents,
    Student,
    TimeToEvent,
    TransformBothSides,
    Visits,
    ZeroInflatedPoisson,
)

ONE = half(1.0)
COMBINED = Combined(ONE, ONE)
VALUES = {
    name: jnp.asarray(value)
    for name, value in {
        "sigma_add": 0.5,
        "sigma_prop": 0.2,
        "sigma_pow": 0.3,
        "sigma_log": 0.4,
        "exponent": 0.7,
        "shape": 0.3,
        "df": 5.0,
        "tau": 2.0,
        "overdispersion": 0.6,
        "zero_odds": 0.4,
        "gap_1": 0.8,
        "gap_2": 1.5,
    }.items()
}
CONTINUOUS = {
    "additive": Additive(ONE),
    "proportional": Proportional(ONE),
    "combined1": Combined1(ONE, ONE),
    "combined": COMBINED,
    "power": Power(ONE, ONE),
    "log_normal": LogNormal(ONE),
    "transform": TransformBothSides(Additive(ONE), ONE),
    "dynamic": TransformBothSides(Power(ONE, ONE), 0.5),
    "student": Student(COMBINED, ONE),
    "log_student": Student(LogNormal(ONE), 4.0),
    "autoregressive": Autoregressive(COMBINED, ONE),
    "log_autoregressive": Autoregressive(LogNormal(ONE), ONE),
    "positive": Positive(COMBINED),
    "positive_student": Positive(Student(COMBINED, ONE)),
    "positive_autoregressive": Positive(Autoregressive(COMBINED, ONE)),
    "positive_transform": Positive(TransformBothSides(Additive(ONE), ONE)),
}
COUNTS = {"poisson": Poisson(), "negative_binomial": NegativeBinomial(ONE), "zero_inflated": ZeroInflatedPoisson(ONE)}
CATEGORIES = {"bernoulli": Bernoulli(), "ordinal": Ordinal((ONE, ONE))}
EVENTS = {"event": TimeToEvent("hazard"), "events": RepeatedEvents("hazard")}
EVERY = CONTINUOUS | COUNTS | CATEGORIES | EVENTS


def observations(value, *, lower=None, upper=None, time=None, subject=None) -> Observations:
    """Observations of one subject an hour apart, or as said; measured where `lower` and `upper` are not given."""
    value = np.asarray(value, float)
    count = len(value)
    subject = np.zeros(count, int) if subject is None else np.asarray(subject)
    before = np.arange(-1, count - 1)
    return Observations(
        value,
        np.full(count, np.nan) if lower is None else np.asarray(lower, float),
        np.full(count, np.nan) if upper is None else np.asarray(upper, float),
        np.arange(1.0, count + 1) if time is None else np.asarray(time, float),
        subject,
        np.arange(count),
        np.where(subject == subject[before], before, -1),
    )


def visits(seed: int, seen: Observations) -> Visits:
    """Keys of each entry and of each subject."""
    key = jax.random.key(seed)
    own = keys.numbered(jax.random.fold_in(key, 2**31), len(seen.value))
    person = keys.numbered(key, 1 + int(seen.subject.max()))
    return Visits(seen.time, seen.previous, own, person[seen.subject])


def alone(count: int) -> Observations:
    """As many subjects with one observation each, at 1 h."""
    return observations(np.ones(count), time=np.ones(count), subject=np.arange(count))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def integral(noise, f, low, high, values=VALUES):
    """The integral of the density of one measurement from low to high, by Gauss-Legendre in panels of sinh(t)."""
    ends = np.linspace(*np.arcsinh(np.array([low, high]) * 1e30 if low >= 0 else np.array([low, high]) - f), 301)
    middle, half_width = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    t = (middle[:, None] + half_width[:, None] * _NODES).ravel()
    weight = (half_width[:, None] * _WEIGHTS).ravel()
    # Of a law of positive values in powers of ten from 1e-30 on, else around the prediction.
    y, slope = (np.sinh(t) / 1e30, np.cosh(t) / 1e30) if low >= 0 else (f + np.sinh(t), np.cosh(t))
    each = likelihood(noise, np.full(len(y), f), observations(y, subject=np.arange(len(y))), values=values)
    return float(np.sum(weight * slope * np.exp(each)))


def likelihood(noise, prediction, seen, hazard=None, values=VALUES):
    also = {} if hazard is None else {"hazard": jnp.asarray(hazard, float)}
    return noise.log_likelihood(jnp.asarray(prediction, float), also, values, seen)


def replicate(noise, prediction, when, values=VALUES):
    prediction = jnp.asarray(prediction, float)
    return np.asarray(noise.replicate(prediction, {"hazard": prediction}, values, when))
