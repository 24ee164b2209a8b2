"""Ascending doses with placebo: single (SAD) or multiple (MAD)."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, fresh
from vtrial.design.parallel import check_arms
from vtrial.design.randomisation import AbstractRandomisation, Shuffled
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError, nearest


class Ascending(AbstractDesign):
    """One cohort for each dose, some of it on placebo; a stop rule on the primary endpoint ends the escalation.

    The trial ends at the first dose at which more than `most` patients have an outcome above `limit`; the dose below it
    is selected, or the highest if none does. Whether a dose is given once or repeatedly its arm's regimen says.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    analysed: ClassVar[bool] = False
    doses: tuple[int, ...] = eqx.field(static=True)
    """Numbers of the arms that are doses, in ascending order."""
    weights: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    """Patients of each arm, by cohort."""
    limit: float = eqx.field(static=True)
    most: int = eqx.field(static=True)
    randomisation: AbstractRandomisation

    def __init__(
        self,
        arms: Mapping[str, Arm],
        *,
        placebo: str | None = None,
        active: int = 6,
        controls: int = 2,
        limit: float = 0.5,
        most: int = 1,
        randomisation: AbstractRandomisation | None = None,
    ):
        """Keep the arms: placebo, and doses in ascending order.

        Args:
            arms: the arms.
            placebo: name of the placebo arm; left out, all get the dose.
            active: patients of each cohort who get the dose.
            controls: patients of each cohort who get placebo.
            limit: outcome above which a patient counts for the stop rule, in the endpoint's unit.
            most: most patients on one dose who may; with one more the escalation ends.
            randomisation: within a cohort; to exact numbers if left out.

        Raises:
            UserError: there is no dose, placebo is no arm, or a number cannot be.
        """
        check_arms(arms)
        if placebo is not None and placebo not in arms:
            raise UserError(f"design.placebo is '{placebo}', which is no arm. {nearest(placebo, arms)}")
        if active < 1 or most < 0 or (placebo is not None and controls < 1):
            raise UserError(
                f"design.active and design.controls are 1 or more patients, design.most 0 or more, not {active}, "
                f"{controls} and {most}."
            )
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.doses = tuple(i for i, name in enumerate(arms) if name != placebo)
        if not self.doses:
            raise UserError("design.arms has placebo alone; escalation needs at least one dose.")
        given = 0 if placebo is None else controls
        self.weights = tuple(
            tuple(float(active if i == dose else given * (name == placebo)) for i, name in enumerate(arms))
            for dose in self.doses
        )
        self.sizes, self.periods, self.spacing = (active + given,) * len(self.doses), 1, ""
        self.limit, self.most, self.timing = limit, most, AfterEach()
        self.randomisation = Shuffled() if randomisation is None else randomisation

    def init(self) -> DesignState:
        """Start with the first cohort."""
        return fresh(len(self.arms), jnp.asarray(0))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Randomise the cohort between its dose and placebo."""
        return self.randomisation.assign(key, jnp.asarray(self.weights)[state.memory], seen, n)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Apply the stop rule; a dose of which nothing is known ends the trial as well."""
        cohort, doses = state.memory, jnp.asarray(self.doses)
        member = look.seen.members(len(self.arms))[:, doses[cohort]]
        harm = (member & (look.seen.outcome > self.limit)).sum() > self.most
        unknown = ~member.any()
        ended = harm | unknown
        last = cohort == len(self.doses) - 1
        return DesignState(
            selected=jnp.where(ended, state.selected, doses[cohort]),
            stopped=ended | last,
            rejected=state.rejected,
            reason=jnp.where(harm, 3, jnp.where(unknown, 4, 0)),
            memory=jnp.where(last, cohort, cohort + 1),
        )

    def describe(self) -> str:
        """Say cohorts and stop rule."""
        return (
            f"{len(self.doses)} ascending doses in cohorts of {self.sizes[0]}, {self.randomisation.describe()}; ends "
            f"if more than {self.most} patients of a dose have an outcome above {self.limit:g}"
        )
