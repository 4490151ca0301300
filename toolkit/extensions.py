"""Parts that installed packages bring and the settings name: processors, request parsers.

Installing a package changes nothing: a part is used once the settings name it, in the
order in which they name it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from toolkit.errors import InvalidInput

Group = Literal["processors", "request_parsers"]


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
    announced = {point.name: point for point in entry_points(group=f"toolkit.{group}")}
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
