"""The group-sequential design: a trial that may end early for efficacy, futility or harm."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.design.base import Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.checks import against_control, check_looks
from vtrial.design.correction import BY_STAGES, AbstractCorrectedDesign, Corrected, Record, blank, by_stages, noted
from vtrial.design.parallel import relative
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics import interim
from vtrial.statistics.boundaries import AbstractBoundary, Spending
from vtrial.statistics.futility import AbstractFutility, FixedFutility, plan
from vtrial.statistics.stagewise import Course


class SequentialMemory(eqx.Module):
    """What a group-sequential trial needs to go on."""

    open: Bool[Array, " arm"]
    """Arms that still enrol: neither rejected nor dropped; the control always."""
    front: interim.Front
    """Of each level and arm, the trials that would go on; empty where bounds are those planned."""
    record: Record
    """What estimates are corrected by."""


class GroupSequential(AbstractCorrectedDesign):
    """Each arm is compared with the control at every look, by bounds that keep the level over all looks.

    An arm whose statistic reaches the efficacy bound has its null hypothesis rejected; one below the futility or the
    harm bound is dropped. Neither enrols any more, and the trial ends when no arm is open. With several arms the level
    is shared by Holm's procedure: whoever is rejected leaves its level to the others. Source: Maurer and Bretz 2013,
    doi:10.1080/19466315.2013.807748; harm and futility: Jennison and Turnbull 1999, ISBN 978-0-8493-0316-6.
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
    randomisation: AbstractRandomisation
    boundary: AbstractBoundary
    rule: AbstractFutility | None
    alpha: float = eqx.field(static=True)
    """One-sided level of the whole trial."""
    harm: float | None = eqx.field(static=True)
    """Statistic in the wrong direction that drops an arm."""
    recalculated: bool = eqx.field(static=True)
    """Whether the bounds are those of the information seen at each look, rather than planned."""
    shares: Float[np.ndarray, " look"]
    """Planned information shares."""
    efficacy: Float[np.ndarray, "hypothesis look"]
    """Efficacy bounds planned, with 1, 2, ... hypotheses left."""
    futility: Float[np.ndarray, " look"]
    """Futility bounds planned."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        sizes: Sequence[int],
        control: str,
        boundary: AbstractBoundary,
        alpha: float = 0.025,
        futility: AbstractFutility | None = None,
        harm: float | None = None,
        timing: AbstractTiming | None = None,
        weights: Mapping[str, float] | None = None,
        randomisation: AbstractRandomisation | None = None,
        recalculated: bool = False,
    ):
        """Compute the bounds.

        Args:
            arms: by name, in order.
            sizes: patients enrolled before each look, over all arms; 0 where a look waits for events or outcomes only.
            control: name of the control arm.
            boundary: efficacy.
            alpha: one-sided level of the whole trial.
            futility: when an arm is dropped for lack of benefit; never if left out.
            harm: an arm is dropped once its statistic is this far in the wrong direction; never if left out.
            timing: when the looks happen; after the outcomes of all enrolled before each, if left out.
            weights: relative size of each arm; 1 where left out.
            randomisation: to exact numbers if left out.
            recalculated: compute the bounds at each look from the outcomes, or events, seen by then; needs a boundary
                by spending. The last look uses all that is left of the level.

        Raises:
            UserError: the arms, sizes or bounds do not fit together.
        """
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.periods, self.spacing = 1, ""
        self.sizes = tuple(sizes)
        self.control = against_control(arms, control)
        self.timing = AfterEach() if timing is None else timing
        check_looks(self.sizes, self.timing, len(arms))
        self.weights = relative(arms, weights)
        self.randomisation = Shuffled() if randomisation is None else randomisation
        if recalculated and not isinstance(boundary, Spending):
            raise UserError("design.recalculated needs a boundary by spending: the others fix their bounds in advance.")
        if recalculated and futility is not None and futility.binding:
            raise UserError("design.recalculated needs futility that is not binding: its bounds stay those planned.")
        if harm is not None and not harm > 0:
            raise UserError(f"design.harm is the size of a statistic in the wrong direction, above 0, not {harm}.")
        self.boundary, self.rule, self.alpha = boundary, futility, alpha
        self.harm, self.recalculated = harm, recalculated
        self.shares = np.asarray(self.timing.shares_of(self.sizes), float)
        self.efficacy, self.futility = _bounds(self.shares, boundary, alpha, futility, len(arms) - 1)

    def init(self) -> DesignState:
        """Start with every arm open."""
        arms, levels = len(self.arms), len(self.arms) - 1
        shape = (levels, arms) if self.recalculated else (0, 0)
        front = jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *x.shape)), interim.start())
        return fresh(arms, SequentialMemory(jnp.ones(arms, bool), front, blank(arms, len(self.sizes))))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise in the ratio of the weights; places of closed arms stay empty."""
        arm = self.randomisation.assign(key, jnp.asarray(self.weights), seen, n)
        return jnp.where(state.memory.open[arm], arm, -1)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Reject, drop, go on or end."""
        others = jnp.arange(len(self.arms)) != self.control
        open_ = state.memory.open & others
        bounds, front = self._bounds_now(state, look)
        rejected = self._rejected(state.rejected, open_, look.benefit, bounds)
        # What is not known is no reason to drop an arm.
        z = jnp.where(jnp.isnan(look.benefit), jnp.inf, look.benefit)
        left = open_ & ~rejected
        last = look.number == len(self.sizes) - 1
        harmed = left & (z <= (-jnp.inf if self.harm is None else -self.harm)) & ~last
        futile = left & (z < jnp.asarray(self.futility)[look.number]) & ~last & ~harmed
        left = left & ~harmed & ~futile
        over = ~left.any()
        reason = jnp.where(rejected.any(), 1, jnp.where(harmed.any() & ~futile.any(), 3, 2))
        return DesignState(
            selected=chosen(key, jnp.where(rejected, look.merit, -jnp.inf)),
            stopped=over | last,
            rejected=rejected,
            reason=jnp.where(over & ~last, reason, 0),
            memory=SequentialMemory(left | ~others, front, self._noted(state.memory, look, open_, rejected, bounds)),
        )

    def record(self, state: DesignState) -> Record:
        """Return the record."""
        return state.memory.record

    def corrected(self, record: Record, alpha: float) -> Corrected:
        """Return estimates by the stagewise ordering, of each arm at the look at which its test ended.

        With several arms the bounds are taken as they were met, as if Holm's procedure had not moved them.
        """
        return by_stages(record, alpha, self.control)

    def describe(self) -> str:
        """Say looks and bounds, as z and one-sided nominal p."""
        looks = ", ".join(f"{100 * s:.3g} %" for s in self.shares)
        said = [f"group sequential, {len(self.sizes)} looks at {looks} of the information ({self.timing.describe()})"]
        said.append(f"{len(self.arms) - 1} comparisons with {self.names[self.control]} by Holm" * (len(self.arms) > 2))
        strictest = self.efficacy[-1]
        said.append(
            f"efficacy by {self.boundary.describe()} of one-sided {self.alpha:g}: z {_listed(strictest, '.3f')} "
            f"(nominal p {_listed(np.asarray(ndtr(-strictest)), '.3g')})"
        )
        if self.recalculated:
            said.append("recalculated for the information seen")
        if self.rule is not None:
            said.append(f"{self.rule.describe()}: z {_listed(self.futility[:-1], '.3f')}")
        if self.harm is not None:
            said.append(f"harm: z {-self.harm:.3f}")
        said.append(f"{sum(self.sizes)} patients at most, {self.randomisation.describe()}")
        return "; ".join(s for s in said if s)

    def _bounds_now(self, state: DesignState, look: Look) -> tuple[Float[Array, "hypothesis arm"], interim.Front]:
        """Return the efficacy bound of each arm, with 1, 2, ... hypotheses left."""
        front, arms = state.memory.front, len(self.arms)
        if not (self.recalculated and isinstance(self.boundary, Spending)):
            now = jnp.asarray(self.efficacy)[:, look.number]
            return jnp.broadcast_to(now[:, None], (arms - 1, arms)), front
        share = self._seen_share(look)
        last = look.number == len(self.sizes) - 1
        levels = self.alpha / jnp.arange(1, arms)
        # At the last look all is spent, even if less information came than was planned.
        spending, t = self.boundary.spending, jnp.where(last, 1.0, share)
        spent = jax.vmap(lambda level: spending.spent(t, level))(levels)
        each = jax.vmap(jax.vmap(interim.spend), in_axes=(0, None, 0))
        return each(front, share, spent)

    def _noted(
        self,
        memory: SequentialMemory,
        look: Look,
        open_: Bool[Array, " arm"],
        rejected: Bool[Array, " arm"],
        bounds: Float[Array, "hypothesis arm"],
    ) -> Record:
        """Return what is known of each test after a look."""
        share = self._seen_share(look)
        root = jnp.sqrt(share)
        low = jnp.maximum(jnp.asarray(self.futility)[look.number], -jnp.inf if self.harm is None else -self.harm)
        hypotheses = len(self.arms) - 1
        upper = bounds[jnp.clip(hypotheses - rejected.sum(), 1, hypotheses) - 1]
        return noted(memory.record, look, open_, Course(share, low, upper, root), statistic=look.benefit, reach=root)

    def _seen_share(self, look: Look) -> Float[Array, " arm"]:
        """Return the share of the planned patients, or events, of each arm and the control that are there."""
        given = look.seen.arm[:, None] == jnp.arange(len(self.arms))[None, :]
        events = (given & look.seen.event.reshape(len(given), -1).all(1)[:, None]).sum(0)
        count = self.timing.counted(events, look.comparison.count)
        weight = jnp.asarray(self.weights)
        planned = self.timing.total(self.sizes) * (weight + weight[self.control]) / weight.sum()
        return (count + count[self.control]) / planned

    def _rejected(
        self,
        before: Bool[Array, " arm"],
        open_: Bool[Array, " arm"],
        z: Float[Array, " arm"],
        bounds: Float[Array, "hypothesis arm"],
    ) -> Bool[Array, " arm"]:
        """Return the hypotheses rejected by now: each rejection lowers the bounds of the others."""
        hypotheses, known = len(self.arms) - 1, open_ & ~jnp.isnan(z)
        rejected = before
        for _ in range(hypotheses):
            left = jnp.clip(hypotheses - rejected.sum(), 1, hypotheses)
            rejected = rejected | (known & (z >= bounds[left - 1]))
        return rejected


def _bounds(
    shares: Float[np.ndarray, " look"],
    boundary: AbstractBoundary,
    alpha: float,
    futility: AbstractFutility | None,
    hypotheses: int,
) -> tuple[Float[np.ndarray, "hypothesis look"], Float[np.ndarray, " look"]]:
    """Return efficacy bounds for 1, 2, ... hypotheses left, and the futility bounds of the strictest level."""
    strictest = plan(shares, boundary, alpha / hypotheses, futility)
    levels = range(1, hypotheses)
    if futility is None or not futility.binding:
        each = [boundary.bounds(shares, alpha / k) for k in levels]
    else:
        given = FixedFutility(values=tuple(strictest.futility[:-1].tolist()), binding=True)
        each = [plan(shares, boundary, alpha / k, given).efficacy for k in levels]
    return np.array([*each, strictest.efficacy]), strictest.futility


def _listed(values: Float[np.ndarray, " look"], form: str) -> str:
    return ", ".join(format(float(v), form) for v in values)
