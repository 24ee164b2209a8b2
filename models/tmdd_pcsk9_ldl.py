"""An antibody against PCSK9, its target and LDL cholesterol: evolocumab."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


def _free(drug, target, constant):
    """Return the unbound drug of the quasi-steady-state binding, in a form that loses no digits at either end."""
    excess = drug - target - constant
    larger = jnp.sqrt(excess * excess + 4.0 * constant * drug) + jnp.abs(excess)
    return jnp.where(excess > 0.0, 0.5 * larger, 2.0 * constant * drug / larger)


class PCSK9Inhibition(AbstractModel):
    """An antibody bound by PCSK9 in quasi steady state; unbound PCSK9 slows the removal of LDL cholesterol.

    `drug` is the total amount in the central volume, `target` total PCSK9; both are molar.
    Source: Gibbs et al. 2017 (evolocumab), doi:10.1002/jcph.840.
    """

    time: ClassVar = "d"
    states: ClassVar = {"depot": "nmol", "drug": "nmol", "target": "nmol/L", "ldl": "mg/dL"}
    parameters: ClassVar = {
        "KA": "1/d",
        "CL": "L/d",
        "VC": "L",
        "KDEG": "1/d",
        "BASE": "nmol/L",
        "KSS": "nmol/L",
        "KINT": "1/d",
        "KOUT": "1/d",
        "LDL0": "mg/dL",
        "IC50": "nmol/L",
    }
    outputs: ClassVar = {"concentration": "nmol/L", "pcsk9": "nmol/L", "ldl": "mg/dL"}
    linear: ClassVar = False
    stiff: ClassVar = True

    def initial(self, p):
        """Start without drug, PCSK9 and LDL cholesterol in balance."""
        return {"depot": 0.0, "drug": 0.0, "target": p["BASE"], "ldl": p["LDL0"]}

    def rates(self, t, y, p):
        """Absorb, eliminate, internalise with the target, turn over PCSK9 and LDL cholesterol."""
        total = y["drug"] / p["VC"]
        free = _free(total, y["target"], p["KSS"])
        complexed = y["target"] * free / (p["KSS"] + free)
        unbound = y["target"] - (total - free)
        produced = p["KOUT"] * (1.0 - p["BASE"] / (p["IC50"] + p["BASE"])) * p["LDL0"]
        return {
            "depot": -p["KA"] * y["depot"],
            "drug": p["KA"] * y["depot"] - p["CL"] * free - p["KINT"] * complexed * p["VC"],
            "target": p["KDEG"] * (p["BASE"] - y["target"]) - (p["KINT"] - p["KDEG"]) * complexed,
            "ldl": produced - p["KOUT"] * (1.0 - unbound / (p["IC50"] + unbound)) * y["ldl"],
        }

    def observe(self, t, y, p):
        """Observe unbound drug, unbound PCSK9 and LDL cholesterol."""
        total = y["drug"] / p["VC"]
        free = _free(total, y["target"], p["KSS"])
        return {"concentration": free, "pcsk9": y["target"] - (total - free), "ldl": y["ldl"]}
