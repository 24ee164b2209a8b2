"""One compartment, absorbed through five transit compartments."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralTransit(AbstractModel):
    """One compartment, absorbed through a chain of five transit compartments: delayed absorption.

    A dose enters `transit1`; each transit compartment leaves at 5/MTT, so MTT is the mean time through the chain.
    Source: Savic et al. 2007, doi:10.1007/s10928-007-9066-0.
    """

    time: ClassVar = "h"
    states: ClassVar = {
        "transit1": "mg",
        "transit2": "mg",
        "transit3": "mg",
        "transit4": "mg",
        "transit5": "mg",
        "depot": "mg",
        "central": "mg",
    }
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "KA": "1/h", "MTT": "h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return dict.fromkeys(self.states, 0.0)

    def rates(self, t, y, p):
        """Move through the chain, absorb from the depot, eliminate from the central compartment."""
        transit = 5.0 / p["MTT"]
        absorbed = p["KA"] * y["depot"]
        return {
            "transit1": -transit * y["transit1"],
            "transit2": transit * (y["transit1"] - y["transit2"]),
            "transit3": transit * (y["transit2"] - y["transit3"]),
            "transit4": transit * (y["transit3"] - y["transit4"]),
            "transit5": transit * (y["transit4"] - y["transit5"]),
            "depot": transit * y["transit5"] - absorbed,
            "central": absorbed - p["CL"] / p["VC"] * y["central"],
        }

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
