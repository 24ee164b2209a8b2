"""Any model, by numerical integration with diffrax: in adaptive steps, or in equal ones if it has system noise."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, Train, at_span, at_time, resolve
from vtrial.errors import UserError
from vtrial.model import AbstractModel, AbstractStochasticModel
from vtrial.solve import stochastic
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, profile, rate_vector
from vtrial.solve.steady import finder
from vtrial.solve.timeline import Timeline, timeline


class General(AbstractSolver):
    """Adaptive integration from event to event: explicit Tsit5, or implicit Kvaerno5 for stiff models.

    A model with system noise is solved in Ito's sense, in equal steps of SlowRK: of strong order 1.5 where the noise
    of each state depends on that state alone or on none, 0.5 otherwise. Its states may be below zero, and it has no
    derivatives in the times of events.
    Source: Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002; Kvaerno 2004, doi:10.1023/B:BITN.0000046811.70614.38;
    Foster, dos Reis and Strange 2023, doi:10.48550/arXiv.2210.17543.
    """

    stiff: bool = eqx.field(static=True, default=False)
    """Use the implicit method."""
    rtol: float = eqx.field(static=True, default=1e-8)
    """Relative tolerance of one step."""
    atol: float = eqx.field(static=True, default=1e-8)
    """Absolute tolerance of one step, in the unit of the states."""
    max_steps: int = eqx.field(static=True, default=4096)
    """Most steps between two events or samples."""
    step: float = eqx.field(static=True, default=0.05)
    """Length of a step, in the model's time unit, of a model with system noise; others do not use it."""

    def __check_init__(self):
        """Refuse tolerances and limits that cannot work."""
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps > 0 and self.step > 0):
            raise UserError("The general solver needs positive rtol, atol, max_steps and step.")

    def __call__(
        self, model: AbstractModel, p: Named, events: EventTable, *, key: Key[Array, ""] | None = None
    ) -> Profile:
        """Walk through steps and samples in one order, integrating between them.

        Raises:
            UserError: the model has system noise, and there is no key or a record at steady state.
        """
        if isinstance(model, AbstractStochasticModel):
            return self._random(model, p, events, key)

        def way(adjoint: diffrax.AbstractAdjoint):
            return lambda p, y, inputs, h: self._advance(
                lambda t, x: rate_vector(model, t, x, p) + inputs, jnp.asarray(0.0), h, y, adjoint
            )[0]

        start = initial_state(model, at_span(p, 0))
        steady = finder(
            way(diffrax.RecursiveCheckpointAdjoint()),
            lambda p: initial_state(model, p),
            linear=False,
            tolerance=10 * self.rtol,
            inner=way(diffrax.ForwardMode()),
            constant=events.constant,
        )
        steps = resolve(model, p, events, steady, start)
        return self._walk(model, p, steps, start)

    def _random(
        self, model: AbstractStochasticModel, p: Named, events: EventTable, key: Key[Array, ""] | None
    ) -> Profile:
        """Return one path of a model with system noise."""
        name = type(model).__name__
        self._refuse_stiff(model)
        if key is None:
            raise UserError(
                f"Model {name} has system noise, and nothing here invents a seed: give the solver a random key, "
                "solver(model, p, events, key=key)."
            )

        def steady(train: Train, p: Named) -> tuple[Float[Array, " state"], Bool[Array, ""]]:
            raise UserError(
                f"Model {name} has system noise, so that its steady state is a distribution and no amount; write the "
                "doses before it out instead of SS."
            )

        start = initial_state(model, at_span(p, 0))
        steps = resolve(model, p, events, steady, start)
        found = stochastic.walk(model, p, steps, start, key, step=self.step, most=self.max_steps)
        return profile(model, p, steps, *found, floor=jnp.inf)

    def _refuse_stiff(self, model: AbstractModel) -> None:
        if self.stiff:
            raise UserError(
                f"Model {type(model).__name__} has system noise, for which there is no implicit method here; use "
                "solver=general with a short solver.step."
            )

    def _advance(
        self,
        rates,
        t0: Float[Array, ""],
        t1: Float[Array, ""],
        y: Float[Array, " state"],
        adjoint: diffrax.AbstractAdjoint,
    ) -> tuple[Float[Array, " state"], Int[Array, ""]]:
        """Integrate one interval; an empty one returns the state as it is."""
        empty = t1 <= t0
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, x, _: rates(jnp.asarray(t), x)),
            diffrax.Kvaerno5() if self.stiff else diffrax.Tsit5(),
            t0=t0,
            # An empty interval is integrated over an arbitrary length, and the result dropped: gradients stay finite.
            t1=jnp.where(empty, t0 + 1e-3, t1),
            dt0=None,
            y0=y,
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            adjoint=adjoint,
            max_steps=self.max_steps,
            throw=False,
        )
        ended = jnp.asarray(solution.ys)[-1]
        # Where two events coincide one may still move away from the other, and the states then move along.
        speed = jax.lax.stop_gradient(rates(t0, y))
        # Without rates no step is ever good enough, which is not the fault of the limit.
        why = jnp.where(jnp.all(jnp.isfinite(speed)), ResultCode.STEP_LIMIT, ResultCode.NOT_FINITE)
        failed = jnp.where(solution.result == diffrax.RESULTS.successful, ResultCode.SOLVED, why)
        still = y + (t1 - t0) * jnp.where(jnp.isfinite(speed), speed, 0.0)
        return jnp.where(empty, still, ended), jnp.where(empty, ResultCode.SOLVED, failed)

    def _walk(self, model: AbstractModel, p: Named, steps: Steps, start: Float[Array, " state"]) -> Profile:
        """Integrate from step to step and to the samples between them."""
        line, places = timeline(steps)

        def step(carry, at: Timeline):
            t0, y, inputs, code = carry
            rates = lambda t, x: rate_vector(model, t, x, at_time(p, steps, t, at.span)) + inputs  # noqa: E731
            y, this = self._advance(rates, t0, at.time, y, diffrax.RecursiveCheckpointAdjoint())
            y = jnp.where(at.reset, start, y).at[at.state].add(at.amount)
            inputs = jnp.where(at.reset, 0.0, inputs).at[at.state].add(at.rate)
            return (at.time, y, inputs, jnp.maximum(code, this)), y

        begin = (steps.time[0], start, jnp.zeros_like(start), jnp.asarray(ResultCode.SOLVED))
        (_, _, _, code), walked = jax.lax.scan(step, begin, line)
        return profile(model, p, steps, walked[places], walked, code, floor=10 * self.atol)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check that the rates are finite at the start."""
        rates = rate_vector(model, jnp.asarray(0.0), initial_state(model, p), p)
        if not bool(jnp.all(jnp.isfinite(rates))):
            raise UserError(
                f"The rates of model {type(model).__name__} are not finite at its initial state with typical "
                "parameters; "
                "look for a division by a state that starts at 0."
            )
        if isinstance(model, AbstractStochasticModel):
            return self._check_noise(model, p)
        method = "Kvaerno5 (implicit)" if self.stiff else "Tsit5 (explicit)"
        return f"general solver: {type(model).__name__} is integrated numerically with {method}, rtol {self.rtol:g}"

    def _check_noise(self, model: AbstractStochasticModel, p: Named) -> str:
        """Check that the steps are short beside what the model does without doses."""
        self._refuse_stiff(model)
        y, name = initial_state(model, p), type(model).__name__
        slopes = np.asarray(jax.jacfwd(lambda y: rate_vector(model, jnp.asarray(0.0), y, p))(y))
        fastest = float(np.abs(np.linalg.eigvals(slopes)).max())
        if not fastest * self.step < 1:
            raise UserError(
                f"Model {name} has rates of {fastest:.3g} per {model.time}, too fast for steps of {self.step:g} "
                f"{model.time}; set solver.step to {0.1 / fastest:.2g} or less."
            )
        return (
            f"general solver: {name} has system noise, and each path is integrated in Ito's sense with SlowRK in steps "
            f"of {self.step:g} {model.time}"
        )
