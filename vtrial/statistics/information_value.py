"""Value of information: what a decision gains by knowing more, from draws of what options are worth.

Each row is a world: what every option is worth in it, and what a trial saw of it. All gains are against the option that
is best on average, which is what one would choose now. They are of worlds, so that their mean has a Monte-Carlo error.
"""

import numpy as np
from jaxtyping import Float, Int

_FOLDS = 10


def best_now(worth: Float[np.ndarray, "world option"]) -> int:
    """Return the option that is best on average; worlds in which an option's worth is not known do not count."""
    return int(worth[np.isfinite(worth).all(1)].mean(0).argmax())


def gain_of_all(worth: Float[np.ndarray, "world option"]) -> Float[np.ndarray, " world"]:
    """Return what knowing everything gains in each world; the mean is the expected value of perfect information.

    Source: Raiffa and Schlaifer 1961, Applied Statistical Decision Theory.
    """
    return worth.max(1) - worth[:, best_now(worth)]


def gain_of_choice(
    worth: Float[np.ndarray, "world option"], choice: Int[np.ndarray, " world"]
) -> Float[np.ndarray, " world"]:
    """Return what a choice made in each world gains, or loses."""
    return worth[np.arange(len(worth)), choice] - worth[:, best_now(worth)]


def chosen_after(
    worth: Float[np.ndarray, "world option"], seen: Float[np.ndarray, "world feature"]
) -> Int[np.ndarray, " world"]:
    """Return the option of greatest expected worth given what was seen, by linear regression over worlds.

    The regression is that of Strong, Oakley, Brennan and Breeze 2015, doi:10.1177/0272989X15575286. Each world is
    decided by a regression on the other nine tenths of the worlds: the gain of `gain_of_choice` is then that of a rule
    that has not seen the world, no greater on average than the expected value of sample information, and equal to it
    where expectations are linear in what is seen.

    Args:
        worth: of each option in each world.
        seen: what a trial reports; not a number where it reports nothing, which counts as a report of its own.
    """
    known = np.isfinite(seen)
    count = np.maximum(known.sum(0), 1)
    middle = np.where(known, seen, 0.0).sum(0) / count
    filled = np.where(known, seen, middle)
    columns = np.concatenate([filled - middle, (~known).astype(float)], axis=1)
    spread = columns.std(0)
    columns = columns[:, spread > 0] / spread[spread > 0]
    design = np.concatenate([np.ones((len(worth), 1)), columns], axis=1)
    usable, fold = np.isfinite(worth).all(1), np.arange(len(worth)) % _FOLDS
    choice = np.full(len(worth), best_now(worth))
    for out in range(_FOLDS):
        fitted, held = usable & (fold != out), fold == out
        if fitted.sum() > design.shape[1]:
            slope = np.linalg.lstsq(design[fitted], worth[fitted], rcond=1e-10)[0]
            choice[held] = (design[held] @ slope).argmax(1)
    return choice
