"""How well a score orders times to an event: the probability that of two patients the one with the greater is later."""

import numpy as np
from jaxtyping import Bool, Float


def concordance(
    time: Float[np.ndarray, " patient"], event: Bool[np.ndarray, " patient"], score: Float[np.ndarray, " patient"]
) -> float:
    """Return the share of pairs in which the greater score has the later event, equal scores counting one half.

    Pairs count whose order is known: the earlier time is that of an event; at equal times the event comes before the
    censored. Of a score without worth it is 1/2; not a number if no pair counts.

    Source: Harrell, Lee and Mark 1996, doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    known = np.isfinite(time) & np.isfinite(score)
    time, event, score = time[known], event[known], score[known]
    later = (time[None] > time[:, None]) | ((time[None] == time[:, None]) & ~event[None])
    counts = event[:, None] & later & ~np.eye(len(time), dtype=bool)
    apart = np.sign(score[None] - score[:, None])
    pairs = counts.sum()
    return float((0.5 * (1 + apart))[counts].sum() / pairs) if pairs else float("nan")
