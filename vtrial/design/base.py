"""The design interface: a pure state machine over looks, run by `vtrial.trial` for thousands of trials at once."""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.design.comparison import Comparison
from vtrial.design.timing import AbstractTiming
from vtrial.dosing import AbstractPolicy, AbstractRegimen

NONE: Mapping[str, Any] = MappingProxyType({})


class Arm(eqx.Module):
    """One arm: what its patients are given."""

    regimen: AbstractRegimen
    label: str = eqx.field(static=True, default="")
    """How people call it; the regimen in words if left out."""
    factors: Mapping[str, float] = eqx.field(static=True, default_factory=dict)
    """What the arm changes in its patients, as another formulation does: a factor by parameter."""
    policy: AbstractPolicy | None = None
    """How doses adapt to each patient; left out, they do not."""

    def describe(self) -> str:
        """Say the arm in words."""
        changed = "".join(f", {name} times {factor:g}" for name, factor in self.factors.items())
        return self.label or self.dosing() + changed

    def dosing(self) -> str:
        """Say regimen and policy in words."""
        return self.regimen.describe() + ("" if self.policy is None else f"; {self.policy.describe()}")


class Seen(eqx.Module):
    """What a trial has revealed at a look: of each patient only what happened under the arm they were given.

    The outcome is one number ("value"), one for each visit ("visits"), or the time to an event ("event"). A design with
    periods gives each patient an arm in each, and has an outcome for each.
    """

    arm: Int[Array, "patient *period"]
    """Arm of each patient; -1 for those who are not enrolled, or not yet."""
    outcome: Float[Array, "patient *rest"]
    """Their primary endpoint: NaN where it is not known. Of an event the time from entry to it, or to censoring."""
    event: Bool[Array, "patient *rest"]
    """Whether the outcome is the time of an event; for other outcomes, whether it is known."""
    entered: Float[Array, " patient"]
    """Calendar time of enrolment, in the model's time unit; NaN for those not enrolled."""
    next: Int[Array, ""]
    """Number of the first patient who has not been allocated yet."""
    covariates: Mapping[str, Float[Array, " patient"]]
    """What is known of each patient before allocation, those to come included."""

    def members(self, arms: int) -> Bool[Array, "patient arm"]:
        """Return which patients count for which arm: those given it, with a known outcome, all of it."""
        known = jnp.isfinite(self.outcome)
        whole = known if known.ndim == 1 else known.all(tuple(range(1, known.ndim)))
        return (self.arm[:, None] == jnp.arange(arms)[None]) & whole[:, None]


def revealed(
    arm: Int[Array, "patient *period"],
    outcome: Float[Array, "patient *rest"],
    *,
    event: Bool[Array, "patient *rest"] | None = None,
    entered: Float[Array, " patient"] | None = None,
    covariates: Mapping[str, Float[Array, " patient"]] = NONE,
) -> Seen:
    """Return what is seen of patients who are all allocated; left out, they entered at time 0."""
    first = arm if arm.ndim == 1 else arm[:, 0]
    if entered is None:
        entered = jnp.where(first >= 0, 0.0, jnp.nan)
    known = jnp.isfinite(outcome) if event is None else event
    return Seen(arm, outcome, known, entered, jnp.asarray(len(first)), dict(covariates))


class Look(eqx.Module):
    """What a design decides by."""

    number: Int[Array, ""]
    """0 for the first look."""
    time: Float[Array, ""]
    """Calendar time, in the model's time unit."""
    seen: Seen
    comparison: Comparison
    """The study's analysis of what is seen."""
    benefit: Float[Array, " arm"]
    """The analysis' statistic (a standard-normal quantile), positive where an arm is better than the reference."""
    alpha: float
    """Two-sided significance level of the analysis."""
    merit: Float[Array, " arm"]
    """How good each arm looks by the study's objective, greater being better; -infinity where it cannot be chosen."""


class DesignState(eqx.Module):
    """What a design needs to go on."""

    selected: Int[Array, ""]
    """Arm selected so far; -1 for none."""
    stopped: Bool[Array, ""]
    """Whether the trial has ended."""
    rejected: Bool[Array, " arm"]
    """Null hypotheses, of arms against the reference, rejected so far."""
    reason: Int[Array, ""]
    """Why it ended. See `vtrial.schema.STOP_REASONS`."""
    memory: Any = ()
    """Whatever else the design needs: arrays of fixed shape."""


def fresh(arms: int, memory: Any = ()) -> DesignState:
    """Return the state before the first patient: nothing selected, nothing rejected."""
    return DesignState(jnp.asarray(-1), jnp.asarray(False), jnp.zeros(arms, bool), jnp.asarray(0), memory)


class AbstractDesign(eqx.Module):
    """Reveals entries of the table of potential outcomes, look by look.

    `init`, then at each look `allocate` the next patients and `decide` from all that is seen so far. All three are
    pure, traceable and written for one trial; the trial engine goes over looks and maps over replicates.
    """

    names: eqx.AbstractVar[tuple[str, ...]]
    """Names of the arms, in order."""
    arms: eqx.AbstractVar[tuple[Arm, ...]]
    """The arms, in the same order."""
    sizes: eqx.AbstractVar[tuple[int, ...]]
    """Most patients allocated before each look; as many entries as there are looks."""
    periods: eqx.AbstractVar[int]
    """Periods of each patient; more than one in crossover designs."""
    spacing: eqx.AbstractVar[str]
    """Time from the start of one period to the next, with its unit; "" where there is one period."""
    timing: eqx.AbstractVar[AbstractTiming]
    """When the looks happen."""
    analysed: ClassVar[bool] = True
    """Whether decisions are made by the analysis; if not, it is done once, at the end."""
    toxicity: ClassVar[bool] = False
    """Whether the primary endpoint is a toxicity, and arms are doses in ascending order."""

    @abstractmethod
    def init(self) -> DesignState:
        """Return the state before the first patient."""

    @abstractmethod
    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, "{n} *period"]:
        """Return the arm of each of the next `n` patients, in each period if there are several; -1 enrols nobody."""

    @abstractmethod
    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Return the state after a look; the key breaks ties, so that no arm gains by its place."""

    @abstractmethod
    def describe(self) -> str:
        """Say the design in words."""


def chosen(key: Key[Array, ""], merit: Float[Array, " arm"]) -> Int[Array, ""]:
    """Return the arm of greatest merit, by lot among equals; -1 if none can be chosen."""
    best = jnp.max(merit)
    lot = jax.random.uniform(key, merit.shape)
    arm = jnp.argmax(jnp.where(merit == best, lot, -1.0))
    return jnp.where(jnp.isfinite(best), arm, -1)
