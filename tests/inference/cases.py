"""How each inference is made small for the tests; a new one adds its line here."""

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from vtrial.inference import CrossChain, Laplace, Nuts, Pathfinder, Prior, Saved, Svi

MAKE = {
    "CrossChain": lambda quick: CrossChain(chains=4, warmup=30, draws=10),
    "Laplace": lambda quick: Laplace(draws=25, samples=8),
    "Nuts": lambda quick: Nuts(chains=2, warmup=20, draws=30),
    "Pathfinder": lambda quick: Pathfinder(paths=2, draws=100, candidates=100),
    "Prior": lambda quick: Prior(draws=10),
    "Saved": lambda quick: Saved(str(quick / "result.zarr")),
    "Svi": lambda quick: Svi(steps=400, draws=100, candidates=200),
}
MCMC = {
    "nuts": Nuts(chains=2, warmup=120, draws=60, centring="none"),
    "side by side": Nuts(chains=2, warmup=120, draws=60, centring="none", chain_method="vectorized"),
    "cross_chain": CrossChain(chains=4, warmup=120, draws=60, centring="none"),
}
MEAN, SD, CORRELATION = (1.0, -2.0, 0.5), (0.5, 2.0, 1.0), 0.95


class Target(eqx.Module):
    """Stands in for a joint density: three correlated normals without a plate and four of a plate, all known."""

    def joint(self, data):
        sd = jnp.asarray(SD)
        correlation = jnp.full((3, 3), CORRELATION).at[jnp.diag_indices(3)].set(1.0)

        def model():
            numpyro.sample("a", dist.MultivariateNormal(jnp.asarray(MEAN), correlation * sd[:, None] * sd[None]))
            with numpyro.plate("subject", 4):
                numpyro.sample("b", dist.Normal(3.0, 0.1))

        return model

    def priors(self):
        return {}
