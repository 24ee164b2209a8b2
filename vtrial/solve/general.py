"""Any model, by adaptive numerical integration with diffrax."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vtrial._types import Named
from vtrial.dosing import EventTable
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, ResultCode, initial_state, profile, rate_vector


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

    def _advance(
        self, model: AbstractModel, p: Named, t0: Float[Array, ""], t1: Float[Array, ""], y: Float[Array, " state"]
    ) -> tuple[Float[Array, " state"], Int[Array, ""]]:
        """Integrate one interval; an empty one returns the state as it is."""
        empty = t1 <= t0
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, x, _: rate_vector(model, jnp.asarray(t), x, p)),
            diffrax.Kvaerno5() if self.stiff else diffrax.Tsit5(),
            t0=t0,
            # An empty interval is integrated over an arbitrary length, and the result dropped: gradients stay finite.
            t1=jnp.where(empty, t0 + 1e-3, t1),
            dt0=None,
            y0=y,
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            max_steps=self.max_steps,
            throw=False,
        )
        ended = jnp.asarray(solution.ys)[-1]
        failed = jnp.where(solution.result == diffrax.RESULTS.successful, ResultCode.SOLVED, ResultCode.STEP_LIMIT)
        return jnp.where(empty, y, ended), jnp.where(empty, ResultCode.SOLVED, failed)

    def __call__(self, model: AbstractModel, p: Named, events: EventTable) -> Profile:
        """Walk through doses and samples in one order, integrating between them."""
        time, times = jnp.asarray(events.time), jnp.asarray(events.sample_time)
        doses, samples = time.shape[0], times.shape[0]
        place = jnp.concatenate([jnp.arange(doses, dtype=float), jnp.asarray(events.sample_after) + 0.5])
        order = jnp.argsort(place, stable=True)
        at = jnp.concatenate([time, times])[order]
        amount = jnp.concatenate([jnp.asarray(events.amount), jnp.zeros(samples)])[order]
        state = jnp.concatenate([jnp.asarray(events.state), jnp.zeros(samples, jnp.int32)])[order]

        def step(carry, event):
            t0, y, code = carry
            t1, dose, target = event
            y, this = self._advance(model, p, t0, t1, y)
            y = y.at[target].add(dose)
            return (t1, y, jnp.maximum(code, this)), y

        start = (at[0], initial_state(model, p), jnp.asarray(ResultCode.SOLVED))
        (_, _, code), walked = jax.lax.scan(step, start, (at, amount, state))
        states = walked[jnp.argsort(order, stable=True)[doses:]]
        return profile(model, p, times, states, walked, code, floor=10 * self.atol)

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
