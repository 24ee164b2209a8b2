"""The minimal model of glucose after an intravenous glucose load."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class MinimalModel(AbstractModel):
    """Glucose returns to its base by itself (SG) and by the remote action of insulin, whose sensitivity is SI.

    Insulin INS is a parameter, measured: it may change with time. Only insulin above IB acts.
    Source: Bergman et al. 1979, doi:10.1152/ajpendo.1979.236.6.E667.
    """

    time: ClassVar = "min"
    states: ClassVar = {"glucose": "mg/dL", "action": "1/min"}
    parameters: ClassVar = {
        "SG": "1/min",
        "P2": "1/min",
        "SI": "mL/uU/min",
        "GB": "mg/dL",
        "IB": "uU/mL",
        "G0": "mg/dL",
        "INS": "uU/mL",
    }
    outputs: ClassVar = {"glucose": "mg/dL", "action": "1/min"}
    linear: ClassVar = False

    def initial(self, p):
        """Start at the glucose just after the load, without insulin action."""
        return {"glucose": p["G0"], "action": 0.0}

    def rates(self, t, y, p):
        """Return glucose to its base; raise and lose the action of insulin."""
        return {
            "glucose": -(p["SG"] + y["action"]) * y["glucose"] + p["SG"] * p["GB"],
            "action": p["P2"] * (p["SI"] * jnp.maximum(p["INS"] - p["IB"], 0.0) - y["action"]),
        }

    def observe(self, t, y, p):
        """Observe glucose and the action of insulin."""
        return {"glucose": y["glucose"], "action": y["action"]}
