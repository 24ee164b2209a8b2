"""A study rehearsed: data simulated where the truth is known, fitted by the study's own inference, and judged.

Each finished fit is kept on disk at once; an interrupted rehearsal goes on, and a finished one can be made longer.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Key

from vtrial import __version__, diagnose, keys, schema
from vtrial._types import Values
from vtrial.data import Dataset
from vtrial.diagnose import Calibration, Recovery
from vtrial.diagnose.refit import Summary, gathered
from vtrial.errors import UserError
from vtrial.inference import Repeated, identity, stated
from vtrial.likelihood import StatisticalModel
from vtrial.population.population import CORRELATION
from vtrial.report.comparison import as_text, open_run
from vtrial.store import locked, write_tree, write_whole
from vtrial.study import Study

log = logging.getLogger(__name__)

_SIGNS = 10
"""So many lines of progress in the log."""
_RANKS = 99
"""Of recovered numbers, whose ranks nobody judges."""


SETTINGS: Mapping[str, type] = {"sbc": Calibration, "recover": Recovery}
"""The settings of each rehearsal, by the name of its subcommand."""


def rehearse(settings: Calibration | Recovery, study: Study, directory: Path, about: Mapping[str, str]) -> str:
    """Conduct the rehearsal the settings are for; return what to tell in a terminal."""
    from vtrial.report.rehearsal import calibration_table, recovery_table, remarks  # matplotlib is slow to import

    about = dict(about) | {"settings": str(settings), "version": __version__}
    if isinstance(settings, Calibration):
        tree = calibrate(study, settings, directory, about)
        found, table, page = tree["calibration"], calibration_table(tree), "sbc.html"
        said = [found.attrs["verdict"], *found.attrs["sentences"]]
    else:
        tree = recover(study, settings, directory, about)
        found, table, page = tree["recovery"], recovery_table(tree), "recover.html"
        said = list(found.attrs["sentences"])
    return as_text(table, [*said, *remarks(tree), f"Report: {directory / page}"])


class Ledger:
    """A folder with a file for each finished fit, and what they are fits of."""

    def __init__(self, folder: Path, of: str):
        """Open or make it.

        Raises:
            UserError: it holds fits of something else.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / "identity"
        if note.exists() and note.read_text(encoding="utf-8") != of:
            raise UserError(
                f"{folder.parent} holds fits of another study, data, seed or settings; give another directory, or "
                "remove this one."
            )
        write_whole(note, of)

    def missing(self, count: int) -> list[int]:
        """Return which of the first so many are not there."""
        return [i for i in range(count) if not self._file(i).exists()]

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def write(self, number: int, row: Summary) -> None:
        """Keep a fit, whole or not at all."""
        partial = self._file(number).with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **row)  # pyright: ignore[reportArgumentType]
        os.replace(partial, self._file(number))

    def read(self, number: int) -> Summary:
        """Return a fit."""
        with np.load(self._file(number)) as file:
            return {name: file[name] for name in file.files}


def calibrate(study: Study, settings: Calibration, directory: Path, about: Mapping[str, str]) -> xr.DataTree:
    """Check the study's inference on data simulated from its own prior; write sbc.zarr and sbc.html.

    Raises:
        UserError: nothing can be simulated or fitted, or the directory holds something else.
    """
    from vtrial.report.rehearsal import calibration_page

    statistical, data = _prepared(study, settings.subjects)
    with locked(directory):
        repeated = Repeated(study.inference, statistical, data)
        fits = refitted(keys.named(jax.random.key(study.seed), "sbc"), repeated, settings, directory / ".sbc")
        judged = diagnose.calibration(fits, settings)
        tree = _tree(study, fits, {"calibration": judged}, about)
        write_tree(tree, directory / "sbc.zarr")
        write_whole(directory / "sbc.html", calibration_page(tree))
    return tree


def recover(study: Study, settings: Recovery, directory: Path, about: Mapping[str, str]) -> xr.DataTree:
    """Find stated numbers again in data simulated from them; write recover.zarr and recover.html.

    Raises:
        UserError: a stated number is unknown, or as for `calibrate`.
    """
    from vtrial.report.rehearsal import recovery_page

    statistical, data = _prepared(study, settings.subjects)
    at = _medians(Path(settings.at), statistical) if isinstance(settings.at, str) else dict(settings.at or {})
    with locked(directory):
        repeated, key = Repeated(study.inference, statistical, data), keys.named(jax.random.key(study.seed), "recover")
        fits = refitted(key, repeated, settings, directory / ".recover", at)
        tree = _tree(study, fits, {"recovery": diagnose.recovery(fits)}, about)
        write_tree(tree, directory / "recover.zarr")
        write_whole(directory / "recover.html", recovery_page(tree))
    return tree


def _prepared(study: Study, subjects: int | None) -> tuple[StatisticalModel, Dataset]:
    data = study.data.read(study.model)
    statistical = study.statistical(data)
    log.info("%s", study.solver.check(study.model, statistical.population.typical()))
    if subjects is None:
        return statistical, data
    if subjects > len(data.subjects):
        raise UserError(f"There are {len(data.subjects)} subjects, not {subjects}; lower subjects.")
    data = data.first(subjects)
    if gone := set(statistical.noise) - set(data.observations):
        raise UserError(f"The first {subjects} subjects have no observation of '{min(gone)}'; take more subjects.")
    return statistical, data


