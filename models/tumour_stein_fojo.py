"""Tumour size as the sum of a part that grows and a part that shrinks."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class TumourGrowthRegression(AbstractModel):
    """Tumour size under treatment that begins at time 0: BASE (exp(KG t) + exp(-KS t) - 1).

    With KS fixed at 0 it is exponential growth, or decline where KG is negative, before time 0 too: the log-linear
    model of tumour size. The curve follows from time alone; nothing comes of what is dosed into `treated`.
    Source: Stein et al. 2008, doi:10.1634/theoncologist.2008-0075.
    """

    time: ClassVar = "year"
    states: ClassVar = {"treated": "mg"}
    parameters: ClassVar = {"BASE": "mm", "KG": "1/year", "KS": "1/year"}
    outputs: ClassVar = {"size": "mm"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without treatment."""
        return {"treated": 0.0}

    def rates(self, t, y, p):
        """Nothing changes but by time itself."""
        return {"treated": 0.0 * y["treated"]}

    def observe(self, t, y, p):
        """Observe the size."""
        return {"size": p["BASE"] * (jnp.exp(p["KG"] * t) + jnp.exp(-p["KS"] * t) - 1.0)}
