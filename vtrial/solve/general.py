"""Any model, by adaptive numerical integration with diffrax."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vtrial._types import Named
from vtrial.dosing import EventTable, Steps, at_span, at_time, resolve
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, profile, rate_vector
from vtrial.solve.steady import finder


class General(AbstractSolver):
    """Adaptive integration from event to event: explicit Tsit5, or implicit Kvaerno5 for stiff models.

    Source: Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002; Kvaerno 2004, doi:10.1023/B:BITN.0000046811.70614.38.
    """

    stiff: bool = eqx.field(static=True, default=False)
    """Use the implicit method."""
    rtol: float = eqx.field(static=True, default=1e-8)
    """Relative tolerance of one step."""
    atol: float = eqx.field(static=True, default=1e-8)
    """Absolute tolerance of one step, in the unit of the states."""
    max_steps: int = eqx.field(static=True, default=4096)
    """Most steps between two events."""

    def __check_init__(self):
        """Refuse tolerances and limits that cannot work."""
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps > 0):
            raise UserError("The general solver needs positive rtol, atol and max_steps.")

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Walk through steps and samples in one order, integrating between them."""

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
        failed = jnp.where(solution.result == diffrax.RESULTS.successful, ResultCode.SOLVED, ResultCode.STEP_LIMIT)
        # Where two events coincide one may still move away from the other, and the states then move along.
        speed = jax.lax.stop_gradient(rates(t0, y))
        still = y + (t1 - t0) * jnp.where(jnp.isfinite(speed), speed, 0.0)
        return jnp.where(empty, still, ended), jnp.where(empty, ResultCode.SOLVED, failed)

    def _walk(self, model: AbstractModel, p: Named, steps: Steps, start: Float[Array, " state"]) -> Profile:
        """Integrate from step to step and to the samples between them."""
        count, samples = len(steps.time), len(steps.sample_time)
        place = jnp.concatenate([jnp.arange(count, dtype=float), steps.sample_after + 0.5])
        order = jnp.argsort(place, stable=True)
        none, zero = jnp.zeros(samples, bool), jnp.zeros(samples)
        events = (
            jnp.concatenate([steps.time, steps.sample_time])[order],
            jnp.concatenate([steps.span, steps.sample_interval])[order],
            jnp.concatenate([steps.reset, none])[order],
            jnp.concatenate([steps.amount, zero])[order],
            jnp.concatenate([steps.rate, zero])[order],
            jnp.concatenate([steps.state, jnp.zeros(samples, jnp.int32)])[order],
        )

        def step(carry, event):
            t0, y, inputs, code = carry
            t1, span, reset, amount, rate, state = event
            rates = lambda t, x: rate_vector(model, t, x, at_time(p, steps, t, span)) + inputs  # noqa: E731
            y, this = self._advance(rates, t0, t1, y, diffrax.RecursiveCheckpointAdjoint())
            y = jnp.where(reset, start, y).at[state].add(amount)
            inputs = jnp.where(reset, 0.0, inputs).at[state].add(rate)
            return (t1, y, inputs, jnp.maximum(code, this)), y

        begin = (steps.time[0], start, jnp.zeros_like(start), jnp.asarray(ResultCode.SOLVED))
        (_, _, _, code), walked = jax.lax.scan(step, begin, events)
        states = walked[jnp.argsort(order, stable=True)[count:]]
        return profile(model, p, steps, states, walked, code, floor=10 * self.atol)

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check that the rates are finite at the start."""
        rates = rate_vector(model, jnp.asarray(0.0), initial_state(model, p), p)
        if not bool(jnp.all(jnp.isfinite(rates))):
            raise UserError(
                f"The rates of model {type(model).__name__} are not finite at its initial state with typical "
                "parameters; "
                "look for a division by a state that starts at 0."
            )
        method = "Kvaerno5 (implicit)" if self.stiff else "Tsit5 (explicit)"
        return f"general solver: {type(model).__name__} is integrated numerically with {method}, rtol {self.rtol:g}"
