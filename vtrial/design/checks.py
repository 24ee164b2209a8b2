"""Checks that several designs share, before anything is traced."""

from collections.abc import Mapping

from vtrial.design.base import Arm
from vtrial.design.timing import AbstractTiming
from vtrial.errors import UserError, nearest


def against_control(arms: Mapping[str, Arm], control: str) -> int:
    """Return the number of the control arm.

    Raises:
        UserError: there is no such arm, or no other.
    """
    if control not in arms:
        raise UserError(f"design.control is '{control}', which is no arm. {nearest(control, arms)}")
    if len(arms) < 2:
        raise UserError(f"design.arms has '{control}' only; the design compares at least one other arm with it.")
    return list(arms).index(control)


def check_looks(sizes: tuple[int, ...], timing: AbstractTiming, arms: int) -> None:
    """Refuse sizes that are none.

    Raises:
        UserError: there is no look, one has a negative number of patients, or the first has too few for the arms.
    """
    if not sizes or min(sizes) < 0 or sizes[0] < 2 * arms:
        raise UserError(
            f"design.sizes are the patients enrolled before each look: 2 in each of {arms} arms or more before the "
            f"first, 0 or more before the others; not {list(sizes)}."
        )
    timing.check(len(sizes))
