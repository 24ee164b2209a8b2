"""The words of the command line, checked before anything slow is imported: commands, options, what a command needs."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vtrial import schema
from vtrial.errors import UserError, nearest
from vtrial.overrides import VALUED, Grid

COMMANDS = ("sweep", "calibrate", "sbc", "recover", "optimise", "compare", "average")
"""Every subcommand."""
_STUDY = ("-cn", "--config-name")
_FOLDER = ("-cd", "--config-dir")
_TOLD = ("--hydra-help", "--info", "-i", "--shell-completion", "-sc")
_FLAGS = ("--help", "-h", "--version", "--multirun", "-m", "--run", "-r", "--resolve", *_TOLD)
_SHOWN = ("job", "hydra", "all")
_USUAL = ("-cn", "-cd", "-m", "--cfg", "--help", "--version", "--multirun", "--config-name", "--hydra-help")
"""Options that a mistyped one is compared with."""


def check_words(command: str, arguments: Sequence[str], studies: Sequence[str]) -> None:
    """Check that arguments are options that exist and settings, and that a study is named.

    Args:
        command: the subcommand; "" for a run.
        arguments: those after it.
        studies: names of the studies there are.

    Raises:
        UserError: naming the first wrong word, and the right command.
    """
    left, words, named, folder = list(arguments), [], False, ""
    while left:
        argument = left.pop(0)
        option, joined, value = argument.partition("=")
        if not argument.startswith("-"):
            words += [] if joined or argument.startswith("~") else [argument]
            continue
        named |= option in (*_STUDY, *_TOLD)
        if option in VALUED:
            if not joined:
                value = left.pop(0) if left and not left[0].startswith("-") else ""
            _check_value(option, value, joined=bool(joined))
            folder = f" -cd {value}" if option in _FOLDER else folder
        elif option in ("--info", "-i") and left and "=" not in left[0]:
            left.pop(0)
        elif option not in _FLAGS:
            raise UserError(f"There is no option '{option}'. {nearest(option, _USUAL)}")
    if words:
        raise UserError(_about(words, command, studies, named=named, folder=folder))
    if not named:
        raise UserError(f"Which study? Name one: {_run(command, 'STUDY')}; vtrial alone lists them.")


def _check_value(option: str, value: str, *, joined: bool) -> None:
    """Check the value of an option that needs one."""
    if option in ("--cfg", "-c"):
        if value not in _SHOWN:
            raise UserError(f"{option} shows {', '.join(_SHOWN)}, not '{value}'. {nearest(value, _SHOWN)}")
    elif not value or (option in _STUDY and "=" in value and not joined):
        what = "the name of a study, for example -cn theophylline; vtrial alone lists them" if option in _STUDY else ""
        raise UserError(f"{option} needs {what or 'a value'}.")


def _run(command: str, study: str) -> str:
    return " ".join(["vtrial", *([command] if command else []), "-cn", study])


def _about(words: Sequence[str], command: str, studies: Sequence[str], *, named: bool, folder: str) -> str:
    """Say what was probably meant by words that are neither options nor settings; `folder` is the option given."""
    first, said = words[0], [w for w in words if w in studies]
    if first in studies and not named:
        return f"'{first}' is a study; run it with: {_run(command, first)}{folder}"
    if first in COMMANDS:
        return f"The command comes first: vtrial {first} -cn STUDY ..."
    if close := get_close_matches(first.casefold(), COMMANDS, n=1, cutoff=0.6):
        return f"There is no command '{first}'. Did you mean '{close[0]}': vtrial {close[0]} ..."
    if said and not named:
        return f"There is no command '{first}'; a study is run with: {_run(command, said[0])}{folder}"
    if not named and (close := get_close_matches(first.casefold(), studies, n=1, cutoff=0.6)):
        return f"There is no command or study '{first}'. Did you mean: {_run(command, close[0])}{folder}"
    return (
        f"'{first}' is neither a command ({', '.join(COMMANDS)}) nor a setting, which is written KEY=VALUE; "
        f"a study is run with: {_run(command, 'STUDY')}, and vtrial alone lists them."
    )


def check_grid(command: str, grid: Grid) -> None:
    """Check that a sweep has something to sweep, and that a search has not.

    Raises:
        UserError: a sweep has no key with several values, or a search has one.
    """
    if command == "calibrate" and grid.axes:
        raise UserError(f"{next(iter(grid.axes))} has several values; calibrate varies one key by itself.")
    if command == "sweep" and not grid.axes:
        raise UserError("Nothing is swept; give a key several values, for example design.per_arm=20,50,100.")


def check_asked(command: str, config: Mapping[str, Any]) -> None:
    """Check that a search was told what to look for, and that an earlier run to start from is there.

    Raises:
        UserError: it was not, or there is none.
    """
    if command == "optimise" and config.get("optimise") is None:
        raise UserError("What is to be optimised? Say optimise=dose or optimise=sampling, or write it into the study.")
    asked = config.get("calibrate")
    if command == "calibrate" and isinstance(asked, Mapping):
        lacking = [f"calibrate.{key}" for key in ("vary", "between", "target") if asked.get(key) is None]
        if lacking:
            raise UserError(
                f"{', '.join(lacking)} must be given, for example calibrate.vary=design.per_arm "
                "calibrate.between=[20,200] calibrate.target='{power: 0.8}'."
            )
    earlier = config.get("inference")
    if isinstance(earlier, Mapping) and str(earlier.get("_target_")).endswith(".Saved"):
        path = Path(str(earlier.get("path")))
        if not (path / schema.POSTERIOR).is_dir():
            inside = (path / "result.zarr" / schema.POSTERIOR).is_dir()
            meant = f" Did you mean '{path / 'result.zarr'}'?" if inside else " Give the result.zarr of a finished run."
            raise UserError(f"inference.path: '{path}' holds no posterior.{meant}")
