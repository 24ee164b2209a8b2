"""AbstractModel: the equations of one person at one instant."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from vtrial._types import Named, Scalar
from vtrial.errors import UserError


class AbstractModel(eqx.Module):
    """The structure of a PK/PD model: states, parameters and outputs by name, each with its unit.

    A subclass says what changes (`rates`), where it starts (`initial`) and what is seen (`observe`), for one person at
    one instant, in plain arithmetic on dicts by name. It knows no data, no priors, no doses and no solver. Time is in
    the unit `time`; the rate of a state is in that state's unit per `time`.
    """

    time: eqx.AbstractClassVar[str]
    """Unit of time, for example "h"."""
    states: eqx.AbstractClassVar[Mapping[str, str]]
    """Unit of each state; a dose may go into any of them. The order is the order of the state vector."""
    parameters: eqx.AbstractClassVar[Mapping[str, str]]
    """Unit of each parameter of one person."""
    outputs: eqx.AbstractClassVar[Mapping[str, str]]
    """Unit of each output that can be observed."""
    linear: eqx.AbstractClassVar[bool]
    """True if `rates` is a constant matrix times the states, with no other input and no dependence on time.

    Then it is solved exactly. The claim is checked before it is used (`vtrial.solve.linear.check`).
    """
    stiff: ClassVar[bool] = False
    """True if some of its rates are faster than others by orders of magnitude, so that an explicit method crawls."""

    @abstractmethod
    def initial(self, p: Named) -> dict[str, Scalar]:
        """Return each state before the first dose, in its unit."""

    @abstractmethod
    def rates(self, t: Scalar, y: Named, p: Named) -> dict[str, Scalar]:
        """Return the rate of change of each state, without doses."""

    @abstractmethod
    def observe(self, t: Scalar, y: Named, p: Named) -> dict[str, Scalar]:
        """Return each output, without residual error."""


class AbstractStochasticModel(AbstractModel):
    """A model whose states are also driven by system noise: dy_i = rates_i dt + diffusion_i dW_i, in Ito's sense.

    Each W_i is a Wiener process of its own, so that the noise of a state over a time h has variance diffusion_i^2 h.
    System noise is not residual error: it changes what happens next. Source: Tornoe et al. 2005,
    doi:10.1007/s11095-005-5269-5.
    """

    @abstractmethod
    def diffusion(self, t: Scalar, y: Named, p: Named) -> dict[str, Scalar]:
        """Return the scale of the noise of states, in the state's unit per square root of `time`.

        A state left out has none. Where the scale of a state depends on that state alone, or on none, paths converge
        quickly with the step of the solver; where it depends on another noisy state, slowly.
        """


class Entry(NamedTuple):
    """How doses enter one state; what is `None` is not used, and a dose enters as its record says."""

    bioavailability: Scalar | None = None
    """F: the part of the amount that enters."""
    lag: Scalar | None = None
    """ALAG: time from the record to the entry."""
    duration: Scalar | None = None
    """D: duration of an infusion whose record has RATE -2."""
    rate: Scalar | None = None
    """R: rate of an infusion whose record has RATE -1, in the state's unit per time."""


class AbstractEntryModel(AbstractModel):
    """A model that computes how doses enter its states, where parameters named by state do not say it."""

    @abstractmethod
    def entries(self, p: Named) -> dict[str, Entry]:
        """Return how doses enter each state; a state left out takes them as its parameters by name say."""


_PREFIXES = ("F", "ALAG", "D", "R")


def entry_parameters(model: AbstractModel) -> dict[str, str]:
    """Return the parameters that any model may be given beside its own, with their units.

    They are NONMEM's F, ALAG, D and R by the name of the state: `F_depot`, `ALAG_depot`, `D_central`, `R_central`.
    """
    units = {}
    for state, unit in model.states.items():
        units |= {f"F_{state}": "", f"ALAG_{state}": model.time, f"D_{state}": model.time}
        units[f"R_{state}"] = f"({unit or '1'})/({model.time})"
    return {name: unit for name, unit in units.items() if name not in model.parameters}


def parameter_units(model: AbstractModel) -> dict[str, str]:
    """Return the unit of every parameter a model may be given: its own, then those of how doses enter."""
    return dict(model.parameters) | entry_parameters(model)


def entries(model: AbstractModel, p: Named) -> dict[str, Entry]:
    """Return how doses enter each state of a model, by its parameters and, where it computes them, by the model."""
    found = {s: Entry(*(p.get(f"{prefix}_{s}") for prefix in _PREFIXES)) for s in model.states}
    return found | (model.entries(p) if isinstance(model, AbstractEntryModel) else {})


def interpolated(x: Scalar, at: Sequence[float], values: Sequence[float]) -> Scalar:
    """Return the broken line through points, and its ends beyond them: `jnp.interp` in a form that kernels compile.

    Args:
        x: where, a time or a state.
        at: ascending, at least two.
        values: the line's values there; none is a parameter.
    """
    points = list(zip(at, values, strict=True))
    ascending = len(points) > 1 and all(left < right for left, right in pairwise(at))
    if not ascending:
        raise UserError(f"A broken line needs two or more points in ascending order, not {tuple(at)}.")
    line = jnp.asarray(float(values[0]), float)
    for (left, low), (right, high) in pairwise(points):
        line = line + (high - low) / (right - left) * jnp.clip(x - left, 0.0, right - left)
    return line


def check_equations(model: AbstractModel, p: Named) -> None:
    """Run the equations of a model once, with typical parameters, and check that they speak of what it declares.

    Raises:
        UserError: an equation fails, or names other states or outputs than those declared.
    """
    name = type(model).__name__
    try:
        y = model.initial(p)
        results = {"initial": (y, model.states), "rates": (model.rates(0.0, y, p), model.states)}
        results["observe"] = (model.observe(0.0, y, p), model.outputs)
        noisy = model.diffusion(0.0, y, p) if isinstance(model, AbstractStochasticModel) else {}
    except Exception as error:  # whatever a user's equations raise
        raise UserError(f"The equations of model {name} fail: {type(error).__name__}: {error}.") from error
    for method, (found, declared) in results.items():
        if set(found) != set(declared):
            given, wanted = ", ".join(found), ", ".join(declared)
            raise UserError(f"Method {method} of model {name} returns {given}, but the model declares {wanted}.")
    if unknown := [state for state in noisy if state not in model.states]:
        raise UserError(
            f"Method diffusion of model {name} returns {', '.join(unknown)}, but the states are "
            f"{', '.join(model.states)}."
        )
