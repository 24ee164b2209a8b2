"""Arm dropping: several arms start, the worst leave at each look, and the rest are tested at the end."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial.design.base import Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.checks import against_control, check_looks
from vtrial.design.correction import FOR_SELECTION, AbstractCorrectedDesign, Corrected, Own, nothing, own, placed
from vtrial.design.parallel import relative
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics import dunnett
from vtrial.statistics.stagewise import LEAST, root

_WIDEST = 6.0
"""Statistics beyond this are not looked for."""


class DropMemory(eqx.Module):
    """What the trial needs to go on."""

    there: Bool[Array, " arm"]
    """Arms that have not left."""
    own: Own
    """Estimates at the last look; of arms that left not a number."""


class DropArms(AbstractCorrectedDesign):
    """At each look the best arms stay, as many as planned, and those below a futility bound leave.

    At the end the arms that stayed are tested against the control by the closed Dunnett test of all arms that started.
    Places of arms that left stay empty: what is known of an arm at the end is then what it would be had nobody left,
    and dropping can only make rejection rarer. Source: Thall, Simon and Ellenberg 1989, Biometrics 45:537; Dunnett
    1955, doi:10.1080/01621459.1955.10501294.
    """

    correction: ClassVar[str] = FOR_SELECTION
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
    keep: tuple[int, ...] = eqx.field(static=True)
    """Arms beside the control that stay after each interim look."""
    futility: float | None = eqx.field(static=True)
    """Statistic below which an arm leaves."""
    alpha: float = eqx.field(static=True)
    """One-sided family-wise level."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        sizes: Sequence[int],
        control: str,
        keep: Sequence[int],
        futility: float | None = None,
        alpha: float = 0.025,
        timing: AbstractTiming | None = None,
        weights: Mapping[str, float] | None = None,
        randomisation: AbstractRandomisation | None = None,
    ):
        """Keep the plan.

        Args:
            arms: by name, in order.
            sizes: patients before each look, over all arms that started; an arm that left leaves its places empty.
            control: name of the control arm, which never leaves.
            keep: most arms beside the control that stay after each look but the last; 1 picks the winner.
            futility: statistic against the control below which an arm leaves; never if left out.
            alpha: one-sided family-wise level.
            timing: when the looks happen; after the outcomes of all enrolled before each, if left out.
            weights: relative size of each arm; 1 where left out.
            randomisation: to exact numbers if left out.

        Raises:
            UserError: the arms, sizes and numbers do not fit together.
        """
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.periods, self.spacing = 1, ""
        self.control, self.sizes, self.keep = against_control(arms, control), tuple(sizes), tuple(keep)
        self.timing = AfterEach() if timing is None else timing
        check_looks(self.sizes, self.timing, len(arms))
        if len(self.keep) != len(self.sizes) - 1 or any(not 1 <= k < len(arms) for k in self.keep):
            raise UserError(
                f"design.keep says for each of {len(self.sizes) - 1} interim looks how many of {len(arms) - 1} arms "
                f"stay; not {list(keep)}."
            )
        if not 0 < alpha < 0.5:
            raise UserError(f"design.alpha is a one-sided level between 0 and 0.5, not {alpha}.")
        self.weights = relative(arms, weights)
        self.randomisation = Shuffled() if randomisation is None else randomisation
        self.futility, self.alpha = futility, alpha

    def init(self) -> DesignState:
        """Start with every arm in."""
        arms = len(self.arms)
        return fresh(arms, DropMemory(jnp.ones(arms, bool), nothing(arms)))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise in the ratio of the weights; places of arms that left stay empty."""
        arm = self.randomisation.assign(key, jnp.asarray(self.weights), seen, n)
        return jnp.where(state.memory.there[arm], arm, -1)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Drop arms, and test at the end."""
        others = jnp.arange(len(self.arms)) != self.control
        last = look.number == len(self.sizes) - 1
        lots, choice = jax.random.split(key)
        stay = jnp.where(last, state.memory.there, self._staying(lots, state.memory.there, look))
        rejected = last & self._tested(stay, look)
        over = ~(stay & others).any()
        return DesignState(
            selected=jnp.where(last, chosen(choice, jnp.where(rejected, look.merit, -jnp.inf)), -1),
            stopped=last | over,
            rejected=rejected,
            reason=jnp.where(over & ~last, 2, 0),
            memory=DropMemory(stay, jax.tree.map(lambda x: jnp.where(stay & last, x, jnp.nan), own(look))),
        )

    def record(self, state: DesignState) -> Own:
        """Return the estimates of arms that stayed."""
        return state.memory.own

    def corrected(self, record: Own, alpha: float) -> Corrected:
        """Return estimates of the arms that stayed, by Dunnett's distribution of the greatest of all that started.

        What the greatest of several statistics exceeds by chance is taken off; that is right for the winner where all
        arms are alike and none left, and too much elsewhere: lower limits (of benefit) hold in any case, for all arms
        at once. Upper limits are the analysis's own, which selection can only make safer. Source: Dunnett 1955, as
        above; for selected arms Posch et al. 2005, doi:10.1002/sim.2389.
        """
        others = jnp.arange(len(self.arms)) != self.control
        weight = jnp.asarray(self.weights)
        share = weight / (weight + weight[self.control])

        def beyond(p: float) -> Float[Array, ""]:
            def excess(z: Float[Array, ""]) -> Float[Array, ""]:
                return ndtri(jnp.clip(dunnett.greatest(z, share, others), LEAST, 1 - LEAST)) - ndtri(p)

            return root(excess, jnp.asarray(-_WIDEST), jnp.asarray(_WIDEST))

        away = jnp.stack([-beyond(alpha / 2), -beyond(0.5), ndtri(1 - alpha / 2)])
        return placed(record, jnp.broadcast_to(away, (len(self.arms), 3)), alpha)

    def describe(self) -> str:
        """Say how many stay, and the critical value."""
        others = [w for i, w in enumerate(self.weights) if i != self.control]
        shares = tuple(w / (w + self.weights[self.control]) for w in others)
        bound = "" if self.futility is None else f"; an arm leaves below z {self.futility:g}"
        return (
            f"arm dropping: {len(self.arms) - 1} arms and {self.names[self.control]}, then the best "
            f"{', '.join(map(str, self.keep))}{bound}; closed Dunnett test of one-sided {self.alpha:g}: z "
            f"{dunnett.critical(shares, self.alpha):.3f} for the first; {sum(self.sizes)} patients at most, "
            f"{self.randomisation.describe()}"
        )

    def _staying(self, key: Key[Array, ""], there: Bool[Array, " arm"], look: Look) -> Bool[Array, " arm"]:
        """Return the arms that stay after an interim look; by lot among equals, last those nothing is known of."""
        arms = len(self.arms)
        others = jnp.arange(arms) != self.control
        merit = jnp.where(there & others, jnp.where(jnp.isnan(look.merit), -jnp.inf, look.merit), -jnp.inf)
        order = jnp.lexsort((jax.random.uniform(key, (arms,)), -merit, ~(there & others)))
        place = jnp.zeros(arms, int).at[order].set(jnp.arange(arms))
        keep = jnp.asarray((*self.keep, arms))[look.number]
        low = look.benefit < (-jnp.inf if self.futility is None else self.futility)
        return ~others | (there & others & (place < keep) & ~low)

    def _tested(self, there: Bool[Array, " arm"], look: Look) -> Bool[Array, " arm"]:
        """Return which hypotheses the closed Dunnett test rejects; arms that left count as no evidence."""
        others = jnp.arange(len(self.arms)) != self.control
        weight = jnp.asarray(self.weights)
        share = weight / (weight + weight[self.control])
        z = jnp.where(there & others, look.benefit, jnp.nan)
        return dunnett.adjusted(z, share, others) <= self.alpha
