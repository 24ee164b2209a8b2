"""Tumour growth and its inhibition in xenografts."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class TumourGrowthInhibition(AbstractModel):
    """A tumour that grows exponentially, then linearly; the drug puts cells onto a path of three stages to death.

    Growth turns from LAMBDA0 w to LAMBDA1 near the weight LAMBDA1/LAMBDA0, the more sharply the larger PSI. The drug
    has one compartment and a depot; it may be dosed into either.
    Source: Simeoni et al. 2004, doi:10.1158/0008-5472.CAN-03-2524.
    """

    time: ClassVar = "d"
    states: ClassVar = {
        "depot": "mg",
        "central": "mg",
        "cycling": "g",
        "damaged1": "g",
        "damaged2": "g",
        "damaged3": "g",
    }
    parameters: ClassVar = {
        "CL": "L/d",
        "VC": "L",
        "KA": "1/d",
        "LAMBDA0": "1/d",
        "LAMBDA1": "g/d",
        "PSI": "",
        "K1": "1/d",
        "K2": "L/mg/d",
        "W0": "g",
    }
    outputs: ClassVar = {"concentration": "mg/L", "weight": "g"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, all cells cycling."""
        return {"depot": 0.0, "central": 0.0, "cycling": p["W0"], "damaged1": 0.0, "damaged2": 0.0, "damaged3": 0.0}

    def rates(self, t, y, p):
        """Absorb and eliminate the drug; grow, damage, die."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        weight = y["cycling"] + y["damaged1"] + y["damaged2"] + y["damaged3"]
        # (1 + r^PSI)^(-1/PSI) by its logarithm, for r^20 overflows.
        power = p["PSI"] * jnp.log(p["LAMBDA0"] / p["LAMBDA1"] * jnp.maximum(weight, 1e-30))
        slowing = (jnp.maximum(power, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(power)))) / p["PSI"]
        killed = p["K2"] * concentration * y["cycling"]
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * concentration,
            "cycling": p["LAMBDA0"] * y["cycling"] * jnp.exp(-slowing) - killed,
            "damaged1": killed - p["K1"] * y["damaged1"],
            "damaged2": p["K1"] * (y["damaged1"] - y["damaged2"]),
            "damaged3": p["K1"] * (y["damaged2"] - y["damaged3"]),
        }

    def observe(self, t, y, p):
        """Observe the concentration and the tumour's weight."""
        weight = y["cycling"] + y["damaged1"] + y["damaged2"] + y["damaged3"]
        return {"concentration": y["central"] / p["VC"], "weight": weight}
