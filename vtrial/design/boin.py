"""The Bayesian optimal interval design."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, fresh
from vtrial.design.escalation import check_cohorts, starting, tally
from vtrial.design.parallel import check_arms
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError
from vtrial.statistics import boin


class _Course(NamedTuple):
    """Where an escalation is."""

    dose: Int[Array, ""]
    limit: Int[Array, ""]
    """Number of doses not given up, from the lowest on."""


class BOIN(AbstractDesign):
    """The dose changes when the share of toxicities at it leaves an interval; isotonic regression selects the MTD.

    Doses that are probably too toxic are given up, with all above; if the lowest is, the trial ends.
    Source: Liu and Yuan 2015, doi:10.1111/rssc.12089.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    analysed: ClassVar[bool] = False
    toxicity: ClassVar[bool] = True
    target: float = eqx.field(static=True)
    limits: boin.Limits = eqx.field(static=True)
    table: boin.Table
    start: int = eqx.field(static=True)
    enough: int = eqx.field(static=True)

    def __init__(
        self,
        arms: Mapping[str, Arm],
        target: float,
        *,
        cohort: int = 3,
        cohorts: int = 10,
        low: float | None = None,
        high: float | None = None,
        cutoff: float = 0.95,
        start: str | None = None,
        enough: int | None = None,
    ):
        """Keep the arms, which are doses in ascending order, and work out the table of decisions.

        Args:
            arms: the doses.
            target: probability of toxicity that is wanted.
            cohort: patients between two decisions.
            cohorts: most cohorts.
            low: highest probability of toxicity that is too low; 0.6 times the target if left out.
            high: lowest probability that is too high; 1.4 times the target if left out.
            cutoff: a dose is given up if it is above the target with a greater probability.
            start: dose of the first cohort; the lowest if left out.
            enough: the trial ends when the next dose has had so many patients; left out, it goes on.

        Raises:
            UserError: there is no arm, or a number cannot be.
        """
        check_arms(arms)
        check_cohorts(cohort, cohorts)
        most = cohort * cohorts
        if enough is not None and enough < 1:
            raise UserError(f"design.enough is a number of patients, 1 or more, not {enough}.")
        self.names, self.arms, self.target = tuple(arms), tuple(arms.values()), target
        self.sizes, self.periods, self.spacing, self.timing = (cohort,) * cohorts, 1, "", AfterEach()
        low, high = 0.6 * target if low is None else low, 1.4 * target if high is None else high
        self.limits = boin.limits(target, low, high)
        self.table = boin.table(self.limits, target, most=most, cutoff=cutoff)
        self.start, self.enough = starting(arms, start), most if enough is None else enough

    def init(self) -> DesignState:
        """Start at the first dose, all admissible."""
        return fresh(len(self.arms), _Course(jnp.asarray(self.start), jnp.asarray(len(self.arms))))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Give the next cohort the dose decided on."""
        return jnp.full(n, state.memory.dose)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Look the decision up; select the MTD of what is known so far."""
        dose, limit = state.memory
        patients, toxicities = tally(look.seen, len(self.arms))
        n, y = patients[dose], toxicities[dose]
        limit = jnp.where(y >= jnp.asarray(self.table.eliminate)[n], jnp.minimum(limit, dose), limit)
        up, down = y <= jnp.asarray(self.table.escalate)[n], y >= jnp.asarray(self.table.deescalate)[n]
        following = jnp.clip(dose + up - down, 0, jnp.maximum(limit - 1, 0))
        harm = limit == 0
        full = patients[following] >= self.enough
        last = look.number == len(self.sizes) - 1
        admissible = jnp.arange(len(self.arms)) < limit
        return DesignState(
            selected=boin.maximum_tolerated(patients, toxicities, admissible, self.target),
            stopped=harm | full | last,
            rejected=state.rejected,
            reason=jnp.where(harm, 3, jnp.where(full & ~last, 4, 0)),
            memory=_Course(following, limit),
        )

    def describe(self) -> str:
        """Say target, limits and sizes."""
        return (
            f"BOIN over {len(self.arms)} doses, target {self.target:g}, up at or below {self.limits.escalate:.3g}, "
            f"down at or above {self.limits.deescalate:.3g}; up to {len(self.sizes)} cohorts of {self.sizes[0]}"
        )
