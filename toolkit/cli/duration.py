"""Parse durations: `30min`, `2h`, `7d`, `2w`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from toolkit.errors import InvalidInput

_SPAN: Final = re.compile(r"(\d{1,5})\s*(m|min|h|d|w)")
_SECONDS: Final = {"m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def find_span(text: str) -> timedelta | None:
    """The duration in a text, or None."""
    found = _SPAN.fullmatch(text.strip())
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def require_span(text: str) -> timedelta:
    """As `find_span`.

    Raises:
        InvalidInput: the text is not a duration.
    """
    found = find_span(text)
    if found is None:
        raise InvalidInput(f"{text!r} is not a duration", hint="Use 30min, 2h, 7d or 2w.")
    return found


def read_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """`30min`, `6h`, `7d`, `2w` before now, or an ISO date or time (UTC when it names no zone).

    Raises:
        InvalidInput: it is neither.
    """
    if text is None:
        return None
    if (span := find_span(text)) is not None:
        return (now or datetime.now(UTC)) - span
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not a valid time", hint="Use 30min, 6h, 7d, or a date like 2026-11-21."
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
