"""The posterior of an earlier run."""

from collections.abc import Mapping

import equinox as eqx
import xarray as xr
from jaxtyping import Array, Key

from vtrial import schema
from vtrial.data import Dataset
from vtrial.errors import UserError
from vtrial.inference.base import AbstractInference
from vtrial.likelihood import StatisticalModel


class Saved(AbstractInference):
    """Takes the posterior from the result.zarr of another run: many trials from one fit."""

    path: str = eqx.field(static=True)
    """The result.zarr."""

    def __call__(self, key: Key[Array, ""], statistical: StatisticalModel, data: Dataset) -> Mapping[str, xr.Dataset]:
        """Open it, and check that it is a fit of the same parameters and subjects."""
        try:
            names = (schema.POSTERIOR, schema.SAMPLE_STATS)
            found = {n: xr.open_dataset(self.path, group=n, engine="zarr", consolidated=False).load() for n in names}
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"inference.path: '{self.path}' holds no posterior; give the result.zarr of a finished run."
            ) from error
        posterior = found[schema.POSTERIOR]
        missing = [name for name in statistical.priors() if name not in posterior]
        if missing:
            raise UserError(
                f"The posterior in '{self.path}' lacks {', '.join(missing)}; it was fitted with another model or "
                "population."
            )
        if tuple(str(s) for s in posterior[schema.SUBJECT].to_numpy()) != data.subjects:
            raise UserError(f"The posterior in '{self.path}' was fitted to other subjects than those of {data.source}.")
        return found

    def describe(self) -> str:
        """Name the file."""
        return f"posterior of an earlier run, {self.path}"
