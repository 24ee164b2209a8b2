"""Concentration-QTc against nlme (R) on simulated data: 40 subjects, five times."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vtrial.statistics import exposure_response

BETA = [-3.270799418, 2.7577019084, 0.0084905595332, 2.6734160103, 3.7299162066, 3.5155401743]
BETA += [1.1693870937, -0.23166403138]
ERROR = np.sqrt([1.0624009251, 2.6598030332, 7.5967489578e-06, 1.0508648246, 1.0478064387, 1.1388579161])
CMAX = 772.9098207806


def rows():
    """The data; columns: 1, treated, concentration, four times against the first, baseline."""
    table = np.genfromtxt(Path(__file__).parent / "data" / "cqt.csv", delimiter=",", names=True)
    table = np.sort(table, order=["ID", "time"]).reshape(40, 5)
    one, concentration = np.ones(table.shape), table["conc"]
    times = [1.0 * (table["time"] == t) for t in (2, 4, 8, 12)]
    fixed = np.stack([one, table["trt"], concentration, *times, table["bl"]], -1)
    random = np.stack([one, concentration], -1)
    return exposure_response.Rows(*map(jnp.asarray, (table["dqt"], fixed, random, one > 0)))


def test_concentration_qtc():
    given = rows()
    # Rows that are not there change nothing, whatever stands in them.
    given = jax.tree.map(lambda x: jnp.concatenate([x, x[:, :1]], 1), given)
    given = given._replace(known=given.known.at[:, -1].set(False), y=given.y.at[:, -1].set(jnp.nan))
    found = jax.jit(exposure_response.fit)(given)
    assert found.converged
    np.testing.assert_allclose(found.beta, BETA, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance))[:6], ERROR, rtol=1e-4)
    np.testing.assert_allclose([*found.sd, found.residual], [2.902514547, 0.005043741, 4.540565823], rtol=1e-5)
    np.testing.assert_allclose(found.loglikelihood, -612.8183201848, atol=1e-8)
    effect = exposure_response.effect(found, jnp.asarray(CMAX), treatment=1, slope=2)
    np.testing.assert_allclose(effect.estimate, 9.3201387556, atol=1e-6)
    limit = effect.estimate + 1.6448536269514722 * effect.error  # nlme's own limits are normal
    np.testing.assert_allclose([effect.error, limit], [1.6123110306, 11.9721544021], atol=2e-6)
    # Mostly between the subjects, some of it within: between their number and that of the observations.
    assert 30 < effect.df < 200
