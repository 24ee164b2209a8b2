"""Patients in the order of their times: what every estimate from times of events starts with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.errors import UserError
from vtrial.solve.lanes.sorting import in_order

_PLACES = 20
"""Bits of a sorting key that hold a patient's place."""
_COARSE = _PLACES + 1
"""Lowest bits of a time that the key gives up: 2^-31 of it, 5e-10, is left. One more bit says who is censored."""
_BITS = 32
"""Of a number that yes and no of a patient are packed into."""
_LAST = 2**43 - 1
"""Later than the key of any time."""


class Ordered(NamedTuple):
    """Patients in order of time; at equal times events come first, and those not known come last.

    Times that agree to 5e-10 of their size are equal: differences of dates have rounding errors, which must not break a
    tie.
    """

    place: Int[Array, " patient"]
    """Where each patient was before sorting."""
    time: Float[Array, " patient"]
    """Time of the event, or of censoring; infinite where it is not known."""
    event: Bool[Array, " patient"]
    """Whether it is the time of an event."""
    known: Bool[Array, " patient"]
    """Whether the patient counts at all."""
    new: Bool[Array, " patient"]
    """Whether the time is later than that of the patient before; true for the first."""


def ordered(time: Float[Array, " patient"], event: Bool[Array, " patient"], known: Bool[Array, " patient"]) -> Ordered:
    """Return the patients in order of time.

    Args:
        time: 0 or more; not a number and negative times are not known.
        event: whether it is the time of an event, and not of censoring.
        known: who counts.

    Raises:
        UserError: there are more than 2^20 patients in one trial.
    """
    patients = time.shape[0]
    if patients > 2**_PLACES:
        raise UserError(f"A trial of events has at most {2**_PLACES} patients, not {patients}.")
    known = known & (time >= 0)
    event = event & known & (time < jnp.inf)
    time = jnp.where(known, time + 0.0, jnp.inf)  # adding 0 turns -0 into 0
    if time.dtype == jnp.float64:
        return _sorted(time, event, known)
    place, new = _sorted_plainly(time, event, known)
    return Ordered(place, _take(time, place), _take(event, place), _take(known, place), new)


def nth(time: Float[Array, " patient"], n: Int[Array, ""]) -> Float[Array, ""]:
    """Return the n-th smallest of times, counted from 1 to their number; none may be negative."""
    if time.dtype != jnp.float64:
        return jnp.sort(time)[n - 1]
    # The bits of a positive double are in the order of its value; adding 0 turns -0 into 0.
    bits = in_order(jax.lax.bitcast_convert_type(time + 0.0, jnp.int64))
    return jax.lax.bitcast_convert_type(bits[n - 1], jnp.float64)


def _sorted(time, event, known) -> Ordered:
    """Sort one integer for each patient, which is much faster than three columns: rounded time, censored, place.

    The bits of a positive double are in the order of its value.
    """
    bits = jax.lax.bitcast_convert_type(time, jnp.int64)
    rounded = ((bits + (1 << (_COARSE - 1))) >> _COARSE) << 1
    late = jnp.where(known, rounded | jnp.where(event, 0, 1), _LAST)
    key = in_order((late << _PLACES) | jnp.arange(time.shape[0]))
    group = key >> _COARSE
    new = jnp.concatenate([jnp.ones(1, bool), group[1:] != group[:-1]])
    place, late = (key & (2**_PLACES - 1)).astype(jnp.int32), key >> _PLACES
    return Ordered(place, _take(time, place), late & 1 == 0, late != _LAST, new)


def _sorted_plainly(time, event, known):
    """Sort three columns: the bits of a single are too few for time and place."""
    places = jnp.arange(time.shape[0], dtype=jnp.int32)
    late, _, place = jax.lax.sort((time, jnp.where(event, 0, jnp.where(known, 1, 2)), places), num_keys=3)
    return place, jnp.concatenate([jnp.ones(1, bool), late[1:] != late[:-1]])


def _take(x: Array, place: Int[Array, " patient"]) -> Array:
    return x.at[place].get(mode="promise_in_bounds")


def taken(table: Ordered, x: Array) -> Array:
    """Return something of each patient, [patient] or [patient ...], in the order of the table."""
    if x.dtype == bool and x.ndim == 2 and x.shape[1] < _BITS:
        # One number for each patient is fetched faster than several.
        bit = jnp.arange(x.shape[1], dtype=jnp.int32)[None]
        packed = jnp.left_shift(x.astype(jnp.int32), bit).sum(1, dtype=jnp.int32)
        return jnp.right_shift(_take(packed, table.place)[:, None], bit) & 1 == 1
    return _take(x, table.place)


def group_ends(table: Ordered) -> tuple[Int[Array, " patient"], Int[Array, " patient"]]:
    """Return the places, in the table, of the first and the last patient with the same time as each."""
    here = jnp.arange(table.new.shape[0], dtype=jnp.int32)
    last = jnp.concatenate([table.new[1:], jnp.ones(1, bool)])
    first = jax.lax.cummax(jnp.where(table.new, here, 0))
    return first, jax.lax.cummin(jnp.where(last, here, here[-1]), reverse=True)
