"""Numbers and times exactly as pages write them; the numbers themselves are the charts' own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from toolkit.charts.numbers import (
    UNKNOWN,
    UNPRICED,
    count,
    duration,
    duration_unit,
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
    "money",
    "price",
    "rate",
    "share",
    "tokens",
]

NEVER = "never"


def duration_column(values_ms: Iterable[float | None]) -> list[str]:
    """Durations of one column, all in the unit of the largest."""
    values = list(values_ms)
    unit = duration_unit(values)
    return [duration(value, unit) for value in values]


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """`3 min ago`; `never` where there is no time, `in 3 min` where it is still to come."""
    if when is None:
        return NEVER
    seconds = ((now or datetime.now(UTC)) - as_utc(when)).total_seconds()
    span = _span(abs(seconds))
    if span is None:
        return "just now"
    return f"{span} ago" if seconds > 0 else f"in {span}"


def at(when: datetime | None, zone: str | None = None) -> str:
    """`2026-11-21 14:03:07 CET`, in the user's zone when it is known, else in UTC."""
    if when is None:
        return NEVER
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        local = as_utc(when).astimezone(ZoneInfo(zone) if zone else UTC)
    except (ZoneInfoNotFoundError, ValueError):
        local = as_utc(when)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z")


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
