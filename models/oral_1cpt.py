"""One compartment with first-order absorption (ADVAN2 TRANS2)."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOral(AbstractModel):
    """One compartment with first-order absorption and elimination: NONMEM's ADVAN2 TRANS2.

    After a dose by mouth CL and VC are apparent: CL/F and VC/F.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 1, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg"}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "KA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate from the central compartment."""
        absorbed = p["KA"] * y["depot"]
        return {"depot": -absorbed, "central": absorbed - p["CL"] / p["VC"] * y["central"]}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
