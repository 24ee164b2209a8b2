"""Cells of a sweep: variants of a study that share the fit, the patients and the outcomes they have in common.

Every stage has a directory named by a hash of all it depends on: inputs, versions, and the configuration without the
keys that the stage does not read. Two cells that agree on these share the stage; a key nobody has thought of counts as
one the stage reads. A stage's random keys are those of a plain run, and so are its numbers.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from vtrial import keys, schema
from vtrial.data import Dataset
from vtrial.errors import within
from vtrial.provenance import identity
from vtrial.run import fit, recruit, simulate, trials_judged
from vtrial.store import Store
from vtrial.study import Study
from vtrial.trial import Judged, contributions, information, world_of

log = logging.getLogger(__name__)

_SAID = ("question", "context_of_use")
_TRIAL = (*_SAID, "primary", "analysis", "objective", "decision", "enrolment", "estimand", "links")
UNREAD: Mapping[str, tuple[str, ...]] = {
    "fit": ("vpc", *_TRIAL, "design", "endpoints", "course", "cohort", "prognosis"),
    "patients": ("vpc", *_TRIAL, "design", "endpoints", "prognosis"),
    "outcomes": ("vpc", *_TRIAL, "design"),
    "trials": ("vpc",),
}
"""Keys of a study that a stage does not read. Of the design, patients need its periods, and its arms: everybody's doses
are checked. Where outcomes have a prognostic score, they are read with the trial in mind."""


class Cell(NamedTuple):
    """A variant of a study."""

    values: Mapping[str, str]
    """Value as text of each key that varies."""
    study: Study
    plain: Mapping[str, Any]
    """Its configuration."""

    def describe(self) -> str:
        """Say what is particular about it."""
        return ", ".join(f"{key}={value}" for key, value in self.values.items())


class Found(NamedTuple):
    """What a cell's trials say."""

    characteristics: xr.Dataset
    each: xr.Dataset
    """What each trial adds to them."""


def part(stage: str, cell: Cell) -> Mapping[str, Any]:
    """Return the part of a cell's configuration that a stage depends on."""
    scored = stage == "outcomes" and cell.study.prognosis is not None
    unread = () if scored else UNREAD[stage]
    kept: dict[str, Any] = {key: value for key, value in cell.plain.items() if key not in unread}
    if stage in ("patients", "outcomes"):
        kept |= {"periods": cell.study.design.periods, "arms": cell.plain["design"]["arms"]}
    if stage == "outcomes" and cell.study.design.periods > 1 and cell.study.course.events:
        kept["spacing"] = cell.plain["design"]["spacing"]  # events may happen between periods
    if stage == "outcomes" and world_of(cell.study.estimand) is not None:
        kept["estimand"] = cell.plain["estimand"]  # patients are simulated in its world
    return kept


def judge_cell(folder: Path, name: str, cell: Cell) -> Found:
    """Run or reuse the stages of a cell, and return what its trials say.

    Args:
        folder: where the directories of stages are.
        name: of the study.
        cell: the variant.

    Raises:
        UserError: the cell cannot be run.
    """
    with within(cell.describe()):
        study = cell.study
        data = study.data.read(study.model)
        statistical = study.statistical(data)
        trials = _store(folder, name, "trials", cell, data)
        if not trials.done("trial"):
            fitted, patients, outcomes = (_store(folder, name, s, cell, data) for s in ("fit", "patients", "outcomes"))
            log.info("%s", study.solver.check(study.model, statistical.population.typical()))
            fit(study, statistical, data, fitted)
            recruit(study, statistical, data, patients, fitted=fitted)
            simulate(study, statistical, outcomes, fitted=fitted, recruited=patients)
            key = keys.named(jax.random.key(study.seed), "trial")

            def compute() -> dict[str, xr.Dataset]:
                judged, characteristics, _ = trials_judged(key, study, outcomes.opened(schema.OUTCOMES))
                return {schema.OPERATING_CHARACTERISTICS: characteristics, schema.EACH_TRIAL: each_trial(judged)}

            trials.stage("trial", compute)
    return Found(trials.group(schema.OPERATING_CHARACTERISTICS), trials.group(schema.EACH_TRIAL))


def each_trial(judged: Judged) -> xr.Dataset:
    """Return what each trial adds to the operating characteristics, which are means over trials."""
    found = {}
    for name, one in (contributions(judged) | information(judged)).items():
        dims = (schema.REPLICATE, schema.ARM)[: one.value.ndim]
        found[name] = (dims, np.asarray(one.value, float), {"long_name": one.what, "units": one.unit})
    return xr.Dataset(found, {schema.REPLICATE: np.arange(len(judged.patients)), schema.ARM: list(judged.names)})


def _store(folder: Path, name: str, stage: str, cell: Cell, data: Dataset) -> Store:
    """Open the directory of a stage, named by what the stage depends on."""
    study = cell.study
    inputs = dict(study.inference.inputs())
    if stage != "fit":
        inputs |= study.cohort.covariates.inputs()
    text = json.dumps(part(stage, cell), indent=1)
    attributes = identity(name, text, data, model=study.model, seed=study.seed, inputs=inputs)
    own = json.dumps({key: attributes[key] for key in schema.IDENTITY})
    return Store(folder / f"{stage}-{hashlib.sha256(own.encode()).hexdigest()[:16]}", attributes)
