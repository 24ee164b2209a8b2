"""The posterior of an earlier run."""

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path

import equinox as eqx
import xarray as xr
from jaxtyping import Array, Key

from vtrial import schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.hashes import digest
from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint
from vtrial.likelihood import StatisticalModel
from vtrial.model import AbstractModel

log = logging.getLogger(__name__)


class Saved(AbstractInference):
    """Takes the posterior from the result.zarr of another run: many trials from one fit."""

    path: str = eqx.field(static=True)
    """The result.zarr."""

    def __call__(
        self,
        key: Key[Array, ""],
        statistical: StatisticalModel,
        data: Dataset,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> Mapping[str, xr.Dataset]:
        """Open it, and check that it is a fit of the same model, population, priors, residual error and data."""
        try:
            names = (schema.POSTERIOR, schema.SAMPLE_STATS)
            found = {n: xr.open_dataset(self.path, group=n, engine="zarr", consolidated=False).load() for n in names}
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"inference.path: '{self.path}' holds no posterior; give the result.zarr of a finished run."
            ) from error
        before = xr.open_dataset(self.path, engine="zarr", consolidated=False).attrs
        words = statistical.words() | {"data_sha256": data.sha256}
        other = [key for key, value in words.items() if before.get(key) != value]
        if other:
            raise UserError(
                f"The posterior in '{self.path}' was fitted with other {', '.join(other)} than this study has; "
                "use the same, or fit anew."
            )
        _warn_of_changed_model(statistical.model, before.get("inputs", {}))
        return found

    def count(self) -> int | None:
        """Return that it is not known before it is opened."""
        return None

    def inputs(self) -> dict[str, str]:
        """Return the hash of the posterior's files."""
        return {"posterior of inference.path": digest(Path(self.path) / schema.POSTERIOR)}

    def describe(self) -> str:
        """Name the file."""
        return f"posterior of an earlier run, {self.path}"


def _warn_of_changed_model(model: AbstractModel, before: Mapping[str, str]) -> None:
    """Warn where the model's file is not that of the fit: what is compared of a model in words is not its equations."""
    try:
        source = Path(inspect.getfile(type(model)))
    except (OSError, TypeError):
        return  # written in a notebook: there is no file to compare
    if before.get(source.name, digest(source)) != digest(source):
        log.warning(
            "The file %s of model %s has changed since the posterior was fitted; if its equations have, fit anew",
            *(source.name, type(model).__name__),
        )
