"""Exponential growth or decline of a tumour, at a rate that depends on which of two treatments is given."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class TumourExponential(AbstractModel):
    """Tumour size BASE exp((KG + EFFECT treatment) t), before time 0 too: the log-linear model of two arms.

    Who is given the treatment has an amount of 1 in `treatment`, who is given what it is compared with has it in
    `reference`, of which nothing comes. The curve follows from time alone.
    Source: the linear mixed model of log size, Laird and Ware 1982, doi:10.2307/2529876.
    """

    time: ClassVar = "year"
    states: ClassVar = {"reference": "", "treatment": ""}
    parameters: ClassVar = {"BASE": "mm", "KG": "1/year", "EFFECT": "1/year"}
    outputs: ClassVar = {"size": "mm", "ratio": ""}
    linear: ClassVar = True

    def initial(self, p):
        """Start without either."""
        return {"reference": 0.0, "treatment": 0.0}

    def rates(self, t, y, p):
        """Keep what is given."""
        return {"reference": 0.0 * y["reference"], "treatment": 0.0 * y["treatment"]}

    def observe(self, t, y, p):
        """Observe the size, and its ratio to that at time 0."""
        ratio = jnp.exp((p["KG"] + p["EFFECT"] * y["treatment"]) * t)
        return {"size": p["BASE"] * ratio, "ratio": ratio}
