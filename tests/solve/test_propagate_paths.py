"""Closed forms against SciPy's matrix exponential and its derivative, on random matrices and where rates coincide."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from vtrial.solve.exact.paths import carry, nodes, plan
from vtrial.solve.exact.structure import blocks

GAPS = (0.0, 1e-12, 1e-8, 1e-4, 1e-2)
LENGTHS = (0.0, 1e-3, 0.3, 2.0, 24.0)
# The rates of each kind of model by (to, from); a state's own rate is what leaves it, and its elimination.
KINDS = {
    "one": (1, []),
    "depot, one": (2, [(1, 0)]),
    "two": (2, [(1, 0), (0, 1)]),
    "depot, two": (3, [(1, 0), (2, 1), (1, 2)]),
    "three": (3, [(1, 0), (0, 1), (2, 0), (0, 2)]),
    "depot, three": (4, [(1, 0), (2, 1), (1, 2), (3, 1), (1, 3)]),
    "chain of four": (4, [(1, 0), (2, 1), (3, 2)]),
    "parent and metabolite": (3, [(1, 0), (2, 0), (2, 1)]),
    "two and metabolite": (3, [(1, 0), (0, 1), (2, 0)]),
}


def matrix(kind, rates):
    """The rate matrix from exchange rates in the order of the kind, then elimination from each state."""
    size, arrows = KINDS[kind]
    rate = np.zeros((size, size))
    for (to, of), value in zip(arrows, rates, strict=False):
        rate[to, of] += value
        rate[of, of] -= value
    return rate - np.diag(rates[len(arrows) :])


def whole(rate, infused):
    """The rate matrix with the inputs as states that do not change."""
    size = len(rate)
    result = np.zeros((size + len(infused),) * 2)
    result[:size, :size] = rate
    for k, i in enumerate(infused):
        result[i, size + k] = 1.0
    return result


def way(kind, infused):
    """The closed form as a function of the rate matrix, the interval, and states and inputs."""
    size, arrows = KINDS[kind]
    generic = matrix(kind, np.linspace(0.3, 0.9, len(arrows) + size))
    found = plan(blocks(generic != 0, lambda _: np.sign(generic)), generic != 0, infused)
    assert found is not None

    def over(rate, h, y):
        return jnp.stack(carry(found, rate, nodes(found, rate), h, tuple(jnp.asarray(y))))

    return over


def inputs(kind):
    size = KINDS[kind][0]
    return [(), (0,), (size - 1,)] if size < 4 else [(), (1,)]


CASES = [(kind, infused) for kind in KINDS for infused in dict.fromkeys(inputs(kind))]


@pytest.mark.parametrize(("kind", "infused"), CASES)
def test_random_rates_equal_the_matrix_exponential(kind, infused):
    """Rates over four decades; rates times interval reach 1e4, where SciPy's squarings lose 1e4 eps."""
    random, (size, arrows) = np.random.default_rng(1), KINDS[kind]
    rates = 10 ** random.uniform(-2, 2, (60, len(arrows) + size))
    lengths = np.where(np.arange(60) % 6 == 0, 0.0, 10 ** random.uniform(-4, 2, 60))
    start = random.uniform(0, 10, (60, size + len(infused)))
    every = np.stack([matrix(kind, one) for one in rates])
    found = jax.jit(jax.vmap(way(kind, infused)))(every, lengths, start)
    for rate, h, y, one in zip(every, lengths, start, found, strict=True):
        expected = expm(whole(rate, infused) * h) @ y
        np.testing.assert_allclose(one, expected[:size], rtol=0, atol=1e-11 * np.abs(expected).max())


def coinciding(kind):
    """Rates at which eigenvalues of the kind coincide up to a relative gap, for each gap."""
    rest = {
        "depot, one": lambda g: [[0.3 * (1 + g), 0.0, 0.3]],
        "chain of four": lambda g: [[0.5, 0.5 * (1 + g), 0.5, 0.0, 0.0, 0.0, 0.5 * (1 - g)]],
        "parent and metabolite": lambda g: [[0.1, 0.2, 0.3 * (1 + g), 0.0, 0.0, 0.3]],
        # No exchange back, and the same rate out: the two eigenvalues of the block coincide.
        "two": lambda g: [[1e-3 * g, 0.4, 0.4 * (1 + g), 0.0], [0.0, 0.0, 0.0, 0.0]],
        "three": lambda g: [[0.2, 0.3, 0.2, 0.3 * (1 + g), 0.1, 0.0, 0.0], [1e-3 * g, 0.4, 0.1, 0.2, 0.3, 0.0, 0.0]],
        "two and metabolite": lambda g: [[0.2, 0.3, 0.1, 0.0, 0.0, _slow([0.2, 0.3, 0.1, 0, 0, 1.0]) * (1 + g)]],
    }
    absorbed = {"depot, two": [0.2, 0.3, 0.0, 0.1, 0.0], "depot, three": [0.2, 0.3, 0.1, 0.3, 0.0, 0.15, 0.0, 0.0]}
    for gap in GAPS:
        if kind in rest:
            yield from rest[kind](gap)
        elif kind in absorbed:
            others = absorbed[kind]
            values = np.linalg.eigvals(matrix(kind, [50.0, *others]))
            yield from ([-float(v) * (1 + gap), *others] for v in values.real if v > -40)


