"""A bolus into one compartment in five people with four samples each: small enough to be fitted hundreds of times."""

import numpy as np
from vtrial.models.iv_1cpt import OneCompartmentBolus

from vtrial.data import Dataset, NonmemTable
from vtrial.inference import CrossChain
from vtrial.likelihood import StatisticalModel
from vtrial.noise import Proportional
from vtrial.population import HalfNormalPrior, LogNormalPrior, Parameter, Population
from vtrial.solve import Auto

TIMES = (0.5, 2.0, 6.0, 12.0)
SUBJECTS = 5
INFERENCE = CrossChain(chains=8, warmup=300, draws=300)


def statistical() -> StatisticalModel:
    model = OneCompartmentBolus()
    population = Population(
        {
            "CL": Parameter("L/h", LogNormalPrior(3.0, 0.4), HalfNormalPrior(0.4)),
            "VC": Parameter("L", LogNormalPrior(30.0, 0.3), HalfNormalPrior(0.3)),
        }
    )
    noise = {"concentration": Proportional(LogNormalPrior(0.15, 0.4))}
    return StatisticalModel(model, population.for_model(model), Auto(), noise)


def dataset(folder, subjects: int = SUBJECTS) -> Dataset:
    """The design; the values are no more than a place for others."""
    lines = ["ID,TIME,AMT,DV,EVID"]
    for i in range(subjects):
        lines.append(f"{i + 1},0,{100 + 50 * (i % 3)},0,1")
        lines += [f"{i + 1},{t},0,{3.0 * np.exp(-0.1 * t):.6g},0" for t in TIMES]
    path = folder / "small.csv"
    path.write_text("\n".join(lines) + "\n")
    reader = NonmemTable(
        path=str(path),
        units={"TIME": "h", "AMT": "mg", "DV": "mg/L"},
        outputs={"concentration": 1},
        compartments={1: "central"},
    )
    return reader.read(OneCompartmentBolus())