def _medians(run: Path, statistical: StatisticalModel) -> dict[str, float]:
    """Return the posterior medians of a finished run; of correlations the means, which are those of a distribution."""
    posterior = open_run(run)[schema.POSTERIOR].dataset
    if lacking := [n for n in statistical.priors() if n not in posterior]:
        raise UserError(
            f"recover.at: the run in '{run}' did not estimate {', '.join(lacking)}; give one of this study."
        )
    found = {n: float(posterior[n].median()) for n in statistical.priors()}
    effects = statistical.population.effects
    for a, b in statistical.population.correlated_pairs(estimated=True):
        where = {schema.EFFECT: effects.index(a), schema.EFFECT_TOO: effects.index(b)}
        found[f"corr_{a}_{b}"] = float(posterior[CORRELATION].isel(where).mean())
    return found


def refitted(
    key: Key[Array, ""],
    repeated: Repeated,
    settings: Calibration | Recovery,
    folder: Path,
    at: Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Simulate and fit what is missing in a folder; return all fits, with the reasons why some are not used.

    Args:
        key: replicate i has a key of its own, whatever their number.
        repeated: the model, the design and the inference.
        settings: how many, and which fits are used.
        folder: where each finished fit is kept.
        at: true values; left out, they are drawn from the prior.
    """
    sites = None if at is None else stated(repeated.statistical, at)
    ranks = settings.ranks if isinstance(settings, Calibration) else _RANKS
    of = [identity(repeated.inference, key, repeated.statistical, repeated.data), ranks, sorted((at or {}).items())]
    ledger = Ledger(folder, hashlib.sha256(json.dumps(of).encode()).hexdigest())
    left = ledger.missing(settings.replicates)
    if left and not repeated.compiled:
        log.warning(
            "%s is compiled anew for each data set; cross_chain and nuts once", type(repeated.inference).__name__
        )
    if len(left) < settings.replicates:
        log.info("%d of %d fits are there already", settings.replicates - len(left), settings.replicates)
    sign = _Sign(len(left))
    while left:
        now, left = left[: settings.batch], left[settings.batch :]
        for number, row in zip(now, _batch(key, repeated, now, settings.batch, sites, ranks), strict=False):
            ledger.write(number, row)
        sign(len(left))
    rows = [ledger.read(i) for i in range(settings.replicates)]
    needed = settings.ranks if isinstance(settings, Calibration) else 0
    return gathered(rows, repeated.quantities, repeated.units, settings.limits, needed)


def _batch(
    key: Key[Array, ""], repeated: Repeated, now: list[int], size: int, at: Values | None, ranks: int
) -> Iterator[Summary]:
    """Simulate and fit some data sets side by side."""
    numbers = np.resize(now, size)  # The last batch is filled up: another size would be compiled anew.
    each = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)
    made = repeated.simulate(jax.vmap(lambda k: keys.named(k, "simulate"))(each), at)
    found = repeated.fit(jax.vmap(lambda k: keys.named(k, "fit"))(each), made.values)
    for i in range(len(now)):
        trouble = found.trouble[i] if made.valid[i] else "nothing that could be solved was simulated"
        rest = {"diverging": found.diverging[i], "redrawn": made.redrawn[i], "trouble": trouble}
        row = diagnose.summarised(found.columns[i], made.truth[i], ranks)
        yield row | {name: np.asarray(value) for name, value in rest.items()}


class _Sign:
    """Says now and then in the log how far the fits are, and how long they will take."""

    def __init__(self, total: int):
        self._total, self._begin, self._first, self._said = total, time.monotonic(), 0.0, 0

    def __call__(self, left: int) -> None:
        done, now = self._total - left, time.monotonic()
        if not self._first:  # The first batch compiles, and says little about the others.
            self._first, self._begin, self._start = now, now, done
            log.info("           the first of %d fits is done", self._total)
        elif (part := _SIGNS * done // self._total) > self._said:
            self._said = part
            seconds = left * (now - self._begin) / max(1, done - self._start)
            log.info("           %d of %d fits, %.0f s left", done, self._total, seconds)


def _tree(study: Study, fits: xr.Dataset, groups: Mapping[str, xr.Dataset], about: Mapping[str, str]) -> xr.DataTree:
    failed = [r for r in fits["reason"].to_numpy().tolist() if r]
    counts = [f"{failed.count(r)} x {r}" for r in sorted(set(failed), key=failed.count, reverse=True)]
    root = xr.Dataset(
        attrs=dict(about)
        | {
            "inference": study.inference.describe(),
            "seed": study.seed,
            "fits": fits.sizes[schema.REPLICATE],
            "failed": len(failed),
            "failures": counts,
            "redrawn": int(fits["redrawn"].sum()),
        }
    )
    return xr.DataTree.from_dict({"/": root, "fits": fits} | dict(groups))
