"""A NumPyro model as a density on unconstrained space, without running it operation by operation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from numpyro import handlers
from numpyro.distributions.transforms import Transform
from numpyro.infer.util import log_density

from vtrial import keys
from vtrial.inference.scale import FromZero, Polar, transform_of
from vtrial.likelihood import TOGETHER

type Point = dict[str, Array]
"""Values of the sampled sites on the unconstrained scale."""

_BATCH = 250
"""Draws mapped back to named parameters at once."""
_FEW = 25
"""Vectors whose density is computed at once."""
_LARGEST_BLOCK = 200
"""More population-level coordinates than this get a diagonal mass matrix."""


class UnconstrainedDensity:
    """What samplers need of a model: where to start, the potential, and the way back to named parameters.

    `sites` are the sampled sites with their transforms and unconstrained shapes; `population` names those outside every
    plate, which no subject owns: few, and correlated with one another.
    """

    width = 0.1
    """What the standard deviation of a coordinate is believed to be, nothing being known: priors are about so wide."""
    trust = 10.0
    """As many draws is that belief worth."""

    def __init__(self, model: Callable[[], Any]):
        """Find the sampled sites by tracing the model abstractly: nothing is computed or compiled."""
        self._model = model
        self.sites: dict[str, tuple[Transform, tuple[int, ...]]] = {}
        self.population: tuple[str, ...] = ()
        self.together: dict[tuple[str, str], Polar] = {}
        """Pairs of sites that have their coordinates together, not each its own by its transform."""

        def visit(key: Key[Array, ""]) -> None:
            sites = handlers.trace(handlers.seed(model, key)).get_trace()
            for name, site in sites.items():
                if site["type"] == "sample" and not site["is_observed"]:
                    with jax.ensure_compile_time_eval():  # limits of a support are numbers, not traces of them
                        transform = transform_of(site["fn"])
                    self.sites[name] = (transform, transform.inverse_shape(jnp.shape(site["value"])))
                    if not site["cond_indep_stack"]:
                        self.population = (*self.population, name)
                    if TOGETHER in site["infer"]:
                        other, at = site["infer"][TOGETHER]
                        self.together[name, other] = Polar(at)

        jax.eval_shape(visit, jax.random.key(0))
        may_be_0 = {name for name, (transform, _) in self.sites.items() if isinstance(transform, FromZero)}
        self.together = {pair: polar for pair, polar in self.together.items() if may_be_0.issuperset(pair)}
        self.potential = jax.jit(self._potential)
        self.slope = jax.jit(jax.value_and_grad(lambda vector: self.potential(self.point(vector))))
        """Potential and gradient of a vector."""
        self._many = jax.jit(lambda x: jax.lax.map(lambda v: self.potential(self.point(v)), x, batch_size=_FEW))

    def _potential(self, point: Point) -> Float[Array, ""]:
        """Return minus the log density, up to a constant; compiled, and traced only once, as `potential`."""
        values, size = self._transformed(point)
        return -jnp.asarray(log_density(self._model, (), {}, values)[0]) - size

    def _transformed(self, point: Point) -> tuple[Point, Float[Array, ""]]:
        """Return the sites in their own scale, and the log Jacobian; numbers of one kind all at once."""
        values, size = {}, jnp.zeros(())
        for (one, other), polar in self.together.items():
            values[one], values[other] = polar(point[one], point[other])
            size = size + polar.log_abs_det_jacobian(point[one], point[other])
        left = {name: site for name, site in self.sites.items() if name not in values}
        alike = {name: t for name, (t, shape) in left.items() if isinstance(t, FromZero) and not shape}
        if alike:
            whole, x = FromZero(jnp.array([t.scale for t in alike.values()])), jnp.stack([point[n] for n in alike])
            y = whole(x)
            values, size = values | dict(zip(alike, y, strict=True)), size + whole.log_abs_det_jacobian(x, y).sum()
        for name, (transform, _) in left.items():
            if name not in alike:
                values[name] = jnp.asarray(transform(point[name]))
                size = size + jnp.sum(transform.log_abs_det_jacobian(point[name], values[name]))
        return values, size

    def unconstrain(self, values: Mapping[str, Array]) -> Point:
        """Return the point at which the sampled sites have values in their own scale."""
        point = {name: jnp.asarray(transform.inv(values[name])) for name, (transform, _) in self.sites.items()}
        for (one, other), polar in self.together.items():
            point[one], point[other] = polar.inv(values[one], values[other])
        return point

    def constrain(self, point: Point) -> dict[str, Array]:
        """Return every site in its own scale, deterministic ones included."""
        values, _ = self._transformed(point)
        sites = handlers.trace(handlers.substitute(handlers.seed(self._model, 0), values)).get_trace()
        shown = {n: site["value"] for n, site in sites.items() if site["type"] == "deterministic"}
        return values | shown

    def named(self, points: Mapping[str, Array | np.ndarray]) -> dict[str, np.ndarray]:
        """Return points [chain draw ...] of the sampled sites as every site in its own scale."""
        chains, draws = next(iter(points.values())).shape[:2]
        flat = {name: jnp.asarray(x).reshape(-1, *x.shape[2:]) for name, x in points.items()}
        found = jax.jit(lambda x: jax.lax.map(self.constrain, x, batch_size=min(_BATCH, chains * draws)))(flat)
        return {name: np.asarray(x).reshape(chains, draws, *x.shape[1:]) for name, x in found.items()}

    @property
    def order(self) -> tuple[str, ...]:
        """The sites in the order of a vector: the population level first, then the subjects."""
        return (*self.population, *(name for name in self.sites if name not in self.population))

    @property
    def dense(self) -> int:
        """How many leading coordinates of a vector are worth a dense mass matrix: those of the population level."""
        size = sum(int(np.prod(self.sites[name][1])) for name in self.population)
        return size if size <= _LARGEST_BLOCK else 0

    @property
    def size(self) -> int:
        """Length of a vector."""
        return sum(int(np.prod(shape)) for _, shape in self.sites.values())

    def vector(self, point: Point) -> Float[Array, " coordinate"]:
        """Return a point as one vector, in the order of `order`."""
        return jnp.concatenate([jnp.reshape(point[name], -1) for name in self.order])

    def point(self, vector: Float[Array, " coordinate"]) -> Point:
        """Return a vector as a point."""
        return {name: vector[where].reshape(shape) for name, (where, shape) in self.places.items()}

    @property
    def places(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where each site is in a vector, and its shape."""
        shapes = {name: self.sites[name][1] for name in self.order}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
        starts = [0, *ends[:-1]]
        return {n: (slice(*both), shapes[n]) for n, *both in zip(shapes, starts, ends, strict=True)}

    def log_density(self, vectors: np.ndarray) -> np.ndarray:
        """Return the log densities [draw] of vectors [draw coordinate] up to a constant; -inf where there is none."""
        found = -np.asarray(self._many(jnp.asarray(vectors)))
        return np.where(np.isfinite(found), found, -np.inf)

    def centre(self, medians: Mapping[str, Any]) -> Point:
        """Return the typical point: each site at its median; subjects' sites at the mean they have given those."""

        def typical(site: dict[str, Any]) -> Array | None:
            if site["type"] != "sample" or site["is_observed"]:
                return None
            name = site["name"]
            transform, shape = self.sites[name]
            if name in medians:
                return jnp.full(transform.forward_shape(shape), medians[name])
            if name in self.population:
                return jnp.asarray(transform(jnp.zeros(shape)))
            return jnp.broadcast_to(site["fn"].mean, transform.forward_shape(shape))

        @jax.jit
        def found() -> Point:
            model = handlers.substitute(handlers.seed(self._model, 0), substitute_fn=typical)
            sites = handlers.trace(model).get_trace()
            return self.unconstrain({name: sites[name]["value"] for name in self.sites})

        return found()

    def near(self, key: Key[Array, ""], medians: Mapping[str, Any], jitter: float) -> Point:
        """Return a starting point: the typical point plus normal jitter on the unconstrained scale.

        One-compartment oral models have a mirror mode with KA and CL/VC exchanged (flip-flop); chains that start at
        random fall into it and never leave. Chains that start near the prior medians begin on the side the priors mean.
        """
        centre = self.centre(medians)
        return {n: x + jitter * jax.random.normal(keys.named(key, n), x.shape) for n, x in centre.items()}
