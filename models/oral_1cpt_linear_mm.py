"""One compartment with first-order absorption and two parallel eliminations, linear and Michaelis-Menten."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralParallelElimination(AbstractModel):
    """One compartment with first-order absorption, linear and saturable elimination: an antibody and its target.

    The saturable rate is VC VMAX C / (KM + C), with VMAX a concentration per time.
    Source: Kuchimanchi et al. 2018 (evolocumab), doi:10.1007/s10928-018-9592-y.
    """

    time: ClassVar = "d"
    states: ClassVar = {"depot": "mg", "central": "mg"}
    parameters: ClassVar = {"CL": "L/d", "VC": "L", "VMAX": "mg/L/d", "KM": "mg/L", "KA": "1/d"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate in proportion to C and at most VMAX besides."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        saturable = p["VC"] * p["VMAX"] * concentration / (p["KM"] + concentration)
        return {"depot": -absorbed, "central": absorbed - p["CL"] * concentration - saturable}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
