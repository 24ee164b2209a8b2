"""Two compartments with first-order absorption (ADVAN4 TRANS4)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentOral(AbstractModel):
    """Two compartments with first-order absorption and elimination: NONMEM's ADVAN4 TRANS4.

    Doses may also go into the central compartment. Without F_depot, CL, VC, Q and VP are apparent (CL/F, ...) after a
    dose into the depot.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 2, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "peripheral": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "Q": "L/h", "VP": "L", "KA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate from the central compartment, exchange with the peripheral one."""
        absorbed = p["KA"] * y["depot"]
        exchanged = p["Q"] / p["VC"] * y["central"] - p["Q"] / p["VP"] * y["peripheral"]
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] / p["VC"] * y["central"] - exchanged,
            "peripheral": exchanged,
        }

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
