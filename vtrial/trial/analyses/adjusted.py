"""Any analysis with p-values adjusted for the number of arms."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from vtrial.design import Comparison, Seen
from vtrial.errors import within
from vtrial.statistics.multiplicity import AbstractProcedure
from vtrial.trial.analyses.base import AbstractAnalysis, AbstractArmsAnalysis
from vtrial.trial.analyses.null import AbstractNull


class Adjusted(AbstractArmsAnalysis):
    """Another analysis, its p-values adjusted by a multiplicity procedure; each arm but the reference is a hypothesis.

    Statistics follow the adjusted p-values; estimates and intervals are those of the other analysis.
    """

    analysis: AbstractAnalysis
    procedure: AbstractProcedure

    @property
    def reference(self) -> str:
        """That of the other analysis; likewise the rest."""
        return self.analysis.reference

    @property
    def alpha(self) -> float:
        """Family-wise level."""
        return self.analysis.alpha

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts it can read."""
        return self.analysis.layouts

    @property
    def binary(self) -> bool:
        """Whether it is for endpoints that are 0 or 1."""
        return self.analysis.binary

    @property
    def null(self) -> AbstractNull:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What it rejects."""
        return self.analysis.null

    @property
    def beside(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What it reads beside the primary endpoint."""
        return self.analysis.beside

    @property
    def caveat(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the other analysis."""
        return self.analysis.caveat

    def covariates(self) -> tuple[str, ...]:
        """Return those of the other analysis."""
        return self.analysis.covariates()

    def compare(self, seen: Seen, arms: int, reference: int) -> Comparison:
        """Compare, then adjust; an arm that could not be analysed counts as a hypothesis that is not rejected."""
        found = self.analysis.compare(seen, arms, reference)
        others = jnp.array([arm for arm in range(arms) if arm != reference], int)
        p = found.p.at[others].set(self.procedure.adjust(found.p[others]))
        size = -ndtri(jnp.clip(p / 2, 1e-300, 0.5))
        statistic = found.statistic.at[others].set((jnp.sign(found.statistic) * size)[others])
        return eqx.tree_at(lambda c: (c.p, c.statistic), found, (p, statistic))

    def check_arms(self, names: Sequence[str]) -> None:
        """Check that the procedure is for so many arms, and the other analysis for them; raises `UserError`."""
        with within("analysis.procedure"):
            self.procedure.check(len(names) - 1)
        if isinstance(self.analysis, AbstractArmsAnalysis):
            self.analysis.check_arms(names)

    def target(
        self, table: Float[Array, "subject arm *rest"], reference: int
    ) -> tuple[Float[Array, " arm"], Float[Array, " arm"]]:
        """Return that of the other analysis."""
        return self.analysis.target(table, reference)

    def unit(self, unit: str) -> str:
        """Return that of the other analysis."""
        return self.analysis.unit(unit)

    def describe(self) -> str:
        """Say it."""
        return f"{self.analysis.describe()}; p-values adjusted by {self.procedure.describe()}"
