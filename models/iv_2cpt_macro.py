"""Two compartments, intravenous, by the intercepts and exponents of the curve."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentMacro(AbstractModel):
    """Two compartments as the curve A exp(-ALPHA t) + B exp(-BETA t) after a bolus of one dose unit into `central`.

    A and B are concentrations per dose unit, so that VC is 1/(A + B); ALPHA is the larger exponent.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 2, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"central": "mg", "peripheral": "mg"}
    parameters: ClassVar = {"A": "1/L", "ALPHA": "1/h", "B": "1/L", "BETA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"central": 0.0, "peripheral": 0.0}

    def rates(self, t, y, p):
        """Eliminate and exchange by the rate constants that make this curve."""
        returning = (p["A"] * p["BETA"] + p["B"] * p["ALPHA"]) / (p["A"] + p["B"])
        leaving = p["ALPHA"] + p["BETA"] - returning
        return {
            "central": returning * y["peripheral"] - leaving * y["central"],
            "peripheral": (leaving - p["ALPHA"] * p["BETA"] / returning) * y["central"] - returning * y["peripheral"],
        }

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] * (p["A"] + p["B"])}
