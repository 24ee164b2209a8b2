"""Response-adaptive randomisation: the better an arm looks, the more patients it gets."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.checks import against_control, check_looks
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics.adaptive import best_of_betas, best_of_normals, tempered


class AbstractBelief(eqx.Module):
    """What is believed of the arms after a look."""

    @abstractmethod
    def best(self, look: Look, sign: Float[Array, ""]) -> Float[Array, " arm"]:
        """Return the probability of each arm that it is the best.

        Args:
            look: what is seen.
            sign: 1 where greater outcomes are better, else -1.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say it in words."""


class BetaBelief(AbstractBelief):
    """Of outcomes that are 0 or 1: a Beta distribution of each arm's rate.

    Args:
        successes: of the prior, as if so many had been seen; 1 and 1 are uniform.
        failures: of the prior.
    """

    successes: float = eqx.field(static=True, default=1.0)
    failures: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        """Refuse a prior that is none."""
        if not (self.successes > 0 and self.failures > 0):
            raise UserError(
                f"belief.successes and belief.failures are positive, not {self.successes}, {self.failures}."
            )

    def best(self, look: Look, sign: Float[Array, ""]) -> Float[Array, " arm"]:
        """Count successes and failures."""
        member = look.seen.members(look.benefit.shape[0])
        one = jnp.where(member, jnp.clip(look.seen.outcome[:, None], 0.0, 1.0), 0.0).sum(0)
        a, b = self.successes + one, self.failures + member.sum(0) - one
        return best_of_betas(jnp.where(sign > 0, a, b), jnp.where(sign > 0, b, a))

    def describe(self) -> str:
        """Say it."""
        return f"Beta({self.successes:g}, {self.failures:g}) prior of each rate"


class NormalBelief(AbstractBelief):
    """Of any analysis: each arm's level is normal about its estimate, with a flat prior."""

    def best(self, look: Look, sign: Float[Array, ""]) -> Float[Array, " arm"]:
        """Take estimates and errors; while one is not known, no arm is better than another."""
        estimate, error = look.comparison.estimate, look.comparison.error
        known = (jnp.isfinite(estimate) & jnp.isfinite(error) & (error > 0)).all()
        found = best_of_normals(jnp.where(known, sign * estimate, 0.0), jnp.where(known, error, 1.0))
        return found / found.sum()

    def describe(self) -> str:
        """Say it."""
        return "levels normal about their estimates"


