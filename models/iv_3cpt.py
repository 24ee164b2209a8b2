"""Three compartments, intravenous (ADVAN11 TRANS4)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class ThreeCompartmentIntravenous(AbstractModel):
    """Three compartments with first-order elimination, dosed by bolus or infusion: NONMEM's ADVAN11 TRANS4.

    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 2, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"central": "mg", "peripheral": "mg", "peripheral2": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "Q": "L/h", "VP": "L", "Q2": "L/h", "VP2": "L"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"central": 0.0, "peripheral": 0.0, "peripheral2": 0.0}

    def rates(self, t, y, p):
        """Eliminate from the central compartment, exchange with the peripheral ones."""
        central = y["central"] / p["VC"]
        first = p["Q"] * (central - y["peripheral"] / p["VP"])
        second = p["Q2"] * (central - y["peripheral2"] / p["VP2"])
        return {"central": -p["CL"] * central - first - second, "peripheral": first, "peripheral2": second}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
