"""A solve that fails inside inference is -inf there, and a sentence at the start."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density

from tests.helpers import theophylline
from vtrial.errors import UserError
from vtrial.inference import Nuts
from vtrial.solve import AbstractSolver, Linear, Profile


class FailsForHeavyDoses(AbstractSolver):
    """Linear, but it declares failure where the first dose exceeds a limit."""

    limit: float = eqx.field(static=True)
    inner: ClassVar = Linear()

    def __call__(self, model, p, events, *, key=None):
        found = self.inner(model, p, events)
        failed = jnp.max(jnp.asarray(events.amount)) > self.limit
        return Profile(jax.tree.map(lambda y: jnp.where(failed, jnp.nan, y), found.outputs), jnp.where(failed, 2, 0))

    def check(self, model, p):
        return "test"


def with_solver(solver):
    return eqx.tree_at(lambda s: s.solver, theophylline(), solver)


def point(statistical):
    values = {site: jnp.asarray(prior.centre()) for site, prior in statistical.priors().items()}
    return values | {"eta_raw": jnp.zeros((12, 3)), "iiv_cholesky": jnp.eye(3)}


@pytest.mark.parametrize(("limit", "finite"), [(1e9, True), (319.0, False)])
def test_density_is_minus_infinity_where_a_subject_fails(limit, finite, data):
    statistical = with_solver(FailsForHeavyDoses(limit))
    value, _ = log_density(statistical.joint(data), (), {}, point(statistical))
    assert np.isfinite(value) == finite
    assert not np.isnan(value)


def test_chains_that_cannot_start_name_the_subject(data):
    with pytest.raises(UserError, match=r"No chain can start.*ID 1 \(the solver reached its step limit"):
        Nuts(chains=2, warmup=5, draws=5)(jax.random.key(0), with_solver(FailsForHeavyDoses(319.9)), data)
