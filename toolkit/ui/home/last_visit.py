"""When news were last marked as seen: a mark in the home folder; reading does not move it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_MARK: Final = "last-visit"


def last_seen(home: Path) -> datetime | None:
    """When somebody last marked the news as seen; None: never."""
    mark = home / _MARK
    return datetime.fromtimestamp(mark.stat().st_mtime, UTC) if mark.exists() else None


def mark_seen(home: Path) -> None:
    """News begin anew from now on.

    Raises:
        OSError: the home folder cannot be written.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / _MARK).touch(mode=0o600)
