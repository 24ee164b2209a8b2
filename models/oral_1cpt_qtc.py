"""One compartment with first-order absorption, and the QTc interval with its daily rhythm."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class OneCompartmentOralQtc(AbstractModel):
    """A drug taken by mouth prolongs the QTc interval in proportion to its concentration, on a daily rhythm.

    QTc = MESOR (1 + AMP cos(2 pi (t - ACRO) / 24 h)) + SLOPE C; t counts from the start, which is in the morning.
    Source of the rhythm: Hong et al. 2015, doi:10.2147/DDDT.S79772; of the line: Garnett et al. 2018,
    doi:10.1007/s10928-017-9558-5.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg"}
    parameters: ClassVar = {
        "CL": "L/h",
        "VC": "L",
        "KA": "1/h",
        "MESOR": "ms",
        "AMP": "",
        "ACRO": "h",
        "SLOPE": "ms*L/mg",
    }
    outputs: ClassVar = {"concentration": "mg/L", "qtc": "ms"}
    linear: ClassVar = True

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate from the central compartment."""
        absorbed = p["KA"] * y["depot"]
        return {"depot": -absorbed, "central": absorbed - p["CL"] / p["VC"] * y["central"]}

    def observe(self, t, y, p):
        """Observe the concentration, and QTc."""
        concentration = y["central"] / p["VC"]
        rhythm = p["AMP"] * jnp.cos(2 * jnp.pi * (t - p["ACRO"]) / 24.0)
        return {"concentration": concentration, "qtc": p["MESOR"] * (1.0 + rhythm) + p["SLOPE"] * concentration}
