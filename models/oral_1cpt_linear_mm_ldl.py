"""An antibody with parallel eliminations, and LDL cholesterol by its exposure in weeks 8 to 12."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractModel


class ExposureLowersLdl(AbstractModel):
    """One compartment with linear and saturable elimination; exposure in weeks 8 to 12 says LDL cholesterol after it.

    `exposure` is the area under the concentration from day 56 to day 84, and the mean LDL cholesterol of weeks 10 and
    12 is LDL0 - EMAX exposure / (EC50 + exposure): no course, so `ldl` is LDL0 before day 56, and the source's
    response from day 84 on. EC50 is that of doses every two weeks; under monthly ones it is 2.30 times it, which an arm
    says by `factors: {EC50: 2.3}`. The effect is a difference, so that a person of low LDL0 may get below 0.
    Source: Kuchimanchi et al. 2018 (evolocumab), doi:10.1007/s10928-018-9592-y.
    """

    time: ClassVar = "d"
    states: ClassVar = {"depot": "mg", "central": "mg", "exposure": "mg*d/L"}
    parameters: ClassVar = {
        "CL": "L/d",
        "VC": "L",
        "VMAX": "mg/L/d",
        "KM": "mg/L",
        "KA": "1/d",
        "LDL0": "mg/dL",
        "EMAX": "mg/dL",
        "EC50": "mg*d/L",
    }
    outputs: ClassVar = {"concentration": "mg/L", "exposure": "mg*d/L", "ldl": "mg/dL"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug."""
        return {"depot": 0.0, "central": 0.0, "exposure": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate in proportion to C and at most VMAX besides; collect the exposure."""
        absorbed = p["KA"] * y["depot"]
        concentration = y["central"] / p["VC"]
        saturable = p["VC"] * p["VMAX"] * concentration / (p["KM"] + concentration)
        return {
            "depot": -absorbed,
            "central": absorbed - p["CL"] * concentration - saturable,
            "exposure": jnp.where(t < 56.0, 0.0, jnp.where(t < 84.0, concentration, 0.0)),
        }

    def observe(self, t, y, p):
        """Observe the concentration, the exposure so far, and LDL cholesterol by it."""
        lowered = p["EMAX"] * y["exposure"] / (p["EC50"] + y["exposure"])
        return {"concentration": y["central"] / p["VC"], "exposure": y["exposure"], "ldl": p["LDL0"] - lowered}
