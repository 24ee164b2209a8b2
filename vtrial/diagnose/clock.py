"""Time after dose."""

import numpy as np
from jaxtyping import Float

from vtrial.data import Dataset
from vtrial.dosing.table import Kind

_DOSES = (Kind.BOLUS, Kind.START, Kind.FILL)


def time_after_dose(data: Dataset) -> dict[str, Float[np.ndarray, " obs"]]:
    """Return TAD of each output's observations, in the data's time unit; NaN before the first dose.

    It is the time since the subject's last dose as the records have it, additional doses (ADDL) included and a lag not
    counted. A dose at the very time of an observation is the last one if its record comes before that of the
    observation; an additional dose comes after it, so that a trough has TAD = II. Doses that a reset cancels are none.
    """
    columns = []
    for table in data.events.tables:
        dose = np.isin(table.kind, _DOSES) & (np.asarray(table.start) < np.asarray(table.until))
        start = np.where(dose, np.asarray(table.start, float), -np.inf)
        last = np.take_along_axis(np.maximum.accumulate(start, axis=1), np.asarray(table.sample_after), axis=1)
        time = np.asarray(table.sample_time, float)
        columns.append(np.where(np.isfinite(last), time - np.where(np.isfinite(last), last, 0.0), np.nan).reshape(-1))
    flat = np.concatenate(columns)
    return {o: flat[data.events.positions(obs.subject, obs.sample)] for o, obs in data.observations.items()}
