"""Noncompartmental analysis of one profile of measured samples, by PKNCA's conventions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

_LEAST = 3
"""Fewest samples that a terminal slope is fitted to."""
_TIE = 1e-4
"""Adjusted r^2 this near to the best is as good: of such fits the one with most samples is taken."""


class Profile(NamedTuple):
    """Samples of one profile, ready for analysis.

    Below the limit of quantification a sample is 0 before the first and after the last that can be quantified, and left
    out between them. Samples that are missing are left out.
    """

    time: Float[Array | np.ndarray, " sample"]
    value: Float[Array, " sample"]
    """0 where below the limit."""
    quantified: Bool[Array, " sample"]
    kept: Bool[Array, " sample"]
    last: Int[Array, ""]
    """The last sample quantified; -1 if none is."""


def profile(time: Float[Array | np.ndarray, " sample"], measured: Float[Array, " sample"], limit: float) -> Profile:
    """Return the profile of measured values, ascending in time, that can be quantified from `limit` up."""
    here = jnp.arange(len(time))
    quantified = (measured >= limit) & (measured > 0)
    first = jnp.min(jnp.where(quantified, here, len(time)))
    last = jnp.max(jnp.where(quantified, here, -1))
    outside = (here < first) | (here > last)
    return Profile(
        time, jnp.where(quantified, measured, 0.0), quantified, (quantified | outside) & jnp.isfinite(measured), last
    )


def greatest(samples: Profile) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the greatest value and when it is first reached; not a number where no sample was taken."""
    some = samples.kept.any()
    at = jnp.argmax(jnp.where(samples.kept, samples.value, -1.0))
    return jnp.where(some, samples.value[at], jnp.nan), jnp.where(some, jnp.asarray(samples.time)[at], jnp.nan)


def area_to_last(samples: Profile) -> Float[Array, ""]:
    """Return the area under the curve to the last sample quantified, linear up and logarithmic down; 0 if none is.

    Source: Purves 1992, doi:10.1007/BF01062525.
    """
    here = jnp.arange(len(samples.time))
    newest = jax.lax.cummax(jnp.where(samples.kept, here, -1))
    before = jnp.concatenate([jnp.full(1, -1), newest[:-1]])
    time, old, new = jnp.asarray(samples.time), samples.value[before], samples.value
    length = time - time[before]
    down = (new < old) & (new > 0)
    ratio = jnp.where(down, old / jnp.where(down, new, 1.0), 2.0)
    piece = jnp.where(down, (old - new) / jnp.log(ratio), 0.5 * (old + new)) * length
    area = jnp.where(samples.kept & (before >= 0) & (here <= samples.last), piece, 0.0).sum()
    return jnp.where(samples.kept.any(), area, jnp.nan)


class Terminal(NamedTuple):
    """The terminal slope of a profile."""

    rate: Float[Array, ""]
    """Lambda z, per time unit; not a number where none can be fitted."""
    samples: Int[Array, ""]
    """Samples it was fitted to."""
    adjusted: Float[Array, ""]
    """Its adjusted r^2."""


def terminal(samples: Profile) -> Terminal:
    """Return the log-linear fit of the last samples, after the time of the greatest, with the best adjusted r^2.

    From three samples up. Among fits within 1e-4 of the best the one with most samples is taken; a slope that does not
    fall is none.
    """
    _, peak = greatest(samples)
    time = jnp.asarray(samples.time)
    used = samples.quantified & (time > peak)
    # Sums over each sample and all after it, about the last, so that few digits cancel.
    end = jnp.maximum(samples.last, 0)
    x = jnp.where(used, time - time[end], 0.0)
    y = jnp.where(
        used,
        jnp.log(jnp.where(used, samples.value, 1.0)) - jnp.log(jnp.where(used.any(), samples.value[end], 1.0)),
        0.0,
    )
    n = _after(used.astype(x.dtype))
    count = jnp.maximum(n, 1.0)
    sx, sy = _after(x), _after(y)
    xx, yy, xy = _after(x * x) - sx * sx / count, _after(y * y) - sy * sy / count, _after(x * y) - sx * sy / count
    enough = used & (n >= _LEAST) & (xx > 0) & (yy > 0)
    slope = xy / jnp.where(enough, xx, 1.0)
    square = xy * xy / jnp.where(enough, xx * yy, 1.0)
    adjusted = jnp.where(enough, 1 - (1 - square) * (n - 1) / jnp.maximum(n - 2, 1.0), -jnp.inf)
    good = enough & (slope < 0) & (adjusted > jnp.max(adjusted) - _TIE)
    # Samples are in order of time: the first good start has most of them.
    start = jnp.argmax(good)
    rate = jnp.where(good.any(), -slope[start], jnp.nan)
    return Terminal(
        rate, jnp.where(good.any(), n[start].astype(int), 0), jnp.where(good.any(), adjusted[start], jnp.nan)
    )


def _after(x: Float[Array, " sample"]) -> Float[Array, " sample"]:
    return jnp.cumsum(x[::-1])[::-1]


def area_to_infinity(samples: Profile) -> Float[Array, ""]:
    """Return the area to the last sample quantified, and from its value on by the terminal slope to infinity."""
    return area_to_last(samples) + samples.value[jnp.maximum(samples.last, 0)] / terminal(samples).rate
