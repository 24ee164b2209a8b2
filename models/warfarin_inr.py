"""S-warfarin and the international normalised ratio (INR)."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel

_FAST = tuple(f"fast{i}" for i in range(1, 7))


class WarfarinINR(AbstractModel):
    """S-warfarin in two compartments inhibits clotting factors, which reach the INR by two chains.

    Both chains are relative to normal: a fast one of six stages, each of mean time MTT1, and a slow one of one stage,
    MTT2. Doses are S-warfarin: half of the racemate.
    Source: Hamberg et al. 2007, doi:10.1038/sj.clpt.6100084.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "peripheral": "mg"} | dict.fromkeys((*_FAST, "slow"), "")
    parameters: ClassVar = {
        "CL": "L/h",
        "VC": "L",
        "Q": "L/h",
        "VP": "L",
        "KA": "1/h",
        "EMAX": "",
        "EC50": "mg/L",
        "GAMMA": "",
        "MTT1": "h",
        "MTT2": "h",
        "BASE": "",
        "INRMAX": "",
        "LAMBDA": "",
    }
    outputs: ClassVar = {"concentration": "mg/L", "inr": ""}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, clotting normal."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0} | dict.fromkeys((*_FAST, "slow"), 1.0)

    def rates(self, t, y, p):
        """Absorb, eliminate, distribute; inhibit the synthesis at the head of both chains."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        exchanged = p["Q"] * (concentration - y["peripheral"] / p["VP"])
        # Without drug a power with GAMMA < 1 has no derivative: another number is taken there, and its result dropped.
        some = concentration > 0.0
        ratio = (p["EC50"] / jnp.where(some, concentration, p["EC50"])) ** p["GAMMA"]
        synthesis = 1.0 - jnp.where(some, p["EMAX"] / (1.0 + ratio), 0.0)
        rates = {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * concentration - exchanged,
            "peripheral": exchanged,
        }
        arriving = synthesis
        for stage in _FAST:
            rates[stage] = (arriving - y[stage]) / p["MTT1"]
            arriving = y[stage]
        return rates | {"slow": (synthesis - y["slow"]) / p["MTT2"]}

    def observe(self, t, y, p):
        """Observe the concentration of S-warfarin and the INR."""
        lost = jnp.maximum(1.0 - y["fast6"] * y["slow"], 1e-12)
        return {"concentration": y["central"] / p["VC"], "inr": p["BASE"] + p["INRMAX"] * lost ** p["LAMBDA"]}
