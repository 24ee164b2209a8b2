"""Delayed absorption into one compartment, and a response whose production the drug inhibits."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentTransitTurnover(AbstractModel):
    """A dose passes two compartments on its way into one; the drug inhibits the production of a response (type I).

    The response starts at its base E0, in a unit of its own, and turns over at KOUT. Absorption is the same when KTR
    and KA change places. Warfarin and the activity of the prothrombin complex are its classical example.
    Sources: Holford 1986, doi:10.2165/00003088-198611060-00005; Dayneka, Garg and Jusko 1993, doi:10.1007/BF01061691.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "gut": "mg", "central": "mg", "response": ""}
    parameters: ClassVar = {
        "KTR": "1/h",
        "KA": "1/h",
        "CL": "L/h",
        "VC": "L",
        "EMAX": "",
        "EC50": "mg/L",
        "KOUT": "1/h",
        "E0": "",
    }
    outputs: ClassVar = {"concentration": "mg/L", "response": ""}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, the response at its base."""
        return {"depot": 0.0, "gut": 0.0, "central": 0.0, "response": p["E0"]}

    def rates(self, t, y, p):
        """Absorb, eliminate, inhibit the production of the response."""
        passed, absorbed = p["KTR"] * y["depot"], p["KA"] * y["gut"]
        concentration = y["central"] / p["VC"]
        inhibition = p["EMAX"] * concentration / (p["EC50"] + concentration)
        return {
            "depot": -passed,
            "gut": passed - absorbed,
            "central": absorbed - p["CL"] * concentration,
            "response": p["KOUT"] * (p["E0"] * (1.0 - inhibition) - y["response"]),
        }

    def observe(self, t, y, p):
        """Observe the concentration and the response."""
        return {"concentration": y["central"] / p["VC"], "response": y["response"]}
