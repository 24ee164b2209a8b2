"""The one exception for a user's mistake: it becomes a sentence on the screen and exit code 2, never a traceback."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

_MANY, _SHOWN = 25, 8
"""So many names are listed; of more, so many."""


class UserError(Exception):
    """Something in the user's study, data or command is wrong; the text says what, where, and what to do."""


@contextmanager
def within(path: str) -> Iterator[None]:
    """Prefix the text of a `UserError` raised inside with the configuration key it belongs to."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list them, of many the nearest: the tail of an error sentence."""
    names = [str(k) for k in known]
    folded = {n.casefold(): n for n in names}
    close = get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{folded[close[0]]}'?"
    if len(names) > _MANY:
        near = get_close_matches(str(name).casefold(), list(folded), n=_SHOWN, cutoff=0.0)
        return f"Nearest of {len(names)}: {', '.join(folded[n] for n in near)}."
    return f"Known: {', '.join(names)}." if names else "None is known here."
