"""A parent drug and its metabolite, with first-pass formation."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralMetabolite(AbstractModel):
    """A parent and a metabolite, one compartment each; the metabolite also forms on the first pass.

    FP of the absorbed dose arrives as metabolite, FM of the eliminated parent becomes metabolite. Amounts of the
    metabolite are in mass of parent: they are equivalents.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "parent": "mg", "metabolite": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "KA": "1/h", "FP": "", "FM": "", "CLM": "L/h", "VM": "L"}
    outputs: ClassVar = {"concentration": "mg/L", "metabolite": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "parent": 0.0, "metabolite": 0.0}

    def rates(self, t, y, p):
        """Absorb both, turn the parent into the metabolite, eliminate that."""
        absorbed = p["KA"] * y["depot"]
        eliminated = p["CL"] / p["VC"] * y["parent"]
        return {
            "depot": -absorbed,
            "parent": (1.0 - p["FP"]) * absorbed - eliminated,
            "metabolite": p["FP"] * absorbed + p["FM"] * eliminated - p["CLM"] / p["VM"] * y["metabolite"],
        }

    def observe(self, t, y, p):
        """Observe both concentrations."""
        return {"concentration": y["parent"] / p["VC"], "metabolite": y["metabolite"] / p["VM"]}
