"""Any model whose equations can be compiled: adaptive integration in machine code, many persons at once."""

import logging
from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from vtrial._types import Named
from vtrial.dosing import EventTable
from vtrial.errors import UserError
from vtrial.model import AbstractModel
from vtrial.solve.base import AbstractSolver, Profile, initial_state, rate_vector, refuse_noise
from vtrial.solve.general import General
from vtrial.solve.lanes.derivative import Lane, Moving, Person, solve
from vtrial.solve.lanes.person import equations, happening, row, solved, uncompilable
from vtrial.solve.lanes.problem import Settings
from vtrial.solve.steady import finder

_log = logging.getLogger(__name__)


class Lanes(AbstractSolver):
    """Adaptive integration compiled for the model: explicit Tsit5, or Rodas5P for stiff models.

    The equations are traced to a jaxpr and compiled by LLVM, with steps, doses and samples in one loop; each person
    has a lane of the processor's vector registers and a step of its own. What cannot be compiled is left to `General`.
    On other devices than a CPU the same program is run by XLA, or on an NVIDIA GPU compiled too if `ptx` says so.
    Source: Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002; Steinebach 2023, doi:10.1007/s10543-023-00967-x.
    """

    stiff: bool = eqx.field(static=True, default=False)
    """Use the method for stiff models."""
    rtol: float = eqx.field(static=True, default=1e-6)
    """Relative tolerance of one step."""
    atol: float = eqx.field(static=True, default=1e-9)
    """Absolute tolerance of one step, in the unit of the states."""
    max_steps: int = eqx.field(static=True, default=100_000)
    """Most attempted steps of one person."""
    ptx: bool = eqx.field(static=True, default=False)
    """Compile for an NVIDIA GPU, one person a thread, instead of letting XLA run the program there."""

    def __check_init__(self):
        """Refuse tolerances and limits that cannot work."""
        if not (self.rtol > 0 and self.atol > 0 and self.max_steps > 0):
            raise UserError("The lane solver needs positive rtol, atol and max_steps.")

    def __call__(
        self, model: AbstractModel, p: Named, events: EventTable, *, key: Key[Array, ""] | None = None
    ) -> Profile:
        """Solve one person in a kernel; the first call for a model compiles it.

        First derivatives exist in every parameter, entry parameters included, and in the numbers of the event table.

        Raises:
            UserError: the model has system noise.
        """
        refuse_noise(model, "lane")
        if reason := uncompilable(model, self.stiff, self.ptx):
            _warn(type(model).__name__, reason)
            return self._general()(model, p, events)
        return solved(model, p, events, happening(self._method(), events), lambda table: self._steady(model, table))

    def check(self, model: AbstractModel, p: Named) -> str:
        """Check that the rates are finite at the start, and say whether the model can be compiled."""
        refuse_noise(model, "lane")
        if reason := uncompilable(model, self.stiff, self.ptx):
            return f"{self._general().check(model, p)}, for it cannot be compiled: {reason}"
        self._general().check(model, p)
        method = "Rodas5P (stiff)" if self.stiff else "Tsit5 (explicit)"
        elsewhere = "compiled for this GPU" if self.ptx else "run by XLA on this device"
        how = "compiled for this processor" if jax.default_backend() == "cpu" else elsewhere
        return f"lane solver: {type(model).__name__} is integrated numerically with {method}, rtol {self.rtol:g}, {how}"

    def _general(self) -> General:
        return General(self.stiff, self.rtol, self.atol)

    def _method(self) -> Settings:
        return Settings(self.stiff, self.rtol, self.atol, self.max_steps, ptx=self.ptx)

    def _steady(self, model: AbstractModel, events: EventTable):
        """Return the function that finds steady states."""
        return finder(
            self._advance(model, events.infused),
            lambda p: initial_state(model, p),
            linear=False,
            tolerance=10 * self.rtol,
            constant=events.constant,
        )

    def _advance(self, model: AbstractModel, infused: tuple[int, ...]) -> Callable[..., Array]:
        """Return the function that advances states over an interval with constant input."""
        settings = self._method()._replace(dosed=(), infused=infused)
        names = tuple(model.parameters)
        lane = Lane(equations(model, seen=False), settings, (*range(len(names)), None, None, None))
        states = jnp.asarray(infused or (0,), jnp.int32)

        def prepare(*given: Array) -> Person:
            *values, y, inputs, h = given
            zero = jnp.zeros(len(states))
            rates = inputs[jnp.asarray(infused, jnp.int32)] if infused else zero
            moving = Moving(tuple(y), zero, zero, rates, h[None])
            whole = jnp.zeros(len(states), jnp.int32)
            last = jnp.asarray([len(states) - 1], jnp.int32)
            return Person(row(values), moving, states, whole, last, (), ())

        def advance(p: Named, y: Array, inputs: Array, h: Array) -> Array:
            length = jax.lax.stop_gradient(h)
            values = [jnp.asarray(p[name], float) for name in names]
            end = solve(lane, prepare, (*values, y, inputs, length))[0][0]
            # A kernel's samples do not move; how the end of the interval moves the states is known.
            slope = jax.lax.stop_gradient(rate_vector(model, length, end, p) + inputs)
            return end + (h - length) * slope

        return advance


@cache
def _warn(name: str, reason: str) -> None:
    """Say once why a model is not compiled."""
    _log.warning("%s is integrated with diffrax instead of a compiled kernel: %s", name, reason)
