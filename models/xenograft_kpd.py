"""A xenograft's growth and its inhibition by a drug whose concentrations are not modelled."""

from typing import ClassVar

from vtrial.model import AbstractModel


class XenograftDoseResponse(AbstractModel):
    """A tumour that grows exponentially, then linearly, and is killed in proportion to the drug left in the body.

    Growth turns from LAMBDA0 V to LAMBDA1 as the volume V grows. The drug is a virtual amount that leaves at KDE, so
    that a dose kills the share 1 - exp(-KAPPA dose / KDE) of the cells: a kinetic-pharmacodynamic (K-PD) model.
    Sources: Koch et al. 2009, J Pharmacokinet Pharmacodyn 36:179; Jacqmin et al. 2007, doi:10.1007/s10928-006-9035-z.
    """

    time: ClassVar = "d"
    states: ClassVar = {"drug": "mg", "tumour": "cm^3"}
    parameters: ClassVar = {
        "V0": "cm^3",
        "LAMBDA0": "1/d",
        "LAMBDA1": "cm^3/d",
        "KAPPA": "1/mg/d",
        "KDE": "1/d",
    }
    outputs: ClassVar = {"volume": "cm^3"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, at the volume V0."""
        return {"drug": 0.0, "tumour": p["V0"]}

    def rates(self, t, y, p):
        """Eliminate the drug; grow and be killed."""
        growth = 2.0 * p["LAMBDA0"] * p["LAMBDA1"] / (p["LAMBDA1"] + 2.0 * p["LAMBDA0"] * y["tumour"])
        return {"drug": -p["KDE"] * y["drug"], "tumour": (growth - p["KAPPA"] * y["drug"]) * y["tumour"]}

    def observe(self, t, y, p):
        """Observe the volume."""
        return {"volume": y["tumour"]}
