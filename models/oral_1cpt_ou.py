"""One compartment with first-order absorption, whose clearance fluctuates."""

from typing import ClassVar

import jax.numpy as jnp

from vtrial.model import AbstractStochasticModel


class OneCompartmentOralFluctuating(AbstractStochasticModel):
    """One compartment with first-order absorption, whose log clearance fluctuates around its mean: system noise.

    The deviation of log clearance from log CL is an Ornstein-Uhlenbeck process, 0 at time 0: it forgets at the rate
    1/TAU, and its standard deviation in the long run is SDCL; each dimensionless noise is SDCL sqrt(2/TAU) per square
    root of an hour. A parameter as a state with system noise is how Tornoe et al. track it. Amounts stay positive.
    Source: Tornoe et al. 2005, doi:10.1007/s11095-005-5269-5.
    """

    time: ClassVar = "h"
    states: ClassVar = {"depot": "mg", "central": "mg", "deviation": ""}
    parameters: ClassVar = {"CL": "L/h", "VC": "L", "KA": "1/h", "SDCL": "", "TAU": "h"}
    outputs: ClassVar = {"concentration": "mg/L", "clearance": "L/h"}
    linear: ClassVar = False

    def initial(self, p):
        """Start without drug, at the mean clearance."""
        return {"depot": 0.0, "central": 0.0, "deviation": 0.0}

    def rates(self, t, y, p):
        """Absorb from the depot, eliminate with the clearance of the moment, which returns to its mean."""
        absorbed = p["KA"] * y["depot"]
        eliminated = p["CL"] * jnp.exp(y["deviation"]) / p["VC"] * y["central"]
        return {"depot": -absorbed, "central": absorbed - eliminated, "deviation": -y["deviation"] / p["TAU"]}

    def diffusion(self, t, y, p):
        """Disturb log clearance."""
        return {"deviation": p["SDCL"] * jnp.sqrt(2.0 / p["TAU"])}

    def observe(self, t, y, p):
        """Observe the central concentration, and the clearance of the moment."""
        return {"concentration": y["central"] / p["VC"], "clearance": p["CL"] * jnp.exp(y["deviation"])}
