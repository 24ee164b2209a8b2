"""Target-mediated drug disposition, in full."""

from typing import ClassVar

from vtrial.model import AbstractModel


class TargetMediatedDisposition(AbstractModel):
    """A ligand that binds its target and is eliminated with it: the full model, with a depot and a tissue.

    Depot and tissue are amounts, ligand, receptor and complex concentrations in the central volume VC. Binding is
    fast beside the rest: solve it with the stiff solver.
    Source: Mager and Jusko 2001, doi:10.1023/A:1014414520282.
    """

    time: ClassVar = "h"
    states: ClassVar = {
        "depot": "nmol",
        "ligand": "nmol/L",
        "tissue": "nmol",
        "receptor": "nmol/L",
        "complex": "nmol/L",
    }
    parameters: ClassVar = {
        "KA": "1/h",
        "KEL": "1/h",
        "KPT": "1/h",
        "KTP": "1/h",
        "VC": "L",
        "KON": "L/nmol/h",
        "KOFF": "1/h",
        "KSYN": "nmol/L/h",
        "KDEG": "1/h",
        "KINT": "1/h",
    }
    outputs: ClassVar = {"ligand": "nmol/L", "receptor": "nmol/L", "complex": "nmol/L"}
    linear: ClassVar = False
    stiff: ClassVar = True

    def initial(self, p):
        """Start without drug, the receptor in balance."""
        return {"depot": 0.0, "ligand": 0.0, "tissue": 0.0, "receptor": p["KSYN"] / p["KDEG"], "complex": 0.0}

    def rates(self, t, y, p):
        """Absorb, distribute, eliminate, bind, turn the receptor over and internalise the complex."""
        absorbed = p["KA"] * y["depot"]
        to_tissue, to_plasma = p["KPT"] * y["ligand"] * p["VC"], p["KTP"] * y["tissue"]
        bound = p["KON"] * y["ligand"] * y["receptor"] - p["KOFF"] * y["complex"]
        return {
            "depot": -absorbed,
            "ligand": (absorbed - to_tissue + to_plasma) / p["VC"] - p["KEL"] * y["ligand"] - bound,
            "tissue": to_tissue - to_plasma,
            "receptor": p["KSYN"] - p["KDEG"] * y["receptor"] - bound,
            "complex": bound - p["KINT"] * y["complex"],
        }

    def observe(self, t, y, p):
        """Observe free ligand, free receptor and complex."""
        return {"ligand": y["ligand"], "receptor": y["receptor"], "complex": y["complex"]}
