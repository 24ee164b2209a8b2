"""Chemotherapy and circulating blood cells, intravenous."""

from typing import ClassVar

from vtrial.model import AbstractModel


class Myelosuppression(AbstractModel):
    """A drug in two compartments slows the proliferation of the cells that become circulating blood cells.

    Three transits lie between; feedback is (CIRC0/circulating)^GAMMA. Counts are in 10^9/L, that is 1/nL. The drug
    effect SLOPE C may exceed 1; then proliferating cells are lost.
    Source: Friberg et al. 2002, doi:10.1200/JCO.2002.02.140.
    """

    time: ClassVar = "h"
    states: ClassVar = {
        "central": "mg",
        "peripheral": "mg",
        "proliferating": "1/nL",
        "transit1": "1/nL",
        "transit2": "1/nL",
        "transit3": "1/nL",
        "circulating": "1/nL",
    }
    parameters: ClassVar = {
        "CL": "L/h",
        "VC": "L",
        "Q": "L/h",
        "VP": "L",
        "MTT": "h",
        "CIRC0": "1/nL",
        "GAMMA": "",
        "SLOPE": "L/mg",
    }
    outputs: ClassVar = {"concentration": "mg/L", "circulating": "1/nL"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, every cell pool at CIRC0."""
        return {"central": 0.0, "peripheral": 0.0} | dict.fromkeys(list(self.states)[2:], p["CIRC0"])

    def rates(self, t, y, p):
        """Eliminate and distribute the drug; proliferate, mature, circulate."""
        concentration = y["central"] / p["VC"]
        exchanged = p["Q"] * (concentration - y["peripheral"] / p["VP"])
        transit = 4.0 / p["MTT"]
        feedback = (p["CIRC0"] / y["circulating"]) ** p["GAMMA"]
        growth = (1.0 - p["SLOPE"] * concentration) * feedback - 1.0
        return {
            "central": -p["CL"] * concentration - exchanged,
            "peripheral": exchanged,
            "proliferating": transit * y["proliferating"] * growth,
            "transit1": transit * (y["proliferating"] - y["transit1"]),
            "transit2": transit * (y["transit1"] - y["transit2"]),
            "transit3": transit * (y["transit2"] - y["transit3"]),
            "circulating": transit * (y["transit3"] - y["circulating"]),
        }

    def observe(self, t, y, p):
        """Observe the concentration and the circulating cells."""
        return {"concentration": y["central"] / p["VC"], "circulating": y["circulating"]}
