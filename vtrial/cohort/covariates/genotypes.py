"""Genotypes by allele frequency."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from vtrial import keys
from vtrial.cohort.covariates.base import AbstractCovariates
from vtrial.data import Dataset
from vtrial.errors import UserError


class Allele(eqx.Module):
    """An allele: how frequent it is, and what one copy of it counts."""

    frequency: float
    activity: float
    """Activities of both copies are added: an activity score (1 normal, 0 none), or 1 for the variant to count it."""


class Genotypes(AbstractCovariates):
    """Patients of another source, with a genotype: two alleles drawn independently (Hardy-Weinberg), activities added.

    For a factor by genotype (`CategoricalEffect`), activities such as 0, 1 and 10 give each pair of alleles a sum of
    its own.

    Args:
        source: where all else comes from.
        name: what the sum of activities is called.
        alleles: by name; their frequencies are 1 together.
    """

    source: AbstractCovariates
    name: str = eqx.field(static=True)
    alleles: Mapping[str, Allele]

    def __check_init__(self):
        """Refuse frequencies that are none."""
        frequency = [allele.frequency for allele in self.alleles.values()]
        if not (frequency and min(frequency) >= 0 and abs(sum(frequency) - 1.0) < 1e-9):
            raise UserError(
                f"The frequencies of the alleles of {self.name} must be 0 or more and 1 together; they are "
                f"{sum(frequency):g}."
            )

    def units(self, data: Dataset) -> dict[str, str]:
        """Return the source's, and none for the genotype."""
        return self.source.units(data) | {self.name: ""}

    def check(self, data: Dataset) -> None:
        """Check the source, and that the name is free."""
        self.source.check(data)
        if self.name in self.source.units(data):
            raise UserError(f"The source of covariates gives {self.name} already; call the genotype otherwise.")

    def draw(self, key: Key[Array, ""], data: Dataset) -> dict[str, Float[Array, ""]]:
        """Draw the source's patient and two alleles."""
        alleles = self.alleles.values()
        bounds = jnp.asarray(np.cumsum([allele.frequency for allele in alleles])[:-1])
        activity = jnp.asarray([float(allele.activity) for allele in alleles])
        pair = jax.random.uniform(keys.named(key, self.name), (2,))
        score = activity[jnp.searchsorted(bounds, pair, side="right")].sum()
        return self.source.draw(key, data) | {self.name: score}

    def facts(self, key: Key[Array, ""], data: Dataset) -> dict[str, float]:
        """Tell the source's."""
        return self.source.facts(key, data)

    def inputs(self) -> dict[str, str]:
        """Name the source's."""
        return self.source.inputs()

    def describe(self) -> str:
        """Say the source and the alleles."""
        each = ", ".join(f"{n} {100 * a.frequency:g} % (activity {a.activity:g})" for n, a in self.alleles.items())
        return f"{self.source.describe()}; {self.name} of two alleles in Hardy-Weinberg proportions: {each}"
