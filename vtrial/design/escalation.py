"""What designs of dose escalation share: arms are doses in ascending order, an outcome above 1/2 is a toxicity."""

from collections.abc import Mapping

from jaxtyping import Array, Int

from vtrial.design.base import Arm, Seen
from vtrial.errors import UserError, nearest


def tally(seen: Seen, doses: int) -> tuple[Int[Array, " dose"], Int[Array, " dose"]]:
    """Return the patients of each dose whose outcome is known, and those with a toxicity."""
    member = seen.members(doses)
    return member.sum(0), (member & (seen.outcome > 0.5)[:, None]).sum(0)


def starting(arms: Mapping[str, Arm], start: str | None) -> int:
    """Return the number of the dose to start with; the lowest if nothing is said.

    Raises:
        UserError: there is no such arm.
    """
    if start is None:
        return 0
    if start not in arms:
        raise UserError(f"design.start is '{start}', which is no arm of the design. {nearest(start, arms)}")
    return list(arms).index(start)


def check_cohorts(cohort: int, cohorts: int) -> None:
    """Refuse cohorts of nobody, and none.

    Raises:
        UserError: one of them is below 1.
    """
    if cohort < 1 or cohorts < 1:
        raise UserError(f"design.cohort and design.cohorts are 1 or more, not {cohort} and {cohorts}.")


def check_share(name: str, value: float) -> None:
    """Refuse what is no probability.

    Raises:
        UserError: the value is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise UserError(f"design.{name} is a probability between 0 and 1, not {value}.")
