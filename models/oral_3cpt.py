"""Three compartments with first-order absorption (ADVAN12 TRANS4)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class ThreeCompartmentOral(AbstractModel):
    """Three compartments with first-order absorption and elimination: NONMEM's ADVAN12 TRANS4.

    Doses may also go into the central compartment.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 2, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "peripheral": "mg", "peripheral2": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "Q": "L/h", "VP": "L", "Q2": "L/h", "VP2": "L", "KA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0, "peripheral2": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate from the central compartment, exchange with the peripheral ones."""
        absorbed = p["KA"] * y["depot"]
        central = y["central"] / p["VC"]
        first = p["Q"] * (central - y["peripheral"] / p["VP"])
        second = p["Q2"] * (central - y["peripheral2"] / p["VP2"])
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * central - first - second,
            "peripheral": first,
            "peripheral2": second,
        }

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
