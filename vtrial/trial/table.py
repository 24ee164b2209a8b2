"""The stored table of outcomes as what trials are conducted on: by the estimand, and with what is known before."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.design import AbstractDesign
from vtrial.trial.analyses import AbstractAnalysis
from vtrial.trial.consistency import known_before
from vtrial.trial.estimand import AbstractEstimand, Lived
from vtrial.trial.potential import Clock, Potential


def lived(table: xr.Dataset, names: tuple[str, ...], clock: Clock) -> Lived:
    """Return what an analysis reads with and without what happened, from the stored table.

    Args:
        table: the outcomes.
        names: of the endpoints, the primary first; of several there is a last axis.
        clock: when they are known.
    """

    def read(prefix: str = "") -> np.ndarray:
        found = [table[f"{prefix}{name}"].to_numpy() for name in names]
        return found[0] if len(found) == 1 else np.stack(found, axis=-1)

    actual, arms = read(), tuple(str(a) for a in table[schema.ARM].to_numpy())
    periods = schema.PERIOD in table[names[0]].dims
    if "until" not in table:
        never = np.full(actual.shape[: 4 if periods else 3], np.inf)
        return Lived(actual, actual, actual, actual, never, arms=arms, timed=clock.timed)
    end = clock.within.reshape(len(clock.start), -1)[:, 0] if periods else np.inf

    def asked_for(when: xr.DataArray) -> np.ndarray:
        """Return times of an event, infinity where it is after a period's outcome is known."""
        return np.where(when.to_numpy() <= end, when.to_numpy(), np.inf)

    events = {str(n).removeprefix("event_"): v for n, v in table.items() if str(n).startswith("event_")}
    of_world = {f"estimand_event_{n}": n for n, v in events.items() if v.attrs["intercurrent"]}
    return Lived(
        actual,
        read("hypothetical_"),
        read("on_treatment_"),
        read("alive_") if f"alive_{names[0]}" in table else actual,
        table["until"].to_numpy(),
        {name: asked_for(v) for name, v in events.items() if v.attrs["intercurrent"]},
        tuple(name for name, v in events.items() if v.attrs["dies"]),
        arms,
        clock.timed,
        read("estimand_") if f"estimand_{names[0]}" in table else None,
        {name: asked_for(table[key]) for key, name in of_world.items() if key in table},
        _ended(events.values(), table["until"].shape) if periods else None,
    )


def _ended(events: Iterable[xr.DataArray], shape: tuple[int, ...]) -> np.ndarray:
    """Return when the first event happens after which the patient begins no later period; infinity for none."""
    return np.min([np.full(shape, np.inf), *(v.to_numpy() for v in events if v.attrs["finishes"])], axis=0)


def potential(
    table: xr.Dataset,
    design: AbstractDesign,
    analysis: AbstractAnalysis,
    found: Lived,
    estimand: AbstractEstimand,
    primary: str,
) -> Potential:
    """Return the potential outcomes of the primary endpoint as the estimand has it, with what is known before."""
    covariates = {
        str(n).removeprefix("baseline_"): v.to_numpy() for n, v in table.items() if str(n).startswith("baseline_")
    }
    reference = design.names.index(analysis.reference)
    for name in known_before(design, analysis):
        if name not in covariates:
            covariates[name] = table[name].to_numpy()[:, :, reference]
    visited = f"visited_{primary}"
    time = table[visited].to_numpy() if visited in table else None
    tables = estimand.observed(found), estimand.until(found), estimand.target(found)
    return Potential(*tables, covariates, time, found.ended)
