"""A NumPyro model as a density on unconstrained space, without running it operation by operation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform
from numpyro.infer.util import constrain_fn, potential_energy

from vtrial import keys

type Point = dict[str, Array]
"""Values of the sampled sites on the unconstrained scale."""


class UnconstrainedDensity:
    """What samplers need of a model: where to start, the potential, and the way back to named parameters."""

    def __init__(self, model: Callable[[], None]):
        """Find the sampled sites by tracing the model abstractly: nothing is computed or compiled."""
        self._model = model
        self.sites: dict[str, tuple[Transform, tuple[int, ...]]] = {}

        def visit(key: Key[Array, ""]) -> None:
            sites = handlers.trace(handlers.seed(model, key)).get_trace()
            for name, site in sites.items():
                if site["type"] == "sample" and not site["is_observed"]:
                    transform = biject_to(site["fn"].support)
                    self.sites[name] = (transform, transform.inverse_shape(jnp.shape(site["value"])))

        jax.eval_shape(visit, jax.random.key(0))

    def potential(self, point: Point) -> Float[Array, ""]:
        """Return minus the log density, up to a constant."""
        return jnp.asarray(potential_energy(self._model, (), {}, point))

    def constrain(self, point: Point) -> dict[str, Array]:
        """Return every site in its own scale, deterministic ones included."""
        return constrain_fn(self._model, (), {}, point, return_deterministic=True)

    def near(self, key: Key[Array, ""], medians: Mapping[str, float], jitter: float) -> Point:
        """Return a starting point: each site at its median, or 0 unconstrained if it has none, plus normal jitter.

        One-compartment oral models have a mirror mode with KA and CL/VC exchanged (flip-flop); chains that start at
        random fall into it and never leave. Chains that start near the prior medians begin on the side the priors mean.
        """

        def start(name: str, transform: Any, shape: tuple[int, ...]) -> Array:
            centre = transform.inv(jnp.full(shape, medians[name])) if name in medians else jnp.zeros(shape)
            return centre + jitter * jax.random.normal(keys.named(key, name), shape)

        return {name: start(name, *site) for name, site in self.sites.items()}
