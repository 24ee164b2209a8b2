"""A linear whole-body model of fifteen states."""

from typing import ClassVar

from vtrial.model import AbstractModel

_TISSUES = {
    "lung": (1.0, 1.2),
    "gut": (1.2, 2.0),
    "liver": (1.7, 3.0),
    "kidney": (0.3, 2.5),
    "brain": (1.4, 0.8),
    "heart": (0.3, 1.5),
    "muscle": (30.0, 1.2),
    "adipose": (14.0, 5.0),
    "skin": (3.0, 1.5),
    "bone": (8.0, 1.0),
    "spleen": (0.2, 1.6),
    "rest": (4.0, 1.0),
}
"""Volume (L) and partition coefficient to blood of each tissue."""
_FLOWS = {
    "gut": 60.0,
    "liver": 24.0,
    "kidney": 70.0,
    "brain": 45.0,
    "heart": 15.0,
    "muscle": 60.0,
    "adipose": 18.0,
    "skin": 18.0,
    "bone": 18.0,
    "spleen": 6.0,
    "rest": 16.0,
}
"""Arterial blood flow (L/h) of each tissue; the lung has the sum."""
_PORTAL = ("gut", "spleen")
"""Tissues that drain into the liver."""
_ARTERIAL, _VENOUS = 1.7, 3.9
"""Volume of blood (L)."""


class WholeBody(AbstractModel):
    """Twelve well-stirred tissues between arterial and venous blood, absorption from the gut's lumen: a linear PBPK.

    The liver eliminates CLINT and the kidney CLR of their concentration leaving with the blood. QS scales all flows,
    KPS all partition coefficients.
    Source: Jones and Rowland-Yeo 2013, doi:10.1038/psp.2013.41; volumes and flows are round numbers of an adult.
    """

    time: ClassVar = "h"
    states: ClassVar = {"lumen": "mg"} | dict.fromkeys((*_TISSUES, "arterial", "venous"), "mg")
    parameters: ClassVar = {"KA": "1/h", "CLINT": "L/h", "CLR": "L/h", "QS": "", "KPS": ""}
    outputs: ClassVar = {"concentration": "mg/L"}
    linear: ClassVar = True
    stiff: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return dict.fromkeys(self.states, 0.0)

    def rates(self, t, y, p):
        """Carry the drug with the blood, absorb it in the gut, eliminate it in liver and kidney."""
        leaving = {n: y[n] / (volume * partition * p["KPS"]) for n, (volume, partition) in _TISSUES.items()}
        flow = {n: q * p["QS"] for n, q in _FLOWS.items()}
        total = sum(flow.values())
        arterial, venous = y["arterial"] / _ARTERIAL, y["venous"] / _VENOUS
        absorbed = p["KA"] * y["lumen"]
        portal = sum(flow[n] * leaving[n] for n in _PORTAL)
        hepatic = flow["liver"] + sum(flow[n] for n in _PORTAL)
        rates = {n: q * (arterial - leaving[n]) for n, q in flow.items()}
        rates["gut"] = rates["gut"] + absorbed
        rates["liver"] = flow["liver"] * arterial + portal - (hepatic + p["CLINT"]) * leaving["liver"]
        rates["kidney"] = rates["kidney"] - p["CLR"] * leaving["kidney"]
        back = sum(q * leaving[n] for n, q in flow.items() if n not in ("liver", *_PORTAL))
        return rates | {
            "lumen": -absorbed,
            "lung": total * (venous - leaving["lung"]),
            "arterial": total * (leaving["lung"] - arterial),
            "venous": back + hepatic * leaving["liver"] - total * venous,
        }

    def observe(self, t, y, p):
        """Observe the concentration in venous blood."""
        return {"concentration": y["venous"] / _VENOUS}
