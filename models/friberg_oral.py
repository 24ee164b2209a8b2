"""Chemotherapy and circulating blood cells, by mouth."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class MyelosuppressionOral(AbstractModel):
    """A drug taken by mouth, in two compartments, slows the proliferation of the cells that become blood cells.

    As `friberg`, with a depot, and with the drug effect SLOPE C cut off at 1: proliferation stops at most. Counts are
    in 10^9/L, that is 1/nL.
    Source: Friberg et al. 2002, doi:10.1200/JCO.2002.02.140.
    """

    time: ClassVar = "h"
    states: ClassVar = {
        "depot": "mg",
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
        "KA": "1/h",
        "MTT": "h",
        "CIRC0": "1/nL",
        "GAMMA": "",
        "SLOPE": "L/mg",
    }
    outputs: ClassVar = {"concentration": "mg/L", "circulating": "1/nL"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, every cell pool at CIRC0."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0} | dict.fromkeys(list(self.states)[3:], p["CIRC0"])

    def rates(self, t, y, p):
        """Absorb, eliminate and distribute the drug; proliferate, mature, circulate."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        exchanged = p["Q"] * (concentration - y["peripheral"] / p["VP"])
        transit = 4.0 / p["MTT"]
        feedback = (p["CIRC0"] / y["circulating"]) ** p["GAMMA"]
        growth = (1.0 - jnp.minimum(1.0, p["SLOPE"] * concentration)) * feedback - 1.0
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * concentration - exchanged,
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
