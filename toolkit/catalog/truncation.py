"""A provider's own item, bounded in size and depth, for the column `raw`."""

from __future__ import annotations

import json
from typing import Any, Final

_MOST_CHARS: Final = 20_000
_DEEPEST: Final = 24


def bounded(raw: dict[str, Any]) -> dict[str, Any]:
    """The item itself, or what was left out of it where it is too large to keep."""
    kept = {name: _cut(value, 1) for name, value in raw.items()}
    size = len(json.dumps(kept))
    if size <= _MOST_CHARS:
        return kept
    return {"left_out": f"{size:,} characters", "names": sorted(map(str, raw))[:100]}


def _cut(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if depth > _DEEPEST:
        return None
    if isinstance(value, dict):
        return {name: _cut(item, depth + 1) for name, item in value.items()}
    return [_cut(item, depth + 1) for item in value]
