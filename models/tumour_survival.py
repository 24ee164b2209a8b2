"""Tumour size under chemotherapy, and survival that depends on it."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class TumourSurvival(AbstractModel):
    """A tumour grows exponentially, two drugs shrink it, and the hazard of death follows its size.

    Exposures are dosed as infusions over the cycle that they are the average of, in exposure times days; they leave at
    rate KDE, so that what a cycle kills is that of the constant exposure. The hazard is Weibull's, LAMBDA and SHAPE,
    times RISK exp(BSIZE size0/70 mm + BCHANGE change + BNEW new), where `change` is the relative change of size, which
    after 84 days stays as it is then (`frozen` is the size over BASE), and a new lesion appears at TNEW.
    Source: Zecchin et al. 2016, doi:10.1111/bcp.12994 (DDMODEL00000217 and DDMODEL00000218), with constant exposures in
    each cycle and new lesions as observed.
    """

    time: ClassVar = "d"
    states: ClassVar = {"carboplatin": "d", "gemcitabine": "d", "tumour": "mm", "frozen": "", "cumulative": ""}
    parameters: ClassVar = {
        "BASE": "mm",
        "KG": "1/d",
        "KDC": "1/d",
        "KDG": "1/d",
        "POTENCY": "",
        "KDE": "1/d",
        "LAMBDA": "1/d",
        "SHAPE": "",
        "RISK": "",
        "BSIZE": "",
        "BCHANGE": "",
        "BNEW": "",
        "TNEW": "d",
    }
    outputs: ClassVar = {"size": "mm", "change": "%", "hazard": ""}
    linear: ClassVar = False

    def initial(self, p):
        """Start at BASE, without drug or hazard."""
        return {"carboplatin": 0.0, "gemcitabine": 0.0, "tumour": p["BASE"], "frozen": 1.0, "cumulative": 0.0}

    def rates(self, t, y, p):
        """Kill by exposure; collect change and hazard."""
        carboplatin, gemcitabine = p["KDE"] * y["carboplatin"], p["KDE"] * y["gemcitabine"]
        killed = p["POTENCY"] * (p["KDC"] * carboplatin + p["KDG"] * gemcitabine)
        growth = (p["KG"] - killed) * y["tumour"]
        # A moment later: the power of 0 has no derivative.
        weibull = p["LAMBDA"] * p["SHAPE"] * (p["LAMBDA"] * (t + 1e-6)) ** (p["SHAPE"] - 1.0)
        new = jnp.where(t > p["TNEW"], p["BNEW"], 0.0)
        score = p["BSIZE"] * p["BASE"] / 70.0 + p["BCHANGE"] * (y["frozen"] - 1.0) + new
        return {
            "carboplatin": -carboplatin,
            "gemcitabine": -gemcitabine,
            "tumour": growth,
            "frozen": jnp.where(t < 84.0, growth / p["BASE"], 0.0),
            # Beyond e^20 times the hazard nobody lives, and a number can be too large.
            "cumulative": weibull * p["RISK"] * jnp.exp(jnp.minimum(score, 20.0)),
        }

    def observe(self, t, y, p):
        """Observe size, its change in percent, and the cumulative hazard of death."""
        change = 100.0 * (y["tumour"] / p["BASE"] - 1.0)
        return {"size": y["tumour"], "change": change, "hazard": y["cumulative"]}
