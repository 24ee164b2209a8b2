"""Cox's regression."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from vtrial._types import texts
from vtrial.design import Comparison, Seen
from vtrial.statistics.cox import cox
from vtrial.trial.analyses.base import ALIKE, UNCONVERGED, check_alpha, compared, usable
from vtrial.trial.analyses.estimated import AbstractHazardAnalysis
from vtrial.trial.analyses.log_rank import time_per_event


class Cox(AbstractHazardAnalysis):
    """Log hazard ratio of each arm against the reference by Cox's regression, Wald's test, adjusted for covariates.

    Each arm is compared with the reference in a regression of its own. An arm without an
    event, or a reference without, has no estimate (code 3). The level of an arm is the mean time at risk for each
    event.

    Args:
        reference: name of the reference arm.
        alpha: two-sided significance level.
        adjust: names of covariates, known before allocation; patients who lack one are left out.
        breslow: take ties by Breslow's approximation, SAS's default, instead of Efron's, R's.

    Source: Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x.
    """

    reference: str = eqx.field(static=True)
    alpha: float = eqx.field(static=True, default=0.05)
    adjust: tuple[str, ...] = eqx.field(static=True, converter=texts, default=())
    breslow: bool = eqx.field(static=True, default=False)
    layouts: ClassVar[tuple[str, ...]] = ("event",)
    binary: ClassVar[bool] = False

    def __check_init__(self):
        """Refuse a level that is no probability."""
        check_alpha(self.alpha)

    def covariates(self) -> tuple[str, ...]:
        """Return those adjusted for."""
        return self.adjust

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Fit; an arm needs one patient, and the two of a comparison an event."""
        member, code = usable(seen, arms, 1)
        others = jnp.stack([seen.covariates[name] for name in self.adjust], 1) if self.adjust else None

        def against(mine):
            x = mine.astype(float)[:, None]
            x = x if others is None else jnp.concatenate([x, others], 1)
            fit = cox(seen.outcome, seen.event, x, mine | member[:, reference], breslow=self.breslow)
            return fit.coefficient[0], jnp.sqrt(fit.covariance[0, 0]), fit.converged

        effect, spread, converged = jax.vmap(against, in_axes=1)(member)
        happened = (member & seen.event[:, None]).any(0)
        other = jnp.arange(arms) != reference
        code = jnp.where((code == 0) & other & ~converged, UNCONVERGED, code)
        code = jnp.where((code != 0) | ~other | happened | happened[reference], code, ALIKE)
        count, level, error = time_per_event(seen, member)
        return compared(
            reference,
            count=count,
            estimate=level,
            error=error,
            difference=effect,
            spread=spread,
            code=code,
            alpha=self.alpha,
            sign=-1.0,
        )

    def describe(self) -> str:
        """Say it."""
        ties = "Breslow's approximation" if self.breslow else "Efron's"
        adjusted = f", adjusted for {', '.join(self.adjust)}" if self.adjust else ""
        return (
            f"log hazard ratio against {self.reference}, Cox's regression{adjusted}, ties by {ties}, Wald's test, "
            f"two-sided alpha {self.alpha:g}"
        )
