"""The continual reassessment method."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, fresh
from vtrial.design.escalation import check_cohorts, check_share, starting, tally
from vtrial.design.parallel import check_arms
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.design.working_model import AbstractWorkingModel, PowerModel
from vtrial.errors import UserError
from vtrial.statistics import crm


class CRM(AbstractDesign):
    """Each cohort gets the dose whose toxicity, by a model of all doses, is nearest to the target.

    The dose goes up by no more than one at a time. The trial ends when even the lowest dose is probably too toxic.
    Source: O'Quigley, Pepe and Fisher 1990, doi:10.2307/2531628.
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
    skeleton: tuple[float, ...] = eqx.field(static=True)
    model: AbstractWorkingModel
    grid: crm.Grid
    cutoff: float = eqx.field(static=True)
    start: int = eqx.field(static=True)

    def __init__(
        self,
        arms: Mapping[str, Arm],
        target: float,
        *,
        skeleton: Sequence[float] | None = None,
        half_width: float = 0.05,
        model: AbstractWorkingModel | None = None,
        cohort: int = 3,
        cohorts: int = 10,
        cutoff: float = 0.95,
        start: str | None = None,
    ):
        """Keep the arms, which are doses in ascending order, and tabulate the working model.

        Args:
            arms: the doses.
            target: probability of toxicity that is wanted.
            skeleton: a guess of it for each dose; left out, one that tells neighbours apart, with the middle dose at
                the target.
            half_width: for that, half the width of the interval about the target within which doses are as good.
            model: how the doses hang together; the power model if left out.
            cohort: patients between two decisions.
            cohorts: most cohorts.
            cutoff: the trial ends if the lowest dose is above the target with a greater probability.
            start: dose of the first cohort; the lowest if left out.

        Raises:
            UserError: there is no arm, or a number cannot be.
        """
        check_arms(arms)
        check_cohorts(cohort, cohorts)
        check_share("target", target)
        check_share("cutoff", cutoff)
        default = crm.skeleton(half_width, target, len(arms) // 2, len(arms)) if skeleton is None else skeleton
        self.skeleton = tuple(float(p) for p in default)
        if len(self.skeleton) != len(arms):
            raise UserError(f"design.skeleton has {len(self.skeleton)} guesses for {len(arms)} doses.")
        crm.check_skeleton(self.skeleton)
        self.names, self.arms, self.target, self.cutoff = tuple(arms), tuple(arms.values()), target, cutoff
        self.sizes, self.periods, self.spacing, self.timing = (cohort,) * cohorts, 1, "", AfterEach()
        self.model, self.start = PowerModel() if model is None else model, starting(arms, start)
        self.grid = crm.grid(self.model.curve(np.array(self.skeleton)), target, spread=self.model.spread)

    def init(self) -> DesignState:
        """Start at the first dose."""
        return fresh(len(self.arms), jnp.asarray(self.start))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Give the next cohort the dose decided on."""
        return jnp.full(n, state.memory)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Update the model; select the dose nearest to the target among those tried."""
        dose = state.memory
        patients, toxicities = tally(look.seen, len(self.arms))
        known = crm.posterior(self.grid, patients, toxicities)
        toxicity = self.model.curve(np.array(self.skeleton))(known.mean)
        nearest = jnp.argmin(jnp.abs(toxicity - self.target))
        tried = jnp.max(jnp.where(patients > 0, jnp.arange(len(self.arms)), -1))
        harm = known.overdose > self.cutoff
        last = look.number == len(self.sizes) - 1
        # Nothing known, nothing changed.
        following = jnp.where(tried < 0, dose, jnp.minimum(nearest, dose + 1))
        return DesignState(
            selected=jnp.where(harm, -1, jnp.minimum(nearest, tried)),
            stopped=harm | last,
            rejected=state.rejected,
            reason=jnp.where(harm, 3, 0),
            memory=following,
        )

    def describe(self) -> str:
        """Say target, model and sizes."""
        guesses = ", ".join(f"{p:.3g}" for p in self.skeleton)
        return (
            f"CRM over {len(self.arms)} doses, target {self.target:g}, {self.model.describe()}, skeleton {guesses}; "
            f"up to {len(self.sizes)} cohorts of {self.sizes[0]}"
        )
