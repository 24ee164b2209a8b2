"""A composed configuration checked against the constructors it names, before anything is built.

The constructor is the schema: every `_target_` is resolved, and its keys, their absence and their types are compared
with the constructor's signature. Whatever is wrong becomes one sentence with the key's full path and the
nearest right name.
"""

import importlib
import importlib.util
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
from beartype import BeartypeConf
from beartype.door import is_bearable

from vtrial._resources import directory
from vtrial.errors import UserError, nearest

_NUMBERS = BeartypeConf(is_pep484_tower=True)
"""An integer may stand where a float is asked for."""
_TARGET = "_target_"


def resolve(target: str, path: str, folder: Path | None) -> type:
    """Return the class a `_target_` names: one of vtrial, or of a module in the user's own folder.

    Raises:
        UserError: it is elsewhere, does not exist, or is no finished class.
    """
    module_name, _, name = target.rpartition(".")
    if not (module_name == "vtrial" or module_name.startswith("vtrial.") or _is_own(module_name, folder)):
        where = f"in {folder}" if folder else "in the study's own folder (-cd FOLDER)"
        raise UserError(f"{path}._target_: '{target}' is neither part of vtrial nor of a module {where}.")
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        raise UserError(
            f"{path}._target_: module '{module_name}' has a syntax error in line {error.lineno}: {error.msg}."
        ) from error
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise UserError(
                f"{path}._target_: module '{module_name}' needs '{error.name}', which is not installed."
            ) from error
        parent, _, last = module_name.rpartition(".")
        raise UserError(
            f"{path}._target_: there is no module '{module_name}'. {nearest(last, _modules(parent))}"
        ) from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, eqx.Module)):
        known = [
            n
            for n, c in vars(module).items()
            if isinstance(c, type) and issubclass(c, eqx.Module) and not inspect.isabstract(c)
        ]
        raise UserError(f"{path}._target_: '{module_name}' has no class '{name}'. {nearest(name, known)}")
    if inspect.isabstract(found):
        raise UserError(
            f"{path}._target_: '{target}' is an interface, not a finished class; name one of its subclasses."
        )
    return found


def _is_own(module_name: str, folder: Path | None) -> bool:
    """Return whether a module's file lies in the user's folder."""
    if folder is None or not module_name:
        return False
    spec = importlib.util.find_spec(module_name.partition(".")[0])
    return bool(spec and spec.origin and Path(spec.origin).resolve().is_relative_to(folder.resolve()))


def _modules(package: str) -> list[str]:
    """List the modules of a package."""
    try:
        paths = importlib.import_module(package).__path__
    except (ImportError, AttributeError, ValueError):
        return []
    return [f.stem for p in paths for f in Path(p).iterdir() if f.suffix in (".py", "") and not f.stem.startswith("_")]


def check(node: Any, hint: Any, path: str = "", folder: Path | None = None) -> None:
    """Check a configuration node, as plain dicts, lists and scalars, against a type hint.

    Raises:
        UserError: at the first key that is unknown, missing, or of another type.
    """
    if isinstance(node, Mapping) and _TARGET in node:
        _check_target(node, hint, path, folder)
    elif isinstance(node, Mapping) and (inner := _mapping_value(hint)) is not None:
        for key, value in node.items():
            check(value, inner, f"{path}.{key}".lstrip("."), folder)
    elif isinstance(node, list | tuple) and (item := _item(hint)) is not None:
        for number, value in enumerate(node):
            check(value, item, f"{path}[{number}]", folder)
    elif not is_bearable(node, hint, conf=_NUMBERS) or isinstance(node, Mapping | list):
        # A mapping or list that the hint does not describe could hide a _target_ that nobody has checked.
        if isinstance(node, int | float) and str in _alternatives(hint):
            raise UserError(f"{path} must be text, not {node!r}; a quantity is written with its unit, as '12 h' is.")
        if not path:
            raise UserError("This is no study: it has no _target_. Start it with `defaults: [/defaults, ..., _self_]`.")
        raise UserError(f"{path} must be {_words(hint)}, not {node!r}.")


def _check_target(node: Mapping[str, Any], hint: Any, path: str, folder: Path | None) -> None:
    found = resolve(str(node[_TARGET]), path or "(study)", folder)
    wanted = [h for h in _alternatives(hint) if isinstance(h, type) and h is not type(None)]
    if wanted and not any(issubclass(found, w) for w in wanted):
        raise UserError(f"{path} must be {_words(hint)}, but '{found.__name__}' is none.")
    signature = inspect.signature(found)
    hints = typing.get_type_hints(found.__init__)
    for key in node:
        if key != _TARGET and key not in signature.parameters:
            full = _join(path, key)
            raise UserError(
                f"{full} is no key of {found.__name__}. {nearest(key, signature.parameters)} To leave it out, "
                f"write ~{full}"
            )
    for key, parameter in signature.parameters.items():
        if key in node:
            check(node[key], hints.get(key, Any), _join(path, key), folder)
        elif parameter.default is inspect.Parameter.empty:
            raise UserError(
                f"{_join(path, key)} is missing; {found.__name__} needs it ({_words(hints.get(key, Any))})."
            )


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the hint alone."""
    return (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )


def _mapping_value(hint: Any) -> Any:
    """Return the type of a mapping's values, or None if the hint is no mapping."""
    for alternative in _alternatives(hint):
        origin = typing.get_origin(alternative)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return typing.get_args(alternative)[1]
    return None


def _item(hint: Any) -> Any:
    """Return the type of the entries of a tuple or sequence, for which a list is written; None for other hints."""
    for alternative in _alternatives(hint):
        if typing.get_origin(alternative) in (tuple, Sequence):
            return typing.get_args(alternative)[0]
    return None


def _words(hint: Any) -> str:
    """Say a type to somebody who writes YAML."""
    names = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    said = []
    for alternative in _alternatives(hint):
        if alternative is Any:  # a class of the user's own, whose converter says nothing
            said.append("a plain value (its class does not say of what a list or mapping would be)")
        elif alternative in names:
            said.append(names[alternative])
        elif typing.get_origin(alternative) is not None:
            said.append("a mapping of names to values" if _mapping_value(alternative) is not None else "a list")
        else:
            kind = getattr(alternative, "__name__", "object").removeprefix("Abstract")
            said.append(f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind} (a mapping with _target_)")
    return " or ".join(said)


def locate(node: Any, folder: Path | None, key: str) -> None:
    """Replace the `path` of a configuration node, and of all below it, by where the file is.

    Raises:
        UserError: it is neither here, nor in the user's folder, nor among the studies' data; `key` names it.
    """
    if isinstance(node, dict):
        if node.get("path") is not None:
            node["path"] = _located(node["path"], folder, key)
        for value in node.values():
            locate(value, folder, key)


def _located(path: str, folder: Path | None, key: str) -> str:
    """Find a data file: as given, in the user's folder, or among the studies' data."""
    roots = [
        Path.cwd(),
        *([folder, folder / "data"] if folder else []),
        directory("studies"),
        directory("studies") / "data",
    ]
    for root in roots:
        if (root / path).is_file():
            return str(root / path)
    raise UserError(f"{key}: there is no file '{path}' here, nor in {', '.join(str(r) for r in roots[1:])}.")
