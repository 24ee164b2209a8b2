"""No data: a study whose numbers are all from the literature."""

import hashlib

import numpy as np

from vtrial.data.base import AbstractData
from vtrial.data.dataset import Dataset, Doses
from vtrial.dosing.batch import Batch
from vtrial.model import AbstractModel


class Nobody(AbstractData):
    """Nobody was observed: the priors are published numbers, and virtual patients are drawn from them as they are.

    It goes with `inference=prior` and a cohort that has its covariates from elsewhere.
    """

    def read(self, model: AbstractModel) -> Dataset:
        """Return a dataset without subjects."""
        none, nothing = np.zeros(0), np.zeros(0, int)
        return Dataset(
            subjects=(),
            events=Batch((), (), 0),
            doses=Doses(nothing, none, none, nothing, none, none, none, nothing, nothing, nothing, nothing),
            covariates={},
            varying={},
            covariate_units={},
            observations={},
            output_units={},
            time_unit=model.time,
            source="no data",
            sha256=hashlib.sha256(b"").hexdigest(),
        )