class ResponseAdaptive(AbstractDesign):
    """Patients are randomised in proportion to a power of the probability that an arm is the best.

    The power is n / (2 N) after n of N patients, which starts evenly and never becomes extreme. At the end each arm is
    tested by its one-sided p, Bonferroni for several; who ends the trial early by being best so probably is claimed
    without a test, and what that does to the level is for the simulation to show, as are what such designs lose in
    power and how a trend in time biases them. Source: Thall and Wathen 2007, doi:10.1016/j.ejca.2007.01.006.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    control: int = eqx.field(static=True)
    """Number of the control arm."""
    belief: AbstractBelief
    randomisation: AbstractRandomisation
    least: float = eqx.field(static=True)
    """Least share of an arm."""
    fixed: float | None = eqx.field(static=True)
    """Share of the control arm; adapted like the others if None."""
    superior: float | None = eqx.field(static=True)
    """Probability of being best at which the trial ends."""
    alpha: float = eqx.field(static=True)
    """One-sided level of the test at the end."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        sizes: Sequence[int],
        control: str,
        belief: AbstractBelief | None = None,
        least: float = 0.1,
        fixed: float | None = None,
        superior: float | None = None,
        alpha: float = 0.025,
        randomisation: AbstractRandomisation | None = None,
    ):
        """Keep the plan.

        Args:
            arms: by name, in order.
            sizes: patients before each look; those before the first are randomised evenly.
            control: name of the control arm.
            belief: what is believed of the arms; normal about the estimates, if left out.
            least: least share of an arm.
            fixed: share of the control arm; adapted like the others if left out.
            superior: probability that an arm is best at which the trial ends, selecting it; never if left out.
            alpha: one-sided level of the test at the end.
            randomisation: to exact numbers if left out.

        Raises:
            UserError: the arms, sizes or probabilities do not fit together.
        """
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.periods, self.spacing = 1, ""
        self.control, self.sizes, self.timing = against_control(arms, control), tuple(sizes), AfterEach()
        check_looks(self.sizes, self.timing, len(arms))
        if not 0 <= least <= 1 / len(arms):
            raise UserError(f"design.least is a share from 0 to 1 / {len(arms)} arms, not {least}.")
        if fixed is not None and not 0 < fixed < 1:
            raise UserError(f"design.fixed is the control's share, between 0 and 1, not {fixed}.")
        if superior is not None and not 0.5 < superior < 1:
            raise UserError(f"design.superior is a probability between 0.5 and 1, not {superior}.")
        if not 0 < alpha < 0.5:
            raise UserError(f"design.alpha is a one-sided level between 0 and 0.5, not {alpha}.")
        self.belief = NormalBelief() if belief is None else belief
        self.randomisation = Shuffled() if randomisation is None else randomisation
        self.least, self.fixed, self.superior, self.alpha = least, fixed, superior, alpha

    def init(self) -> DesignState:
        """Start with no arm better than another."""
        arms = len(self.arms)
        return fresh(arms, jnp.full(arms, 1.0 / arms))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise by the probability of being best."""
        return self.randomisation.assign(key, self.shares(state.memory, seen.next), seen, n)

    def shares(self, best: Float[Array, " arm"], n: Int[Array, ""] | int) -> Float[Array, " arm"]:
        """Return the share of each arm among the next patients, given the probability that it is best.

        Args:
            best: probability that each arm is best.
            n: patients before.
        """
        control = jnp.arange(len(self.arms)) == self.control
        if self.fixed is not None:
            others = tempered(jnp.where(control, 0.0, best + 1e-12), n / (2.0 * sum(self.sizes)))
            others = jnp.where(control, 0.0, others)
            return jnp.where(control, self.fixed, (1.0 - self.fixed) * others / others.sum())
        share = tempered(best, n / (2.0 * sum(self.sizes)))
        # What arms lack of the least share is taken from the others, in proportion to what they have above it.
        above = jnp.maximum(share - self.least, 0.0)
        room = 1.0 - self.least * len(self.arms)
        return self.least + room * jnp.where(above.sum() > 0, above / jnp.maximum(above.sum(), 1e-300), 1.0 / len(best))

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Update beliefs; select the arm most probably best, and test at the end."""
        # The benefit is the statistic in the direction that is better: together they say which that is.
        sign = jnp.where(jnp.nansum(look.benefit * look.comparison.statistic) < 0, -1.0, 1.0)
        best = self.belief.best(look, sign)
        last = look.number == len(self.sizes) - 1
        sure = ~last & (jnp.max(best) >= (jnp.inf if self.superior is None else self.superior))
        others = len(self.arms) - 1
        arm = jnp.arange(len(self.arms))
        claimed = jnp.where(sure, arm == jnp.argmax(best), look.benefit >= -ndtri(self.alpha / others))
        rejected = (last | sure) & claimed & (arm != self.control)
        return DesignState(
            selected=jnp.where(last | sure, chosen(key, jnp.where(jnp.isnan(look.merit), -jnp.inf, best)), -1),
            stopped=last | sure,
            rejected=rejected,
            reason=jnp.where(sure, 1, 0),
            memory=best,
        )

    def describe(self) -> str:
        """Say cohorts, shares and rules."""
        control = self.names[self.control]
        fixed = "" if self.fixed is None else f", {control} fixed at {self.fixed:g}"
        early = "" if self.superior is None else f"; ends when an arm is best with probability {self.superior:g}"
        return (
            f"response-adaptive: {sum(self.sizes)} patients in {len(self.sizes)} cohorts, randomised by P(best) to the "
            f"power n/2N (Thall-Wathen), {self.belief.describe()}, least share {self.least:g}{fixed}{early}; tested "
            f"against {control} at one-sided {self.alpha:g}; {self.randomisation.describe()}"
        )
