"""The 3+3 design."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, fresh
from vtrial.design.escalation import tally
from vtrial.design.parallel import check_arms
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError


class ThreePlusThree(AbstractDesign):
    """Three patients a dose, three more after one toxicity; two toxicities end it, and the dose below is selected.

    A patient whose outcome cannot be known is replaced. Source: Storer 1989, doi:10.2307/2531693.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    analysed: ClassVar[bool] = False
    toxicity: ClassVar[bool] = True

    def __init__(self, arms: Mapping[str, Arm], spare: int = 2):
        """Keep the arms, which are doses in ascending order.

        Args:
            arms: the doses.
            spare: looks beyond two for each dose, to replace patients.

        Raises:
            UserError: there is no arm, or fewer than no spare looks.
        """
        check_arms(arms)
        if spare < 0:
            raise UserError(f"design.spare is 0 or more looks, not {spare}.")
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.sizes = (3,) * (2 * len(arms) + spare)
        self.periods, self.spacing, self.timing = 1, "", AfterEach()

    def init(self) -> DesignState:
        """Start at the lowest dose."""
        return fresh(len(self.arms), jnp.asarray(0))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, " {n}"]:
        """Fill the dose up to three patients, or to six."""
        known = tally(seen, len(self.arms))[0][state.memory]
        lacking = jnp.where(known < 3, 3 - known, 6 - known)
        return jnp.where(jnp.arange(n) < lacking, state.memory, -1)

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Go up, stay or end."""
        dose = state.memory
        patients, toxicities = tally(look.seen, len(self.arms))
        n, y = patients[dose], toxicities[dose]
        up = ((n == 3) & (y == 0)) | ((n >= 6) & (y <= 1))
        toxic = y >= 2
        at = dose + up
        top = at == len(self.arms)
        last = look.number == len(self.sizes) - 1
        reason = jnp.where(toxic, jnp.where(dose == 0, 3, 0), jnp.where(last & ~top, 4, 0))
        return DesignState(
            selected=at - 1,
            stopped=toxic | top | last,
            rejected=state.rejected,
            reason=reason,
            memory=jnp.minimum(at, len(self.arms) - 1),
        )

    def describe(self) -> str:
        """Say it."""
        return f"3+3 escalation over {len(self.arms)} doses"
