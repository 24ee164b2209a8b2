"""NONMEM's objective function of theophylline at stated parameters, against an independent quadrature.

The objective is minus twice the marginal log likelihood without its constant, n log(2 pi).

It pins the whole chain of data, events, solver, random effects and residual error. The integral over the three etas of
each subject is taken here by adaptive Gauss-Hermite quadrature around the modes the reference gives (Pinheiro and
Bates 1995, doi:10.1080/10618600.1995.10474663).
"""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import theophylline
from vtrial.solve import Linear

REFERENCE = json.loads((Path(__file__).parent / "data" / "theophylline_objective.json").read_text())
P = REFERENCE["parameters"]
TYPICAL = {"CL": jnp.asarray(P["CL"]), "VC": jnp.asarray(P["V"]), "KA": jnp.asarray(P["KA"])}
NOISE = {
    "concentration_sigma_add": jnp.asarray(P["sd_add"]),
    "concentration_sigma_prop": jnp.asarray(P["sd_prop"]),
}
OMEGA = np.sqrt(P["omega_var"])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(11)


@pytest.fixture(scope="module")
def joint(data):
    """Log density of each subject's data and etas [subject], given etas [subject effect]."""
    statistical = theophylline(weight=False, correlation=None, solver=Linear(compiled=False))
    seen = data.observations["concentration"]

    def density(eta):
        p = statistical.population.individual(TYPICAL, eta, {"WT": jnp.asarray(data.covariates["WT"])})
        predicted, _ = statistical.predict(p, data)
        each = statistical.log_likelihood(predicted, NOISE, data)["concentration"]
        z = eta / OMEGA
        prior = (-0.5 * z**2 - jnp.log(OMEGA * np.sqrt(2 * np.pi))).sum(1)
        return jax.ops.segment_sum(each, seen.subject, len(data.subjects)) + prior

    return jax.jit(density)


def test_the_modes_given_are_modes(joint):
    mode = jnp.asarray([s["eta"] for s in REFERENCE["per_subject"]])
    slope = jax.grad(lambda e: joint(e).sum())(mode)
    # Modes are printed to full precision; their optimiser stopped at gradients of about 1e-4.
    assert float(jnp.abs(slope).max()) < 5e-3


def test_laplace_and_exact_objective_agree(joint, data):
    mode = np.array([s["eta"] for s in REFERENCE["per_subject"]])
    slopes = jax.hessian(lambda e: joint(e).sum())(jnp.asarray(mode))
    curvature = -np.stack([np.asarray(slopes)[i, :, i, :] for i in range(len(mode))])
    factor = np.linalg.cholesky(np.linalg.inv(curvature))
    scale = np.log(np.abs(np.linalg.det(factor)))
    constant = np.bincount(data.observations["concentration"].subject) * np.log(2 * np.pi)
    laplace = np.asarray(joint(jnp.asarray(mode))) + scale + 1.5 * np.log(2 * np.pi)
    assert (-2 * laplace - constant).sum() == pytest.approx(REFERENCE["laplace"], abs=0.02)

    total = np.full(len(mode), -np.inf)
    for triple in itertools.product(range(len(NODES)), repeat=3):
        z, weight = NODES[list(triple)], np.prod(WEIGHTS[list(triple)])
        value = np.asarray(joint(jnp.asarray(mode + factor @ z))) + 0.5 * z @ z + scale + np.log(weight)
        total = np.logaddexp(total, value)
    found = -2 * total - constant
    np.testing.assert_allclose(found, [s["exact"] for s in REFERENCE["per_subject"]], atol=0.02)
    assert found.sum() == pytest.approx(REFERENCE["exact"], abs=0.02)
