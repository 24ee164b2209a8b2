"""Overrides of the command line: which keys have several values, and the configuration of each cell of their grid."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vtrial._resources import directory
from vtrial.choices import settled, told
from vtrial.errors import UserError, within

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from vtrial.cells import Cell
    from vtrial.study import Study

log = logging.getLogger(__name__)

VALUED = (
    *("-cn", "--config-name", "-cd", "--config-dir", "-cp", "--config-path", "--package", "-p"),
    *("--cfg", "-c", "--experimental-rerun"),
)
"""Options of Hydra that take the next argument as their value."""


class Grid(NamedTuple):
    """Which keys are swept, and everything else that was said."""

    options: list[str]
    """Arguments that are no overrides."""
    fixed: list[str]
    """Overrides with one value."""
    axes: dict[str, list[str]]
    """Values as text by key, both as they are written."""

    def first(self) -> list[str]:
        """Return the arguments of the first cell."""
        return [*self.options, *self.fixed, *next(iter(self.cells())).values()]

    def cells(self) -> list[dict[str, str]]:
        """Return the override of each key, for every cell in order."""
        lists = [[f"{key}={value}" for value in values] for key, values in self.axes.items()]
        return [dict(zip(self.axes, each, strict=True)) for each in product(*lists)]


def grid(arguments: Sequence[str], apart: Sequence[str]) -> Grid:
    """Split arguments by Hydra's own grammar of overrides.

    Args:
        arguments: of the command line.
        apart: keys that say how to run; they have one value.

    Raises:
        UserError: a key cannot be swept.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found, left = Grid([], [], {}), list(arguments)
    parser = OverridesParser.create()
    while left:
        argument = left.pop(0)
        if argument.startswith("-"):
            found.options.append(argument)
            if argument in VALUED and left:
                found.options.append(left.pop(0))
            continue
        override = parser.parse_override(argument)
        if not override.is_sweep_override():
            found.fixed.append(argument)
            continue
        key = override.get_key_element()
        if key.lstrip("+~").partition(".")[0] in (*apart, "hydra"):
            raise UserError(f"{key} says how to run, not what; it has one value in a sweep.")
        if not override.is_discrete_sweep():
            raise UserError(f"{key} is given an interval; write the values out: {key}=a,b,c")
        found.axes[key] = list(dict.fromkeys(override.sweep_string_iterator()))
    return found


def composed(name: str, overrides: Sequence[str], folder: Path | None) -> tuple["DictConfig", list[str]]:
    """Return the configuration with other overrides, inside a run of Hydra, and what was left out of it.

    That is what the study says for choices that the overrides replace, see `vtrial.choices`.
    """
    from hydra import compose

    return settled(compose(config_name=name, overrides=list(overrides)), name, overrides, folder)


def plain(config: "DictConfig", apart: Sequence[str]) -> dict[str, Any]:
    """Return a configuration as plain mappings, without keys that say how to run."""
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return {key: value for key, value in found.items() if key not in apart}


def standing(
    name: str | None, folders: Sequence[Path], chosen: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Return a study's configuration, not resolved, and its choices by `group@package`; None if it cannot be composed.

    Args:
        name: of the study.
        folders: the user's own.
        chosen: overrides that choose files; settings are left out, since one of them may be wrong.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    roots = [*folders, directory("conf")]
    first = next((root for root in roots if (root / f"{name}.yaml").is_file()), roots[-1])
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(first)):
            others = f"hydra.searchpath={[f'file://{root}' for root in roots if root != first]}"
            config = compose(config_name=name, overrides=[others, *chosen], return_hydra_config=True)
    except HydraException:
        return None
    choices = {str(k): str(v) for k, v in config.hydra.runtime.choices.items() if not str(k).startswith("hydra/")}
    found: Any = OmegaConf.to_container(config, resolve=False)
    found.pop("hydra")
    return found, choices


def axis(key: str) -> str:
    """Return the name of a key's dimension."""
    return key.lstrip("+~").replace("/", ".")


class Variants(NamedTuple):
    """A study whose variants are asked for."""

    name: str
    grid: Grid
    apart: Sequence[str]
    """Keys that say how to run."""
    build: Callable[["DictConfig"], "Study"]
    """Returns the study of a configuration."""
    folder: Path | None = None
    """The user's own."""

    def cell(self, changed: Mapping[str, str]) -> "Cell":
        """Return the variant with some overrides, by key."""
        from vtrial.cells import Cell

        with within(", ".join(changed.values())) if changed else nullcontext():
            config, gone = composed(self.name, [*self.grid.fixed, *changed.values()], self.folder)
            if gone and (self.grid.axes or not changed):
                log.warning("%s", " ".join([*changed.values(), told(gone)]))
            values = {axis(key): text.partition("=")[2] for key, text in changed.items()}
            return Cell(values, self.build(config), plain(config, self.apart))


def conduct_variants(command: str, given: Variants, settings: Callable[..., Any], place: Path) -> str:
    """Sweep over the grid, all cells of it checked first, or search; return what to tell.

    Args:
        command: "sweep" or "calibrate".
        given: the study.
        settings: returns those of a search, of the class it is given.
        place: where everything goes.

    Raises:
        UserError: a cell is wrong.
    """
    if command == "calibrate":
        from vtrial.search import Search, calibrate

        return calibrate(settings(Search), given.cell, place, given.name)
    from vtrial.sweep import sweep

    return sweep([given.cell(changed) for changed in given.grid.cells()], place, given.name)
