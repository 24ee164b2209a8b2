"""Filgrastim (G-CSF), its binding to neutrophil receptors, and neutrophils."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel

_MARROW = tuple(f"marrow{i}" for i in range(1, 10))


def _free(drug, receptor, constant):
    """Return the unbound drug at binding equilibrium, in a form that loses no digits at either end."""
    excess = drug - receptor - constant
    larger = jnp.sqrt(excess * excess + 4.0 * constant * drug) + jnp.abs(excess)
    return jnp.where(excess > 0.0, 0.5 * larger, 2.0 * constant * drug / larger)


class FilgrastimNeutrophils(AbstractModel):
    """G-CSF is bound by neutrophils and their precursors, which it multiplies and matures: it clears itself.

    `drug` is free and bound G-CSF in the volume VD; the marrow chain has nine stages. Counts are in 10^9/L, that is
    1/nL. The body's own G-CSF is at BAS before the first dose.
    Source: Krzyzanski et al. 2010, doi:10.1177/0091270010376966.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "ug", "drug": "ug"} | dict.fromkeys(_MARROW, "1/nL") | {"blood": "1/nL"}
    parameters: ClassVar = {
        "KA": "1/h",
        "KEL": "1/h",
        "VD": "L",
        "KD": "ug/L",
        "KINT": "1/h",
        "KSI": "ug*nL/L",
        "KMT": "1/h",
        "KTT": "1/h",
        "NB0": "1/nL",
        "SC1": "ug/L",
        "SM1": "",
        "SM2": "",
        "BAS": "ug/L",
    }
    outputs: ClassVar = {"concentration": "ug/L", "neutrophils": "1/nL"}
    linear: ClassVar = False

    def _baseline(self, p):
        """Return production of the first stage, count of each stage, amount of G-CSF and its own production."""
        stimulus = p["BAS"] / (p["SC1"] + p["BAS"])
        made, matured = 1.0 + p["SM1"] * stimulus, 1.0 + p["SM2"] * stimulus
        produced = p["KMT"] * p["NB0"] / made
        stage = made * produced / (matured * p["KTT"])
        receptor = p["KSI"] * (9.0 * stage + p["NB0"])
        free = p["BAS"] * p["VD"]
        bound = free * receptor / (p["BAS"] + p["KD"])
        return produced, stage, free + bound, p["KEL"] * free + p["KINT"] * bound

    def _concentration(self, y, p):
        """Return free G-CSF and its receptors, both as concentrations."""
        receptor = p["KSI"] * (sum(y[stage] for stage in _MARROW) + y["blood"])
        return _free(y["drug"] / p["VD"], receptor, p["KD"]), receptor

    def initial(self, p):
        """Start in balance with the body's own G-CSF."""
        _, stage, drug, _ = self._baseline(p)
        return {"depot": 0.0, "drug": drug} | dict.fromkeys(_MARROW, stage) | {"blood": p["NB0"]}

    def rates(self, t, y, p):
        """Absorb, eliminate, internalise; produce, mature and lose neutrophils."""
        produced, _, _, own = self._baseline(p)
        concentration, receptor = self._concentration(y, p)
        free = concentration * p["VD"]
        bound = free * receptor / (concentration + p["KD"])
        stimulus = concentration / (p["SC1"] + concentration)
        made = produced * (1.0 + p["SM1"] * stimulus)
        transit = p["KTT"] * (1.0 + p["SM2"] * stimulus)
        rates = {"depot": -p["KA"] * y["depot"]}
        rates["drug"] = p["KA"] * y["depot"] - p["KEL"] * free - p["KINT"] * bound + own
        arriving = made
        for stage in _MARROW:
            rates[stage] = arriving - transit * y[stage]
            arriving = transit * y[stage]
        return rates | {"blood": arriving - p["KMT"] * y["blood"]}

    def observe(self, t, y, p):
        """Observe free G-CSF and blood neutrophils."""
        concentration, _ = self._concentration(y, p)
        return {"concentration": concentration, "neutrophils": y["blood"]}
