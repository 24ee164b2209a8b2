"""Two compartments, absorbed through transits, with linear and Michaelis-Menten elimination: dupilumab."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentTransitParallelElimination(AbstractModel):
    """Two compartments in rate constants, absorbed through three transits, with linear and saturable elimination.

    A dose enters the depot, which and whose first two transits leave at 4/MTT; the third is absorbed at KA. The
    saturable rate is VC VMAX C / (KM + C), with VMAX a concentration per time.
    Source: Kovalenko et al. 2020 (dupilumab), doi:10.1002/cpdd.780.
    """

    time: ClassVar = "d"
    states: ClassVar = {
        "depot": "mg",
        "transit1": "mg",
        "transit2": "mg",
        "transit3": "mg",
        "central": "mg",
        "peripheral": "mg",
    }
    parameters: ClassVar = {
        "VC": "L",
        "KE": "1/d",
        "KCP": "1/d",
        "KPC": "1/d",
        "VMAX": "mg/L/d",
        "KM": "mg/L",
        "KA": "1/d",
        "MTT": "d",
    }
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return dict.fromkeys(self.states, 0.0)

    def rates(self, t, y, p):
        """Move through the transits, absorb, eliminate both ways, exchange with the peripheral compartment."""
        transit = 4.0 / p["MTT"]
        absorbed = p["KA"] * y["transit3"]
        saturable = y["central"] * p["VMAX"] / (p["KM"] + y["central"] / p["VC"])
        exchanged = p["KCP"] * y["central"] - p["KPC"] * y["peripheral"]
        return {
            "depot": -transit * y["depot"],
            "transit1": transit * (y["depot"] - y["transit1"]),
            "transit2": transit * (y["transit1"] - y["transit2"]),
            "transit3": transit * y["transit2"] - absorbed,
            "central": absorbed - p["KE"] * y["central"] - saturable - exchanged,
            "peripheral": exchanged,
        }

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
