"""One compartment with first-order absorption and an indirect response of type I."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralIndirectResponse(AbstractModel):
    """One compartment with first-order absorption, whose drug inhibits the production of a response (type I).

    The response has a unit of its own, and starts at KIN/KOUT.
    Source: Dayneka, Garg and Jusko 1993, doi:10.1007/BF01061691.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "response": ""}
    parameters: ClassVar = {
        "CL": "L/h",
        "VC": "L",
        "KA": "1/h",
        "KIN": "1/h",
        "KOUT": "1/h",
        "IMAX": "",
        "IC50": "mg/L",
    }
    outputs: ClassVar = {"concentration": "mg/L", "response": ""}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, the response in balance."""
        return {"depot": 0.0, "central": 0.0, "response": p["KIN"] / p["KOUT"]}

    def rates(self, t, y, p):
        """Absorb, eliminate, inhibit the production of the response."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        inhibition = p["IMAX"] * concentration / (p["IC50"] + concentration)
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * concentration,
            "response": p["KIN"] * (1.0 - inhibition) - p["KOUT"] * y["response"],
        }

    def observe(self, t, y, p):
        """Observe the concentration and the response."""
        return {"concentration": y["central"] / p["VC"], "response": y["response"]}
