"""The `.env` file of the working directory: read, never exported into the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MAX_BYTES: Final = 1024 * 1024
_cache: dict[Path, tuple[tuple[int, int], dict[str, str]]] = {}


def read_dotenv(folder: Path | None = None) -> Mapping[str, str]:
    """Variables of `./.env`, empty where there is none or it cannot be read.

    Values are used literally; variables in them are not expanded.
    """
    path = (folder or Path.cwd()) / ".env"
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > _MAX_BYTES:
            return {}
        stamp = (status.st_mtime_ns, status.st_size)
        known = _cache.get(path)
        if known is None or known[0] != stamp:
            _cache[path] = known = (stamp, _parse(path))
    except OSError:
        return {}
    return known[1]


def _parse(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        return {}
    return {name: value.strip() for name, value in found.items() if value and value.strip()}
