"""The choices of a study: which of them were replaced, and what the study says for those that are gone.

A study's settings lie on top of the files that it chooses. Where the command line, or a study that starts from it,
chooses another file, settings that the new choice does not know were made for the old one, and are left out. What
whoever replaced the choice says is kept, so that a wrong key is still refused.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtrial._resources import directory

if TYPE_CHECKING:
    from omegaconf import DictConfig

_TARGET, _OVERRIDE = "_target_", "override "


def studies() -> Iterator[tuple[str, str]]:
    """Yield the name and question of each study shipped."""
    import yaml

    for file in sorted(directory("studies").glob("*.yaml")):
        yield file.stem, " ".join(str(yaml.safe_load(file.read_text(encoding="utf-8")).get("question", "")).split())


def is_group(name: str, folders: Sequence[Path]) -> bool:
    """Return whether there is a folder of choices of this name, in conf/ or in the user's own folders."""
    return "." not in name and any((root / name).is_dir() for root in (directory("conf"), *folders))


def settled(
    config: "DictConfig", name: str, overrides: Sequence[str], folder: Path | None
) -> tuple["DictConfig", list[str]]:
    """Return a configuration without settings made for choices that were replaced, and these settings.

    Args:
        config: as Hydra composed it.
        name: of the study.
        overrides: of the command line.
        folder: the user's own.

    Raises:
        UserError: a `_target_` of a replaced choice is none.
    """
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    gone: list[str] = []
    for package, own in replaced(name, overrides, folder).items():
        node = plain
        for step in package.split("."):
            node = node.get(step) if isinstance(node, Mapping) else None
        gone += _left_out(node, package, own, folder)
    kept: Any = OmegaConf.create(plain) if gone else config
    return kept, gone


def told(gone: Sequence[str]) -> str:
    """Say what was left out."""
    return f"left out, as settings made for a choice that was replaced: {', '.join(gone)}"


def _left_out(node: Any, path: str, own: set[str], folder: Path | None) -> list[str]:
    """Take out of a node, and of all below it, what its class does not know and nobody said for it; return it."""
    from vtrial.config import resolve

    gone: list[str] = []
    if isinstance(node, dict):
        if _TARGET in node:
            known = inspect.signature(resolve(str(node[_TARGET]), path, folder)).parameters
            for key in [k for k in node if k not in (_TARGET, *known) and not _said(f"{path}.{k}", own)]:
                value = node.pop(key)
                gone.append(f"{path}.{key}" + ("" if isinstance(value, dict | list) else f"={value}"))
        for key, value in node.items():
            gone += _left_out(value, f"{path}.{key}", own, folder)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            gone += _left_out(value, f"{path}[{number}]", own, folder)
    return gone


def _said(key: str, own: set[str]) -> bool:
    """Return whether a key, something below it or something above it was said."""
    return any(key == o or key.startswith(f"{o}.") or o.startswith(f"{key}.") for o in own)


def replaced(name: str, overrides: Sequence[str], folder: Path | None) -> dict[str, set[str]]:
    """Return the place of each choice that was replaced, with the keys that belong to the new one.

    Args:
        name: of the study.
        overrides: of the command line.
        folder: the user's own.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [o for o in parsed if not o.is_delete() and is_group(o.key_or_group, [folder] if folder else [])]
    given = {o.key_or_group for o in parsed if o not in chosen and not o.is_delete()}
    found: dict[str, set[str]] = {}
    newer = set(given)
    for defaults, body in _lineage(name, folder):
        newer |= set(_paths(body, ""))
        for entry in defaults:
            for key in entry if isinstance(entry, Mapping) else ():
                if str(key).startswith(_OVERRIDE):
                    found.setdefault(_package(str(key).removeprefix(_OVERRIDE).strip().lstrip("/")), set(newer))
    return found | {_package(o.get_key_element().lstrip("+")): given for o in chosen}


def _package(choice: str) -> str:
    """Return where a choice, written `group` or `group@package`, stands in the configuration."""
    return choice.partition("@")[2] or choice.replace("/", ".")


def _lineage(name: str, folder: Path | None) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the defaults and the settings of a study, then those of the study it starts from, and so on."""
    import yaml

    for root in (*([folder] if folder else []), directory("studies")):
        file = root / f"{name}.yaml"
        if file.is_file():
            body = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            defaults = body.pop("defaults", None) or []
            yield defaults, body
            for base in reversed([d.lstrip("/") for d in defaults if isinstance(d, str)]):
                yield from _lineage(base, folder)
            return


def _paths(node: Any, path: str) -> Iterator[str]:
    """Yield the full key of everything that is set."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"
