"""Parts that installed packages bring and the settings name: processors, request parsers.

Installing a package changes nothing: a part works once its name stands in the settings, in the
order in which the names stand there.
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
            f"no installed package brings {name!a}, which stands in the setting `{group}`",
            hint=f"Installed are: {known}.",
        )
    try:
        part = point.load()
        return part() if isinstance(part, type) else part
    except Exception as error:  # noqa: BLE001 - foreign code; its words may hold secrets
        raise InvalidInput(
            f"{name!a} of the setting `{group}` does not load ({type(error).__name__})",
            hint="Mend the package that brings it, or take its name out of the setting.",
        ) from None
