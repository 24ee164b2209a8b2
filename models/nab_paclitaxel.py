"""Nab-paclitaxel and neutrophils, intravenous."""

from typing import ClassVar

from vtrial.model import AbstractModel


class NabPaclitaxel(AbstractModel):
    """A drug with saturable distribution and elimination slows the proliferation of neutrophils' precursors.

    It exchanges with one tissue at a saturable rate, with another at a constant one. Three transits lie between
    proliferating cells and blood; feedback is (CIRC0/circulating)^GAMMA. Counts are in 10^9/L, that is 1/nL. The drug
    effect SLOPE C may exceed 1; then proliferating cells are lost.
    Source: Chen et al. 2014, doi:10.1002/jcph.304; the cells as in Friberg et al. 2002, doi:10.1200/JCO.2002.02.140.
    """

    time: ClassVar = "h"
    states: ClassVar = {
        "central": "mg",
        "saturable": "mg",
        "peripheral": "mg",
        "proliferating": "1/nL",
        "transit1": "1/nL",
        "transit2": "1/nL",
        "transit3": "1/nL",
        "circulating": "1/nL",
    }
    parameters: ClassVar = {
        "V1": "L",
        "V2": "L",
        "V3": "L",
        "Q2": "L/h",
        "VMTR": "mg/h",
        "KMTR": "mg/L",
        "VMEL": "mg/h",
        "KMEL": "mg/L",
        "MTT": "h",
        "CIRC0": "1/nL",
        "GAMMA": "",
        "SLOPE": "L/mg",
    }
    outputs: ClassVar = {"concentration": "mg/L", "neutrophils": "1/nL"}
    linear: ClassVar = False
    stiff: ClassVar = True

    def initial(self, p):
        """Start without drug, every cell pool at CIRC0."""
        return dict.fromkeys(list(self.states)[:3], 0.0) | dict.fromkeys(list(self.states)[3:], p["CIRC0"])

    def rates(self, t, y, p):
        """Eliminate and distribute the drug; proliferate, mature, circulate."""
        concentration, tissue = y["central"] / p["V1"], y["saturable"] / p["V2"]
        eliminated = p["VMEL"] * concentration / (p["KMEL"] + concentration)
        moved = p["VMTR"] * (concentration / (p["KMTR"] + concentration) - tissue / (p["KMTR"] + tissue))
        exchanged = p["Q2"] * (concentration - y["peripheral"] / p["V3"])
        transit = 4.0 / p["MTT"]
        growth = (1.0 - p["SLOPE"] * concentration) * (p["CIRC0"] / y["circulating"]) ** p["GAMMA"] - 1.0
        return {
            "central": -eliminated - moved - exchanged,
            "saturable": moved,
            "peripheral": exchanged,
            "proliferating": transit * y["proliferating"] * growth,
            "transit1": transit * (y["proliferating"] - y["transit1"]),
            "transit2": transit * (y["transit1"] - y["transit2"]),
            "transit3": transit * (y["transit2"] - y["transit3"]),
            "circulating": transit * (y["transit3"] - y["circulating"]),
        }

    def observe(self, t, y, p):
        """Observe the concentration and the neutrophils in blood."""
        return {"concentration": y["central"] / p["V1"], "neutrophils": y["circulating"]}
