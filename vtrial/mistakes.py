"""A user's mistakes in composing a study, each as one sentence with a remedy."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from vtrial._resources import directory
from vtrial.choices import is_group, studies
from vtrial.errors import UserError, nearest
from vtrial.overrides import standing
from vtrial.runtime import apply

_TARGET = "_target_"


def sentence(error: Exception, arguments: Sequence[str]) -> str | None:
    """Return the sentence for a user's mistake; None for what is a fault of ours.

    Args:
        error: what went wrong.
        arguments: of the command line.
    """
    import yaml
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; give another directory, or permit writing there."
    if isinstance(error, yaml.YAMLError):
        return "A YAML file cannot be read: " + " ".join(str(error).split())
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MissingConfigException):
        return _missing_config(error, first, arguments)
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or first
        return f"{key} has no value yet (???); give one in the study, or on the command line: {key}=VALUE"
    if isinstance(error, HydraException) and (wrong := re.search(r"Could not override '([^']+)'", str(error))):
        return _unknown_key(wrong.group(1), arguments)
    if isinstance(error, HydraException) and (said := _twice(str(error))):
        return said
    if isinstance(error, HydraException | OmegaConfBaseException):
        return f"The configuration is wrong: {first}"
    return None


def _twice(text: str) -> str:
    """Say how to choose, or set, what has a value already; "" if that is not what is wrong."""
    if key := re.search(r"Multiple values for (\S+)\.", text) or re.search(r"(\S+) appears more than once", text):
        name = key.group(1)
        return (
            f"A choice of '{name}' is made already; on the command line write {name}=CHOICE without +, in a study "
            f"'- override /{name}: CHOICE' after the other defaults."
        )
    key = re.search(r"An item is already at '([^']+)'", text)
    return f"{key.group(1)} has a value already; write it without +." if key else ""


def _unknown_key(key: str, arguments: Sequence[str]) -> str:
    """Say which key was probably meant, how an optional one is added, or how a choice is made."""
    folders, value = own_folders(arguments), _value(key, arguments)
    name = next((v for k, v in _options(arguments) if k in ("-cn", "--config-name")), None)
    settings = [a for a in arguments if "=" in a and not a.startswith("-") and a.partition("=")[0] != key]
    chosen = [a for a in settings if is_group(a.lstrip("+~").partition("=")[0].partition("@")[0], folders)]
    found = standing(name, folders, chosen) or standing(name, folders, [])
    if found is None:
        return f"There is no key '{key}' to override."
    config, choices = found
    if is_group(key.partition("@")[0], folders):
        return _unknown_choice(key, value, config, choices)
    parent, _, last = key.rpartition(".")
    node = _at(config, parent)
    if isinstance(node, Mapping) and last in node:
        return f"The value of {key} has keys that are not there yet; add them: +{key}={value}"
    if parent and isinstance(node, Mapping) and _TARGET in node:
        known = _parameters(str(node[_TARGET]), parent, folders)
        if last in known:
            return f"There is no key '{key}' in the study's files yet; as it is optional, add it: +{key}={value}"
        why = f": {str(node[_TARGET]).rpartition('.')[2]} has no '{last}'"
        why += f" ({parent}={choices[parent]})" if parent in choices else ""
        return f"There is no key '{key}' to override{why}. {_near(parent, last, known)}"
    if isinstance(node, Mapping) and parent:
        return f"There is no key '{key}' to override. {_near(parent, last, node)}"
    keys = [k for k in _walk(config, "") if k != key]
    same = [k for k in keys if k.rpartition(".")[2].casefold() == last.casefold()]
    if same:
        return f"There is no key '{key}' to override. Did you mean '{min(same, key=len)}'?"
    top = [k for k in config if not k.startswith("_")]
    return f"There is no key '{key}' to override. {nearest(key, keys if '.' in key else top)}"


def _unknown_choice(key: str, value: str, config: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """Say how a choice of a group is made where the study makes none under this name."""
    group, at, _ = key.partition("@")
    made = [c for c in choices if c.partition("@")[0] == group]
    if at:
        meant = f" {nearest(key, made)}" if made else ""
        return f"The study makes no choice of '{key}'.{meant} To add it, write +{key}={value}"
    if made:
        others = f" (or of {', '.join(made[1:4])})" if made[1:] else ""
        return f"There is one '{group}' for each name; choose it for one of them: {made[0]}={value}{others}."
    if group == "policy":
        return f"There is one 'policy' for each arm; choose it for one of them: +policy@design.arms.NAME.policy={value}"
    if not isinstance(config.get(group), Mapping):
        return f"The study makes no choice of '{group}'; to add it, write +{group}={value}"
    if _TARGET not in config[group]:
        return (
            f"There is one '{group}' for each name, and the study writes them out; put a choice in the place of one: "
            f"+{group}@{group}.{next(iter(config[group]), 'NAME')}={value}"
        )
    return f"The study writes '{group}' out and chooses none; put a choice in its place: +{group}={value}"


def _near(parent: str, last: str, known: Iterable[str]) -> str:
    """Say which key beside a wrong one was meant, in full."""
    said = nearest(last, [k for k in known if k != _TARGET])
    return said.replace("mean '", f"mean '{parent}.") if said.startswith("Did") else said


def _parameters(target: str, path: str, folders: Sequence[Path]) -> tuple[str, ...]:
    """Return what a constructor takes; nothing if there is no such class."""
    from vtrial.config import resolve

    apply({})
    try:
        return tuple(inspect.signature(resolve(target, path, folders[0] if folders else None)).parameters)
    except UserError:
        return ()


def _at(config: Mapping[Any, Any], path: str) -> Any:
    """Return what stands at a full key; None where there is nothing."""
    node: Any = config
    for step in path.split(".") if path else ():
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _walk(node: Mapping[Any, Any], path: str) -> Iterator[str]:
    """Yield every full key."""
    for key, value in node.items():
        if key != _TARGET:
            yield f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _walk(value, f"{path}{key}.")


def _value(key: str, arguments: Sequence[str]) -> str:
    """Return the value that the command line gives a key."""
    return next((a.partition("=")[2] for a in arguments if a.partition("=")[0] == key), "VALUE")


def own_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the user's folder given with -cd."""
    return [Path(v).resolve() for k, v in _options(arguments) if k in ("-cd", "--config-dir")]


def _options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return options and their values, written `-x value` or `-x=value`."""
    joined = [tuple(a.split("=", 1)) for a in arguments if a.startswith("-") and "=" in a]
    return [*joined, *pairwise(arguments)]  # type: ignore[list-item]


def _missing_config(error: Any, first: str, arguments: Sequence[str]) -> str:
    """Say which study or option is not there, and which one was probably meant."""
    own = [f.stem for folder in own_folders(arguments) for f in folder.glob("*.yaml")]
    name = str(error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, option = name.rpartition("/")
    if not group and Path(f"{name}.yaml").is_file() and name not in own:
        return f"There is no study '{name}' among vtrial's own; {name}.yaml in this folder is found with -cd ."
    if not group:
        return f"There is no study '{name}'. {nearest(name, [*own, *(n for n, _ in studies())])}" if name else first
    folder = directory("conf") / group
    if not folder.is_dir():
        return (
            f"There is no group '{group}' of choices. "
            f"{nearest(group, [f.name for f in directory('conf').iterdir() if f.is_dir()])}"
        )
    return (
        f"There is no choice '{option}' for {group}. {nearest(option, [f.stem for f in sorted(folder.glob('*.yaml'))])}"
    )
