"""What an event does to a patient: treatment stops, changes or is added to, observation ends, life ends."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial.design import Arm
from vtrial.dosing import AbstractRegimen, EventTable, divided, given_only, joined, moved
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel


class Therapy(eqx.Module):
    """What a patient is given: the arm's doses, doses added, and factors of parameters after each change."""

    own: EventTable
    added: tuple[EventTable, ...] = ()
    factors: Mapping[str, Float[Array, " change"]] = eqx.field(default_factory=dict)
    changed: Float[Array | np.ndarray, " change"] = eqx.field(default_factory=lambda: np.zeros(0))
    """When it changes, ascending; the end of what is observed for changes that do not come."""

    def giving(self, own: EventTable) -> "Therapy":
        """Return it with other doses of the arm."""
        return replace(self, own=own)

    def adding(self, table: EventTable) -> "Therapy":
        """Return it with further doses."""
        return replace(self, added=(*self.added, table))

    def times(self, factors: Mapping[str, float | Float[Array, ""]], change: "Change") -> "Therapy":
        """Return it with further factors from a change on, if it happens."""
        found, after = dict(self.factors), change.happens & (jnp.asarray(self.changed) >= change.time)
        for name, factor in factors.items():
            found[name] = found.get(name, jnp.ones(len(self.changed))) * jnp.where(after, factor, 1.0)
        return replace(self, factors=found)

    def doses(self) -> EventTable:
        """Return one event table of all doses."""
        return joined(self.own, self.added)

    def divided(self, table: EventTable) -> EventTable:
        """Return an event table with a span of parameters for each change, where some change."""
        return divided(table, jnp.asarray(self.changed)) if self.factors else table

    def parameters(self, p: Mapping[str, Float[Array, ""]]) -> dict[str, Float[Array, "*span"]]:
        """Return the parameters: of those that change, before the first change and after each."""
        return {name: jnp.append(v, v * self.factors[name]) if name in self.factors else v for name, v in p.items()}


class Change(eqx.Module):
    """A change of treatment that an event may bring to a patient."""

    time: Float[Array, ""]
    """When; no later than the end of what is observed."""
    happens: Bool[Array, ""]
    end: Float[Array, ""]
    """When what is observed ends."""
    until: Float[Array, ""]
    """When the doses of an arm switched to by it end: another event stops or switches; infinity for never."""
    arm: Int[Array, ""]
    """Number of the arm that the patient was treated as before it."""
    arms: Mapping[str, Arm]
    """Those that the patient may be treated as."""
    taken: Callable[[AbstractRegimen], EventTable]
    """Returns the doses of a regimen as the patient takes them."""
    prescribed: Callable[[AbstractRegimen], EventTable]
    """Returns the doses of a regimen as they should be."""

    def later(self, table: EventTable) -> EventTable:
        """Return doses given from the change on as the table has them from time 0 on."""
        start = jnp.asarray(table.start) + self.time
        inside = self.happens & (start <= self.end)
        # What comes too late, or not at all, would only lengthen the solve.
        by = jnp.where(inside, self.time, jnp.minimum(self.end - jnp.asarray(table.start), 0.0))
        return given_only(moved(table, by), inside.astype(float))


