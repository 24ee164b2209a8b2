"""HIV in its target cells, under two classes of drugs."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class HIVTherapy(AbstractModel):
    """Target cells, infected cells and virus at their set point, then treated from time 0.

    ERT is the part of new infections that a reverse-transcriptase inhibitor prevents, EPI the part of virus production
    that a protease inhibitor prevents.
    Source: Perelson and Nelson 1999, doi:10.1137/S0036144598335107.
    """

    time: ClassVar = "d"
    states: ClassVar = {"target": "1/mL", "infected": "1/mL", "virus": "1/mL"}
    parameters: ClassVar = {
        "LAM": "1/mL/d",
        "D": "1/d",
        "BETA": "mL/d",
        "DELTA": "1/d",
        "P": "1/d",
        "C": "1/d",
        "ERT": "",
        "EPI": "",
    }
    outputs: ClassVar = {"target": "1/mL", "log10_virus": ""}
    linear: ClassVar = False
    stiff: ClassVar = True

    def initial(self, p):
        """Start at the set point without treatment; `log10_virus` is of the number in a mL."""
        virus = p["LAM"] * p["P"] / (p["DELTA"] * p["C"]) - p["D"] / p["BETA"]
        return {
            "target": p["DELTA"] * p["C"] / (p["BETA"] * p["P"]),
            "infected": p["C"] * virus / p["P"],
            "virus": virus,
        }

    def rates(self, t, y, p):
        """Make target cells, infect them, produce and clear virus."""
        infection = (1.0 - p["ERT"]) * p["BETA"] * y["target"] * y["virus"]
        return {
            "target": p["LAM"] - p["D"] * y["target"] - infection,
            "infected": infection - p["DELTA"] * y["infected"],
            "virus": (1.0 - p["EPI"]) * p["P"] * y["infected"] - p["C"] * y["virus"],
        }

    def observe(self, t, y, p):
        """Observe the target cells and the viral load."""
        return {"target": y["target"], "log10_virus": jnp.log(jnp.maximum(y["virus"], 1e-30)) / 2.302585092994046}
