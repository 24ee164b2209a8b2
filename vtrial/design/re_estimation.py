"""Sample-size re-estimation: the second stage is as large as the first one suggests."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, Int, Key

from vtrial.design.base import Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.checks import against_control, check_looks
from vtrial.design.correction import BY_STAGES, AbstractCorrectedDesign, Corrected, Record, blank, by_stages, noted
from vtrial.design.parallel import relative
from vtrial.design.randomisation import AbstractRandomisation, Blocks
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics.boundaries import AbstractBoundary, WangTsiatis
from vtrial.statistics.combination import inverse_normal, stage_statistic
from vtrial.statistics.conditional import needed_information, second_critical
from vtrial.statistics.stagewise import Course


class StageMemory(eqx.Module):
    """What the second stage needs to know of the first."""

    second: Int[Array, ""]
    """Patients of the second stage."""
    statistic: Float[Array, ""]
    """Statistic of the first stage, positive where the arm is better than the control."""
    information: Float[Array, ""]
    """Its information."""
    record: Record
    """What estimates are corrected by."""


class SampleSizeReestimation(AbstractCorrectedDesign):
    """Two stages; in the promising zone of conditional power the second one is enlarged to reach a target.

    The stages are combined with weights fixed in advance, so that the level holds whatever the second size. Source:
    Cui, Hung and Wang 1999, doi:10.1111/j.0006-341X.1999.00853.x; promising zone: Mehta and Pocock 2011,
    doi:10.1002/sim.4102.
    """

    correction: ClassVar[str] = BY_STAGES
    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    weights: tuple[float, ...] = eqx.field(static=True)
    """Relative size of each arm."""
    control: int = eqx.field(static=True)
    """Number of the control arm."""
    planned: int = eqx.field(static=True)
    """Patients of the second stage if it is not enlarged."""
    randomisation: AbstractRandomisation
    boundary: AbstractBoundary
    alpha: float = eqx.field(static=True)
    """One-sided level of the whole trial."""
    target: float = eqx.field(static=True)
    """Conditional power wanted."""
    promising: tuple[float, float] = eqx.field(static=True)
    """Conditional power, with the second stage as planned, between which it is enlarged."""
    effect: float | None = eqx.field(static=True)
    """Effect that conditional power assumes, in the scale of the analysis and the better direction."""
    futility: float | None = eqx.field(static=True)
    """Statistic of the first stage below which the trial ends."""
    critical: Float[np.ndarray, " look"]
    """Statistics that reject: of the first stage, and of the combination."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        control: str,
        first: int,
        planned: int,
        largest: int,
        target: float = 0.9,
        promising: Sequence[float] = (0.3, 0.9),
        effect: float | None = None,
        boundary: AbstractBoundary | None = None,
        futility: float | None = None,
        alpha: float = 0.025,
        weights: Mapping[str, float] | None = None,
        randomisation: AbstractRandomisation | None = None,
    ):
        """Compute critical values and weights.

        Args:
            arms: two, by name.
            control: name of the control arm.
            first: patients of the first stage.
            planned: patients of the second stage as planned; the weights of the stages follow from it.
            largest: most patients of the second stage.
            target: conditional power wanted.
            promising: conditional power, with the second stage as planned, between which the stage is enlarged.
            effect: that conditional power assumes; the effect seen, if left out.
            boundary: O'Brien and Fleming's if left out.
            futility: statistic of the first stage below which the trial ends (not binding); never if left out.
            alpha: one-sided level of the whole trial.
            weights: relative size of each arm; 1 where left out.
            randomisation: permuted blocks of four if left out, so that a stage may end anywhere.

        Raises:
            UserError: the arms, sizes or probabilities do not fit together.
        """
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.periods, self.spacing = 1, ""
        self.control, self.timing = against_control(arms, control), AfterEach()
        if len(arms) != 2:
            raise UserError(f"Sample-size re-estimation compares two arms, not {len(arms)}; use Seamless for more.")
        self.sizes = (first, largest)
        check_looks(self.sizes, self.timing, len(arms))
        if not 2 <= planned <= largest:
            raise UserError(f"design.planned is from 2 to design.largest, {largest}, not {planned}.")
        low, high = promising
        if not (0 < target < 1 and 0 <= low < high <= 1):
            raise UserError(
                f"design.target and design.promising are probabilities, the zone from low to high; not {target} and "
                f"{tuple(promising)}."
            )
        if effect is not None and not effect > 0:
            raise UserError(f"design.effect is positive in the direction that is better, not {effect}.")
        self.planned, self.target, self.promising = planned, target, (low, high)
        self.effect, self.futility, self.alpha = effect, futility, alpha
        self.weights = relative(arms, weights)
        self.randomisation = Blocks(4) if randomisation is None else randomisation
        self.boundary = WangTsiatis(0.0) if boundary is None else boundary
        self.critical = self.boundary.bounds((self.weight, 1.0), alpha)

    @property
    def weight(self) -> float:
        """Square of the weight of the first stage: its share of the patients planned."""
        return self.sizes[0] / (self.sizes[0] + self.planned)

    def init(self) -> DesignState:
        """Start with the second stage as planned."""
        zero = jnp.asarray(0.0)
        return fresh(2, StageMemory(jnp.asarray(self.planned), zero, zero, blank(2, 2)))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise the first stage, then as many as the second needs."""
        arm = self.randomisation.assign(key, jnp.asarray(self.weights), seen, n)
        second = seen.next >= self.sizes[0]
        return jnp.where(second & (jnp.arange(n) >= state.memory.second), -1, arm)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Reject, give up, or size the second stage; at its end combine both."""
        arm, memory = 1 - self.control, state.memory
        z, information = look.benefit[arm], look.comparison.information[arm]
        last = look.number == 1
        second = stage_statistic(memory.statistic, memory.information, z, information)
        combined = inverse_normal(memory.statistic, second, self.weight)
        reached = jnp.where(last, combined >= self.critical[1], z >= self.critical[0])
        hopeless = ~last & (z < (-jnp.inf if self.futility is None else self.futility))
        rejected = reached & (jnp.arange(2) == arm)
        used = look.comparison.count.sum()
        # A first stage that could not be analysed is no evidence, and leaves the plan as it is.
        known = jnp.isfinite(z) & jnp.isfinite(information)
        seen = StageMemory(
            second=jnp.where(known, self._second(z, information, used), self.planned),
            statistic=jnp.where(known, z, 0.0),
            information=jnp.where(known, information, 0.0),
            record=memory.record,
        )
        kept: StageMemory = jax.tree.map(lambda old, new: jnp.where(last, old, new), memory, seen)
        record = self._noted(memory, look, jnp.where(last, combined, z))
        return DesignState(
            selected=chosen(key, jnp.where(rejected, look.merit, -jnp.inf)),
            stopped=last | reached | hopeless,
            rejected=rejected,
            reason=jnp.where(last, 0, jnp.where(reached, 1, jnp.where(hopeless, 2, 0))),
            memory=StageMemory(kept.second, kept.statistic, kept.information, record),
        )

    def record(self, state: DesignState) -> Record:
        """Return the record."""
        return state.memory.record

    def corrected(self, record: Record, alpha: float) -> Corrected:
        """Return estimates by the stagewise ordering of the combination, whatever the size of the second stage."""
        return by_stages(record, alpha, self.control)

    def describe(self) -> str:
        """Say sizes, zone and critical values."""
        first, largest = self.sizes
        low, high = self.promising
        assumed = "the effect seen" if self.effect is None else f"an effect of {self.effect:g}"
        weights = f"{np.sqrt(self.weight):.4f} and {np.sqrt(1 - self.weight):.4f}"
        return (
            f"sample-size re-estimation: {first} patients, then {self.planned}, or up to {largest} for conditional "
            f"power {self.target:g} under {assumed} if it is between {low:g} and {high:g}; inverse-normal combination "
            f"with weights {weights}, {self.boundary.describe()} of one-sided {self.alpha:g}: z "
            f"{self.critical[0]:.3f}, {self.critical[1]:.3f}; {self.randomisation.describe()}"
        )

    def _noted(self, memory: StageMemory, look: Look, statistic: Float[Array, ""]) -> Record:
        """Return what is known of the test after a look."""
        arm, last = jnp.arange(2) == 1 - self.control, look.number == 1
        information = look.comparison.information[1 - self.control]
        second = jnp.sqrt(jnp.maximum(information - memory.information, 0.0))
        both = inverse_normal(jnp.sqrt(memory.information), second, self.weight)
        share, upper = jnp.where(last, 1.0, self.weight), jnp.asarray(self.critical)[look.number]
        lower = jnp.asarray(-jnp.inf if self.futility is None else self.futility)
        reach = jnp.sqrt(information)
        slope = jnp.where(last, both, jnp.where(jnp.isfinite(statistic), reach, 0.0))
        now = Course(share, lower, upper, slope)
        return noted(memory.record, look, arm, now, statistic=statistic, reach=reach)

    def _second(self, z: Float[Array, ""], information: Float[Array, ""], used: Int[Array, ""]) -> Int[Array, ""]:
        """Return the size of the second stage."""
        each = information / jnp.maximum(used, 1)
        effect = z / jnp.sqrt(information) if self.effect is None else jnp.asarray(self.effect)
        critical = second_critical(z, self.weight, self.critical[1])
        low, high = self.promising
        power = ndtr(effect * jnp.sqrt(self.planned * each) - critical)
        wanted = jnp.ceil(needed_information(critical, effect, self.target) / each - 1e-9)
        enlarged = jnp.clip(wanted, self.planned, self.sizes[1]).astype(int)
        return jnp.where((low <= power) & (power < high), enlarged, self.planned)
