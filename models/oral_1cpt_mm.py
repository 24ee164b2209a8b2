"""One compartment with first-order absorption and Michaelis-Menten elimination."""

from typing import ClassVar

from vtrial.model import AbstractModel


class OneCompartmentOralMichaelisMenten(AbstractModel):
    """One compartment with first-order absorption and saturable (Michaelis-Menten) elimination.

    The elimination rate is VMAX C / (KM + C); far below KM it is that of a clearance VMAX/KM.
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 7, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg"}
    parameters: ClassVar = {"VMAX": "mg/h", "KM": "mg/L", "VC": "L", "KA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate at most VMAX."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        eliminated = p["VMAX"] * concentration / (p["KM"] + concentration)
        return {"depot": -absorbed, "central": absorbed - eliminated}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
