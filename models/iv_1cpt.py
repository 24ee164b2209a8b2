"""One compartment with intravenous input (ADVAN1 TRANS2)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentBolus(AbstractModel):
    """One compartment with first-order elimination, dosed by bolus or infusion: NONMEM's ADVAN1 TRANS2.

    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 1, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"central": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"central": 0.0}

    def rates(self, t, y, p):
        """Eliminate in proportion to the amount."""
        return {"central": -p["CL"] / p["VC"] * y["central"]}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
