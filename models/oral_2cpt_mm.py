"""Two compartments with first-order absorption and Michaelis-Menten elimination."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TwoCompartmentOralMichaelisMenten(AbstractModel):
    """Two compartments with first-order absorption and saturable (Michaelis-Menten) elimination.

    The elimination rate is VMAX C / (KM + C).
    Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. 1982, chapter 7, ISBN 978-0-8247-1042-2.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "peripheral": "mg"}
    parameters: ClassVar = {"VMAX": "mg/h", "KM": "mg/L", "VC": "L", "Q": "L/h", "VP": "L", "KA": "1/h"}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "peripheral": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate at most VMAX, exchange with the peripheral compartment."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        eliminated = p["VMAX"] * concentration / (p["KM"] + concentration)
        exchanged = p["Q"] * (concentration - y["peripheral"] / p["VP"])
        return {"depot": -absorbed, "central": absorbed - eliminated - exchanged, "peripheral": exchanged}

    def observe(self, t, y, p):
        """Observe the central concentration."""
        return {"concentration": y["central"] / p["VC"]}
