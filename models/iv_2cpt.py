"""Two compartments, intravenous (ADVAN3 TRANS4)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentIntravenous(AbstractModel):
    """Two compartments with first-order elimination, dosed by bolus or infusion: NONMEM's ADVAN3 TRANS4.

    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 2, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"central": "mg", "peripheral": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "Q": "L/h", "VP": "L"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"central": 0.0, "peripheral": 0.0}

    def rates(self, t, y, p):
        """Eliminate from the central compartment, exchange with the peripheral one."""
        exchanged = p["Q"] / p["VC"] * y["central"] - p["Q"] / p["VP"] * y["peripheral"]
        return {"central": -p["CL"] / p["VC"] * y["central"] - exchanged, "peripheral": exchanged}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
