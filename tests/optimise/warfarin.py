"""The warfarin example that programs of optimal design are compared by: Nyberg et al. 2015, doi:10.1111/bcp.12352."""

import numpy as np
from vtrial.models.oral_1cpt import OneCompartmentOral

from vtrial.cohort import Copula, LogNormalMargin, Recruitment
from vtrial.data import Nobody
from vtrial.design import Arm
from vtrial.dosing import Regimen
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Combined, Proportional
from vtrial.optimise import Ground
from vtrial.population import Fixed, HalfNormalPrior, LogNormalPrior, Parameter, Population
from vtrial.solve import Linear

TYPICAL = {"CL": 0.15, "VC": 8.0, "KA": 1.0}
OMEGA = {"CL": 0.07**0.5, "VC": 0.02**0.5, "KA": 0.6**0.5}
TIMES = np.array([0.5, 1.0, 2.0, 6.0, 24.0, 36.0, 72.0, 120.0])
AS_SD = 2 * np.sum(np.log(2 * np.array([*OMEGA.values(), 0.1])))
"""Log determinant for parameters that are SDs, less that for variances, which the other programs have."""


def ground(additive: float | None = None, draws: int = 1) -> Ground:
    """Return what a search stands on: 70 mg once, a proportional error of 10 %, an additive one if given."""
    model, unit = OneCompartmentOral(), {"CL": "L/h", "VC": "L", "KA": "1/h"}
    half = HalfNormalPrior(1.0)
    parameters = {n: Parameter(unit[n], LogNormalPrior(v, 0.3), iiv=half) for n, v in TYPICAL.items()}
    noise = Proportional(half) if additive is None else Combined(Fixed(additive), half)
    statistical = StatisticalModel(model, Population(parameters, None), Linear(), {"concentration": noise})
    posterior = TYPICAL | {f"{n}_iiv": v for n, v in OMEGA.items()} | {"concentration_sigma_prop": 0.1}
    posterior |= {} if additive is None else {"concentration_sigma_add": additive}
    rng = np.random.default_rng(1)
    spread = {n: v * np.exp(0.1 * (draws > 1) * rng.normal(size=draws)) for n, v in posterior.items()}
    arm = Arm(Regimen(dose="70 mg", every="24 h", doses=1, into="depot"))
    people = Recruitment(2, 2, Copula({"WT": LogNormalMargin("kg", 70.0, 0.1)}, {}))
    return Ground(statistical, Nobody().read(model), spread, people, {"once": arm})
