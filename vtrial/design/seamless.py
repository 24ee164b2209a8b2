"""Seamless phase 2/3: the first stage selects an arm, the second confirms it, and the claim uses both."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.design.base import Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.checks import against_control, check_looks
from vtrial.design.correction import FOR_SELECTION, AbstractCorrectedDesign, Corrected, Own, nothing, own, placed
from vtrial.design.parallel import relative
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics.combination import inverse_normal, stage_statistic
from vtrial.statistics.dunnett import greatest
from vtrial.statistics.stagewise import BRACKET, LEAST, NEARLY_LINEAR, root

_NO_EVIDENCE = -9.0
"""Statistic of an arm that nothing is known of: none against the intersections that it is in."""


class SelectionMemory(eqx.Module):
    """What the second stage needs to know of the first, and estimates of both."""

    statistic: Float[Array, " arm"]
    """Statistics of the first stage, positive where an arm is better than the control."""
    information: Float[Array, " arm"]
    """Their information; 0 of arms that nothing is known of."""
    second: Float[Array, ""]
    """Statistic of the second stage alone, of the selected arm; 0 before it."""
    added: Float[Array, ""]
    """Its information; 0 before it."""
    own: Own


class Seamless(AbstractCorrectedDesign):
    """All arms first; then the best one and the control; then a closed combination test of both stages.

    The claim for the selected arm needs every intersection hypothesis it is in to be rejected by the inverse-normal
    combination of the first stage (Dunnett's test of the intersection) and the second (the selected arm alone), with
    weights fixed in advance; the family-wise level holds whatever the rule of selection. Source: Bretz et al. 2006,
    doi:10.1002/bimj.200510232; Posch et al. 2005, doi:10.1002/sim.2389.
    """

    correction: ClassVar[str] = FOR_SELECTION
    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    weights: tuple[float, ...] = eqx.field(static=True)
    """Relative size of each arm; the second stage keeps that of the selected arm to the control."""
    control: int = eqx.field(static=True)
    """Number of the control arm."""
    randomisation: AbstractRandomisation
    alpha: float = eqx.field(static=True)
    """One-sided family-wise level."""
    futility: float | None = eqx.field(static=True)
    """Statistic of the selected arm at the first look below which the trial ends."""
    weight: float = eqx.field(static=True)
    """Square of the weight of the first stage."""
    critical: float = eqx.field(static=True)
    """Combined statistic that rejects."""
    member: Bool[np.ndarray, "intersection arm"]
    """Arms of each intersection hypothesis; never the control."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        sizes: Sequence[int],
        control: str,
        alpha: float = 0.025,
        futility: float | None = None,
        timing: AbstractTiming | None = None,
        weights: Mapping[str, float] | None = None,
        randomisation: AbstractRandomisation | None = None,
    ):
        """List the intersection hypotheses, and fix the weights.

        Args:
            arms: by name, in order.
            sizes: patients of the first stage over all arms, and of the second over the selected arm and the control.
            control: name of the control arm.
            alpha: one-sided family-wise level.
            futility: statistic of the selected arm below which the trial ends at the first look (not binding).
            timing: when the looks happen; after the outcomes of all enrolled before each, if left out.
            weights: relative size of each arm; 1 where left out.
            randomisation: to exact numbers if left out.

        Raises:
            UserError: the arms and sizes do not fit together.
        """
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.periods, self.spacing = 1, ""
        self.control, self.sizes = against_control(arms, control), tuple(sizes)
        self.timing = AfterEach() if timing is None else timing
        if len(self.sizes) != 2 or self.sizes[1] < 4:
            raise UserError(
                f"design.sizes are those of two stages, the second of 4 patients or more; not {list(sizes)}."
            )
        check_looks(self.sizes, self.timing, len(arms))
        if not 0 < alpha < 0.5:
            raise UserError(f"design.alpha is a one-sided level between 0 and 0.5, not {alpha}.")
        self.weights = relative(arms, weights)
        self.randomisation = Shuffled() if randomisation is None else randomisation
        self.alpha, self.futility = alpha, futility
        # The selected arm's patients of the first stage by all of its patients, with the control's.
        pair = np.mean([self._pair(i) for i in range(len(arms)) if i != self.control])
        self.weight = float(self.sizes[0] * pair / (self.sizes[0] * pair + self.sizes[1]))
        self.critical = float(-ndtri(alpha))
        self.member = _intersections(len(arms), self.control)

    def _pair(self, arm: int) -> float:
        """Return the share of an arm and the control among all patients of the first stage."""
        return (self.weights[arm] + self.weights[self.control]) / sum(self.weights)

    def init(self) -> DesignState:
        """Start with no arm selected."""
        arms, zero = len(self.arms), jnp.asarray(0.0)
        return fresh(arms, SelectionMemory(jnp.full(arms, _NO_EVIDENCE), jnp.zeros(arms), zero, zero, nothing(arms)))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise to all arms, then to the selected one and the control."""
        arm = jnp.arange(len(self.arms))
        confirming = (arm == self.control) | (arm == state.selected)
        kept = confirming | (state.selected < 0)
        return self.randomisation.assign(key, jnp.where(kept, jnp.asarray(self.weights), 0.0), seen, n)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Select the arm, or test it."""
        selected, confirmed = self._select(key, state, look), self._confirm(state, look)
        return jax.tree.map(lambda one, two: jnp.where(look.number == 0, one, two), selected, confirmed)

    def record(self, state: DesignState) -> tuple[Int[Array, ""], SelectionMemory]:
        """Return the selected arm, and what is known of both stages."""
        return state.selected, state.memory

    def corrected(self, record: tuple[Int[Array, ""], SelectionMemory], alpha: float) -> Corrected:
        """Return the estimate of the selected arm, by the closed combination test of every effect it may have.

        Lower limit and estimate (where the test has p 1/2) are right where all arms are alike, and low elsewhere: the
        limit holds in any case. The upper limit is that of the combination without the first stage's multiplicity,
        which selection can only make safer. Source: Posch et al. 2005, doi:10.1002/sim.2389.
        """
        arm, memory = record
        confirmed = memory.added > 0
        weight = jnp.where(confirmed, self.weight, 1.0)
        one, two = jnp.sqrt(weight), jnp.sqrt(1 - weight)
        z, slope = memory.statistic[arm], jnp.sqrt(jnp.stack([memory.information[arm], memory.added]))
        scale, pooled = one * slope[0] + two * slope[1], one * z + two * memory.second
        quantile = -ndtri(alpha / 2)

        def effect(wanted: Float[Array, ""]) -> Float[Array, ""]:
            def excess(x: Float[Array, ""]) -> Float[Array, ""]:
                at = x / scale
                return one * self._first(memory, arm, at) + two * (memory.second - at * slope[1]) - wanted

            return root(excess, pooled - BRACKET, pooled + BRACKET, NEARLY_LINEAR) / scale

        found = jnp.stack([effect(quantile), effect(jnp.asarray(0.0)), (pooled + quantile) / scale])
        own_z = memory.own.z[arm]
        away = found * jnp.sqrt((slope**2).sum()) - own_z
        mine = (jnp.arange(len(self.arms)) == arm)[:, None]
        return placed(memory.own, jnp.where(mine, away, jnp.nan), alpha)

    def describe(self) -> str:
        """Say stages, weights and critical value."""
        stop = "" if self.futility is None else f", or ends if its z is below {self.futility:g}"
        return (
            f"seamless phase 2/3: {self.sizes[0]} patients in {len(self.arms)} arms; the best goes on{stop}; then "
            f"{self.sizes[1]} patients on it and {self.names[self.control]}; closed test by Dunnett and inverse-normal "
            f"combination with weights {np.sqrt(self.weight):.4f} and {np.sqrt(1 - self.weight):.4f}, one-sided "
            f"{self.alpha:g}: z {self.critical:.3f}; {self.randomisation.describe()}"
        )

    def _select(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Select the arm of greatest merit, and keep what the first stage says of its intersections."""
        arm = jnp.arange(len(self.arms))
        known = (arm != self.control) & jnp.isfinite(look.benefit)
        best = chosen(key, jnp.where(known, look.merit, -jnp.inf))
        there = best >= 0
        hopeless = jnp.where(there, look.benefit[best], 0.0) < (-jnp.inf if self.futility is None else self.futility)
        zero = jnp.asarray(0.0)
        return DesignState(
            selected=best,
            stopped=~there | hopeless,
            rejected=state.rejected,
            reason=jnp.where(there & ~hopeless, 0, jnp.where(there, 2, 4)),
            memory=SelectionMemory(
                jnp.where(known, look.benefit, _NO_EVIDENCE),
                jnp.where(known, look.comparison.information, 0.0),
                zero,
                zero,
                own(look),
            ),
        )

    def _confirm(self, state: DesignState, look: Look) -> DesignState:
        """Test the selected arm by both stages."""
        arm, memory = state.selected, state.memory
        before, information = memory.information[arm], look.comparison.information[arm]
        second = stage_statistic(memory.statistic[arm], before, look.benefit[arm], information)
        reached = inverse_normal(self._first(memory, arm, jnp.asarray(0.0)), second, self.weight) >= self.critical
        return DesignState(
            selected=arm,
            stopped=jnp.asarray(True),
            rejected=reached & (jnp.arange(len(self.arms)) == arm),
            reason=jnp.asarray(0),
            memory=SelectionMemory(memory.statistic, memory.information, second, information - before, own(look)),
        )

    def _first(self, memory: SelectionMemory, arm: Int[Array, ""], effect: Float[Array, ""]) -> Float[Array, ""]:
        """Return the least statistic of the intersection hypotheses of an arm: that effects are `effect` or less."""
        z = memory.statistic - effect * jnp.sqrt(memory.information)
        weight = jnp.asarray(self.weights)
        share = weight / (weight + weight[self.control])

        def intersection(member: Bool[Array, " arm"]) -> Float[Array, ""]:
            top = jnp.max(jnp.where(member, z, -jnp.inf))
            return -ndtri(jnp.clip(greatest(top, share, member), LEAST, 1 - LEAST))

        member = jnp.asarray(self.member)
        return jnp.min(jnp.where(member[:, jnp.maximum(arm, 0)], jax.vmap(intersection)(member), jnp.inf))


def _intersections(arms: int, control: int) -> Bool[np.ndarray, "intersection arm"]:
    """Return every set of arms that are not the control, but the empty one."""
    sets = [s for s in product((False, True), repeat=arms) if any(s) and not s[control]]
    return np.array(sets)
