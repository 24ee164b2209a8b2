"""One compartment with first-order absorption and an effect compartment."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralEffect(AbstractModel):
    """One compartment with first-order absorption, and an effect that lags behind it: an effect compartment.

    The site equilibrates with plasma at KE0; the effect is E0 + EMAX Ce / (EC50 + Ce), in a unit of its own.
    Source: Sheiner et al. 1979, doi:10.1002/cpt1979253358.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "site": "mg/L"}
    parameters: ClassVar = {
        "CL": "L/h",
        "VC": "L",
        "KA": "1/h",
        "KE0": "1/h",
        "E0": "",
        "EMAX": "",
        "EC50": "mg/L",
    }
    outputs: ClassVar = {"concentration": "mg/L", "site": "mg/L", "effect": ""}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "site": 0.0}

    def rates(self, t, y, p):
        """Absorb, eliminate, and equilibrate the site with plasma."""
        absorbed = p["KA"] * y["depot"]
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] / p["VC"] * y["central"],
            "site": p["KE0"] * (y["central"] / p["VC"] - y["site"]),
        }

    def observe(self, t, y, p):
        """Observe the concentrations in plasma and at the site, and the effect."""
        effect = p["E0"] + p["EMAX"] * y["site"] / (p["EC50"] + y["site"])
        return {"concentration": y["central"] / p["VC"], "site": y["site"], "effect": effect}