class AbstractConsequence(eqx.Module):
    """What an event does to a patient, from its time on."""

    changes: eqx.AbstractClassVar[bool]
    """Whether it changes the treatment: the later path is then another one, and is solved again."""
    ends: eqx.AbstractClassVar[bool]
    """Whether the doses of the arm that the patient is treated as end."""
    intercurrent: eqx.AbstractClassVar[bool]
    """Whether it is an intercurrent event in the sense of ICH E9(R1); what is merely not observed is none."""
    leaves: eqx.AbstractClassVar[bool]
    """Whether nothing is observed any more."""
    dies: eqx.AbstractClassVar[bool]
    finishes: ClassVar[bool] = False
    """Whether the patient begins no later period of a design that has several."""
    arm: ClassVar[str | None] = None
    """The arm that the patient is treated as from then on; None: as before."""

    @abstractmethod
    def check(self, where: str, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Check outside `jit` that it fits model, arms and parameters; raises `UserError` that names the key."""

    @abstractmethod
    def applies(self, arm: str) -> bool:
        """Return whether it may happen to a patient who is treated as an arm."""

    @abstractmethod
    def regimens(self) -> tuple[AbstractRegimen, ...]:
        """Return the regimens that it adds and that no arm has."""

    @abstractmethod
    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment with its change, which does nothing unless it happens."""

    @abstractmethod
    def describe(self) -> str:
        """Say it in a few words that follow the event's name."""


class AbstractPlainConsequence(AbstractConsequence):
    """A consequence that cannot be wrong and may happen in any arm."""

    def check(self, where: str, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Nothing can be wrong."""

    def applies(self, arm: str) -> bool:
        """Return true."""
        return True

    def regimens(self) -> tuple[AbstractRegimen, ...]:
        """Return none."""
        return ()


class Stop(AbstractPlainConsequence):
    """No dose of an arm is taken any more, be it the own one or one switched to; rescue, if there was any, goes on.

    Later periods the patient does not begin. It does not happen to who has stopped already (in the period).

    Args:
        resumes: in a design with periods, whether the next period begins as planned: what is stopped is the treatment
            of this one.
    """

    resumes: bool = eqx.field(static=True, default=False)
    changes: ClassVar[bool] = True
    ends: ClassVar[bool] = True
    intercurrent: ClassVar[bool] = True
    leaves: ClassVar[bool] = False
    dies: ClassVar[bool] = False

    @property
    def finishes(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether there is no later period."""
        return not self.resumes

    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment without the arm's later doses; those of an arm switched to the switch itself ends."""
        return therapy.giving(_ended(therapy.own, change))

    def describe(self) -> str:
        """Say it."""
        return "stops treatment" + (" of the period" if self.resumes else "")


class Leave(AbstractPlainConsequence):
    """Nothing is observed any more, and no later period begun; what goes on in this one goes on unseen."""

    changes: ClassVar[bool] = False
    ends: ClassVar[bool] = False
    intercurrent: ClassVar[bool] = False
    leaves: ClassVar[bool] = True
    dies: ClassVar[bool] = False
    finishes: ClassVar[bool] = True

    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment as it is."""
        return therapy

    def describe(self) -> str:
        """Say it."""
        return "ends observation"


class Die(AbstractPlainConsequence):
    """Death: later endpoints do not exist, which is another thing than not to be seen."""

    changes: ClassVar[bool] = False
    ends: ClassVar[bool] = False
    intercurrent: ClassVar[bool] = True
    leaves: ClassVar[bool] = False
    dies: ClassVar[bool] = True
    finishes: ClassVar[bool] = True

    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment as it is: nothing reads it."""
        return therapy

    def describe(self) -> str:
        """Say it."""
        return "ends life"


class Rescue(AbstractConsequence):
    """The treatment goes on, and more is done: further doses, or what another drug does to parameters.

    In a design with periods to the start of the next one, which begins without it.

    Args:
        regimen: further doses, which are all taken; their time 0 is the event.
        factors: a factor by parameter from then on, of a drug that the model does not have.
    """

    regimen: AbstractRegimen | None = None
    factors: Mapping[str, float] = eqx.field(static=True, default_factory=dict)
    changes: ClassVar[bool] = True
    ends: ClassVar[bool] = False
    intercurrent: ClassVar[bool] = True
    leaves: ClassVar[bool] = False
    dies: ClassVar[bool] = False

    def check(self, where: str, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Refuse a rescue that does nothing, a regimen that begins at steady state, an unknown parameter."""
        if self.regimen is None and not self.factors:
            raise UserError(f"{where} is a rescue that does nothing; give it a regimen, or factors of parameters.")
        if self.regimen is not None:
            _refuse_steady(self.regimen, f"{where}.regimen", model)
        for name, factor in self.factors.items():
            if name not in parameters:
                raise UserError(
                    f"{where}.factors has '{name}', which is no parameter of the population. "
                    f"{nearest(name, parameters)}"
                )
            if not factor > 0:
                raise UserError(f"{where}.factors.{name} is {factor}; a factor is positive.")

    def applies(self, arm: str) -> bool:
        """Return true."""
        return True

    def regimens(self) -> tuple[AbstractRegimen, ...]:
        """Return its regimen."""
        return () if self.regimen is None else (self.regimen,)

    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment with what is added."""
        if self.regimen is not None:
            therapy = therapy.adding(change.later(change.prescribed(self.regimen)))
        return therapy.times(self.factors, change)

    def describe(self) -> str:
        """Say it."""
        given = [] if self.regimen is None else [self.regimen.describe()]
        given += [f"{name} times {factor:g}" for name, factor in self.factors.items()]
        return f"adds rescue ({', '.join(given)})"


class Switch(AbstractConsequence):
    """From then on the patient is treated as another arm is, until he stops or switches again.

    It does not happen to who is treated as that arm already; to who has stopped another arm it may, and to who has
    switched from the arm, so that he comes back. Rescue, if there was any, goes on.

    In a design with periods to the start of the next one, whose arm is the one planned.

    Args:
        to: name of the arm.
        afresh: whether its regimen begins with the switch; otherwise the patient is given the doses that the arm has
            at that time since entry.
    """

    to: str = eqx.field(static=True)
    afresh: bool = eqx.field(static=True, default=False)
    changes: ClassVar[bool] = True
    ends: ClassVar[bool] = True
    intercurrent: ClassVar[bool] = True
    leaves: ClassVar[bool] = False
    dies: ClassVar[bool] = False

    def check(self, where: str, model: AbstractModel, arms: Mapping[str, Arm], parameters: Collection[str]) -> None:
        """Refuse an unknown arm, or one that begins at steady state."""
        if self.to not in arms:
            raise UserError(f"{where}.to is '{self.to}', which is no arm of the design. {nearest(self.to, arms)}")
        _refuse_steady(arms[self.to].regimen, f"{where}.to", model)
        if arms[self.to].policy is not None:
            raise UserError(f"{where}.to is '{self.to}', whose doses adapt to each patient; nobody can switch to it.")

    @property
    def arm(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The arm switched to."""
        return self.to

    def applies(self, arm: str) -> bool:
        """Return whether the arm is another one."""
        return arm != self.to

    def regimens(self) -> tuple[AbstractRegimen, ...]:
        """Return none: the arm's is known."""
        return ()

    def change(self, therapy: Therapy, change: Change) -> Therapy:
        """Return the treatment with the other arm's doses and factors in place of those of the arm before."""
        other, table = change.arms[self.to], change.taken(change.arms[self.to].regimen)
        if self.afresh:
            table = change.later(table)
        else:
            due = change.happens & (jnp.asarray(table.start) >= change.time)
            table = given_only(table, due.astype(float))
        table = given_only(table, (jnp.asarray(table.start) < change.until).astype(float))
        factors = {}
        for name in {n: None for arm in change.arms.values() for n in arm.factors}:
            ratio = [other.factors.get(name, 1.0) / arm.factors.get(name, 1.0) for arm in change.arms.values()]
            factors[name] = jnp.asarray(ratio)[change.arm]
        return therapy.giving(_ended(therapy.own, change)).adding(table).times(factors, change)

    def describe(self) -> str:
        """Say it."""
        return f"switches to {self.to}" + (", which begins afresh" if self.afresh else "")


def _ended(table: EventTable, change: Change) -> EventTable:
    """Return the table without the doses from a change on, if it happens."""
    return given_only(table, (~change.happens | (jnp.asarray(table.start) < change.time)).astype(float))


def _refuse_steady(regimen: AbstractRegimen, where: str, model: AbstractModel) -> None:
    """Refuse a regimen with a record at steady state, which nobody is in who begins it."""
    if np.any([order.record.steady for order in regimen.orders(model)]):
        raise UserError(
            f"{where} begins at steady state, which a patient who comes to it is not in; write its doses out."
        )
