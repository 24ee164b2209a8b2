"""Two compartments with first-order absorption and two parallel eliminations, linear and Michaelis-Menten."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentOralParallelElimination(AbstractModel):
    """Two compartments with first-order absorption, linear and saturable elimination: an antibody and its target.

    The saturable rate is VMAX C / (KM + C), with VMAX an amount per time.
    Source: Martinez et al. 2019 (alirocumab), doi:10.1007/s40262-018-0669-y.
    """

    time: ClassVar = "d"
    states: ClassVar = {"depot": "mg", "central": "mg", "peripheral": "mg"}
    parameters: ClassVar = {
        "CL": "L/d",
        "VC": "L",
        "Q": "L/d",
        "VP": "L",
        "VMAX": "mg/d",
        "KM": "mg/L",
        "KA": "1/d",
    }
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate in proportion to C and at most VMAX besides, exchange."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        eliminated = p["CL"] * concentration + p["VMAX"] * concentration / (p["KM"] + concentration)
        exchanged = p["Q"] * (concentration - y["peripheral"] / p["VP"])
        return {"depot": -absorbed, "central": absorbed - eliminated - exchanged, "peripheral": exchanged}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
