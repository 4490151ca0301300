"""Numbers and times exactly as pages write them; the numbers themselves are the charts' own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from toolkit.charts.numbers import (
    UNKNOWN,
    UNPRICED,
    count,
    duration,
    money,
    price,
    rate,
    share,
    tokens,
)

__all__ = [
    "NEVER",
    "UNKNOWN",
    "UNPRICED",
    "ago",
    "at",
    "count",
    "duration",
    "duration_column",
    "exactly",
    "in_zone",
    "money",
    "price",
    "rate",
    "share",
    "span_of",
    "tokens",
]

NEVER = "never"


def duration_column(values_ms: Iterable[float | None]) -> list[str]:
    """Durations of one column in whole milliseconds: 82 and 84 ms stay two numbers."""
    return [duration(value, "ms") for value in values_ms]


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """`3 min ago`; `never` where there is no time, `in 3 min` where it is still to come."""
    if when is None:
        return NEVER
    seconds = ((now or datetime.now(UTC)) - as_utc(when)).total_seconds()
    span = _span(abs(seconds))
    if span is None:
        return "just now"
    return f"{span} ago" if seconds > 0 else f"in {span}"


def span_of(when: datetime | None, now: datetime | None = None) -> str:
    """How long something has lasted: `38 min`; empty where its beginning is not known."""
    if when is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - as_utc(when)).total_seconds()
    return _span(abs(seconds)) or "just now"


def exactly(when: datetime | None, zone: str | None = None) -> str:
    """`2026-11-21 14:03:07 CET`, in the user's zone when it is known, else in UTC."""
    return NEVER if when is None else in_zone(when, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def at(when: datetime | None, zone: str | None = None, now: datetime | None = None) -> str:
    """`14:03:07` for a time of the last day, `21 Nov 14:03` for an earlier one."""
    if when is None:
        return NEVER
    local = in_zone(when, zone)
    age_s = ((now or datetime.now(UTC)) - as_utc(when)).total_seconds()
    if 0 <= age_s < 86_400:
        return local.strftime("%H:%M:%S")
    return local.strftime("%d %b %H:%M" if age_s < 300 * 86_400 else "%d %b %Y")


def in_zone(when: datetime, zone: str | None) -> datetime:
    """The same moment on the user's clock; UTC where the zone is not known."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return as_utc(when).astimezone(ZoneInfo(zone) if zone else UTC)
    except (ZoneInfoNotFoundError, ValueError):
        return as_utc(when)


def as_utc(when: datetime) -> datetime:
    """A time with its zone; the store's naive ones are UTC."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _span(seconds: float) -> str | None:
    if seconds < 10:
        return None
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds < 59.5 else "1 min"
    for name, size, limit in (("min", 60, 60), ("h", 3_600, 48), ("days", 86_400, 60)):
        if seconds / size < limit:
            return f"{int(seconds // size)} {name}"
    months = int(seconds // 2_629_800)
    return f"{months} months" if months < 24 else f"{months // 12} years"
