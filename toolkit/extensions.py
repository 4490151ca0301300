"""Parts that installed packages bring: provider plugins, scorers, processors, request parsers.

A processor or request parser changes nothing by being installed: it is used once the settings
name it, in the order in which they name it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Literal

from toolkit.errors import InvalidInput

Group = Literal["processors", "request_parsers"]


def find_entry_points(group: str) -> Mapping[str, EntryPoint]:
    """Entry points of installed packages, by name; nothing is imported.

    Args:
        group: the whole name of the group, for example `toolkit.providers`.
    """
    return _read_entry_points(group, tuple((path, _changed_at(path)) for path in sys.path))


@lru_cache(maxsize=16)
def _read_entry_points(
    group: str, places: tuple[tuple[str, int | None], ...]
) -> Mapping[str, EntryPoint]:
    """Kept per import path: reading the metadata of all installed packages takes 50 ms or more.

    `places` is not read; a package that is installed or removed makes it another key.
    """
    found = entry_points(group=group)
    return MappingProxyType({point.name: point for point in sorted(found, key=lambda p: p.value)})


def _changed_at(folder: str) -> int | None:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return None


def load_extensions(group: Group, names: Sequence[str]) -> dict[str, Any]:
    """The named parts, made ready, in the order of their names.

    Args:
        group: entry point group below `toolkit.`.
        names: names of entry points; each is a class (made without arguments) or an object.

    Raises:
        InvalidInput: no installed package brings one of them, or it does not load.
    """
    if not names:
        return {}
    announced = find_entry_points(f"toolkit.{group}")
    return {name: _make(group, name, announced) for name in names}


def _make(group: Group, name: str, announced: Mapping[str, EntryPoint]) -> Any:
    point = announced.get(name)
    if point is None:
        known = ", ".join(sorted(announced)) or "none"
        raise InvalidInput(
            f"no installed package provides {name!a}, which the setting `{group}` names",
            hint=f"Installed: {known}.",
        )
    try:
        part = point.load()
        return part() if isinstance(part, type) else part
    except Exception as error:  # noqa: BLE001 - foreign code; its words may hold secrets
        raise InvalidInput(
            f"{name!a} of the setting `{group}` could not be loaded ({type(error).__name__})",
            hint="Fix the package that provides it, or remove the name from the setting.",
        ) from None