def _slow(rates):
    return -float(np.sort(np.linalg.eigvals(matrix("two and metabolite", rates))[:2].real)[-1])


@pytest.mark.parametrize("kind", [k for k in KINDS if list(coinciding(k))])
@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_derivatives_where_rates_coincide(kind, mode):
    """In each rate, against SciPy's Frechet derivative; 1e-9 of the largest, 1e-7 for two eigenvalues of one block.

    Those are the roots of one polynomial: where they coincide each is known to 1e-8 only, the root of eps. Beside it
    2e-12 of the states times the interval: the rounding of quotients of differences, each over 0.05 at least.
    """
    size, arrows = KINDS[kind]
    for infused in ((), (0,)) if mode is jax.jacrev and size < 4 else ((),):
        over, y = way(kind, infused), np.array([3.0, 1.0, 2.0, 0.5, 4.0])[: size + len(infused)]
        count = len(arrows) + size
        turns = [matrix(kind, np.eye(count)[k]) for k in range(count)]

        def moved(rates, h, over=over, y=y, turns=turns):
            return over(sum(r * t for r, t in zip(rates, turns, strict=True)), h, y)

        slopes = jax.jit(lambda rates, h, moved=moved: (moved(rates, h), mode(moved)(rates, h)))
        for rates, h in itertools.product(coinciding(kind), LENGTHS):
            value, slope = slopes(jnp.asarray(rates), h)
            rate = whole(matrix(kind, rates), infused) * h
            # Inputs do not depend on rates.
            turned = [np.pad(t * h, (0, len(infused))) for t in turns]
            wanted = np.stack([expm_frechet(rate, t, compute_expm=False) @ y for t in turned], axis=1)[:size]
            # SciPy's expm of a triangular matrix takes quotients of differences, and so misses here by up to 1e-4.
            expected = (expm_frechet(rate, rate)[0] @ y)[:size]
            np.testing.assert_allclose(value, expected, rtol=0, atol=2e-13 * np.abs(y).max() * (1 + h))
            tolerance = (1e-7 if kind in ("two", "three") else 1e-9) * np.abs(wanted).max()
            tolerance += 2e-12 * np.abs(y).max() * h
            np.testing.assert_allclose(slope, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_extremes_stay_finite(kind):
    """Rates of zero, intervals of zero, and rates times interval of 1e6: values and derivatives."""
    infused = (0,) if KINDS[kind][0] < 4 else ()
    size, arrows = KINDS[kind]
    over, y = way(kind, infused), jnp.arange(1.0, 1.0 + size + len(infused))
    everything = jax.jit(lambda *x: (over(*x), jax.jacrev(over, argnums=(0, 1, 2))(*x)))
    for rates, h in itertools.product((0.0, 1e-9, 1.0, 1e4), (0.0, 1e-9, 1.0, 100.0)):
        rate = jnp.asarray(matrix(kind, np.full(len(arrows) + size, rates)))
        h = jnp.asarray(h)
        for one in jax.tree.leaves(everything(rate, h, y)):
            assert np.isfinite(one).all()


def test_what_has_no_closed_form():
    """A circle, an exchange with the wrong sign, two peripheral states that exchange: all for the ladder."""
    circle = np.array([[-1.0, 0, 1], [1, -1, 0], [0, 1, -1]])
    oscillator = np.array([[0.0, -1], [1, 0]])
    ring = np.array([[-2.0, 1, 1], [1, -2, 1], [1, 1, -2]])
    for rate in (circle, oscillator, ring):
        assert plan(blocks(rate != 0, lambda _, known=rate: np.sign(known)), rate != 0, ()) is None
