"""Trials of designs on synthetic potential outcomes: normal with standard deviation 1, which the analysis knows.

Statistics are then exactly normal, so that designs can be held against closed forms and other programs.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from vtrial.design import AbstractDesign, Arm, Seen, judged
from vtrial.dosing import Regimen
from vtrial.trial import (
    AbstractAnalysis,
    AbstractEnrolment,
    AtOnce,
    Clock,
    Greatest,
    Least,
    Potential,
    Rules,
    Trials,
    conduct,
)

REGIMEN = Regimen("300 mg", "12 h", 4, "depot")


class KnownVariance(AbstractAnalysis):
    """The z test of means with standard deviation 1."""

    reference: str = eqx.field(static=True, default="control")
    alpha: float = eqx.field(static=True, default=0.05)
    layouts: ClassVar = ("value",)
    binary: ClassVar = False

    def covariates(self):
        return ()

    def compare(self, seen: Seen, arms: int, reference: int):
        member = seen.members(arms)
        count = member.sum(0)
        mean = jnp.where(member, seen.outcome[:, None], 0.0).sum(0) / count
        spread = jnp.sqrt(1.0 / count + 1.0 / count[reference])
        difference = mean - mean[reference]
        return judged(
            reference,
            count=count,
            estimate=mean,
            error=1.0 / jnp.sqrt(count),
            difference=difference,
            spread=spread,
            lower=difference - 1.96 * spread,
            upper=difference + 1.96 * spread,
            p=2.0 * ndtr(-jnp.abs(difference) / spread),
            code=jnp.where(count < 1, 1, 0),
        )

    def target(self, table, reference):
        level = jnp.nanmean(table, axis=0)
        return level, level - level[reference]

    def unit(self, unit):
        return unit

    def describe(self):
        return "z test"


def arms(*names: str) -> dict[str, Arm]:
    return {name: Arm(REGIMEN) for name in names}


def simulate(
    design: AbstractDesign,
    *effects: tuple[float, ...],
    replicates: int,
    seed: int = 1,
    least: bool = False,
    enrolment: AbstractEnrolment | None = None,
) -> Trials:
    """Run trials in which arm a is better than the first by `effects[a]`: so many for each of several such effects."""
    needed = sum(design.sizes) + 1
    noise = np.random.default_rng(seed).normal(size=(replicates * len(effects), needed, 1))
    value = noise + np.repeat(np.asarray(effects), replicates, axis=0)[:, None, :]
    value = -value if least else value
    objective = Least() if least else Greatest()
    rules = Rules(
        design, KnownVariance(design.names[0]), objective, enrolment or AtOnce(), Clock(np.asarray(1.0), "value"), "h"
    )
    until = np.full(value.shape, np.inf)
    return conduct(jax.random.key(seed), rules, Potential(value, until, value, {}))


def near(found, expected, *, floor: float = 0.0) -> None:
    """Hold a share of trials against a probability, within 4 standard errors."""
    found = np.asarray(found, float)
    error = np.sqrt(expected * (1 - expected) / len(found)) + floor / 4
    assert abs(found.mean() - expected) < 4 * error, f"{found.mean():.5f} is not {expected:.5f} within {4 * error:.5f}"
