"""Parse what people write: times, durations, days and names of models."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from toolkit.errors import InvalidInput

Moment = datetime | date | str | None
"""A time as people give it: a day is its first second, `7d` is seven days before now."""

_SPAN: Final = re.compile(r"(\d{1,5})\s*(m|min|h|d|w)")
_SECONDS: Final = {"m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def split_model(model: str) -> tuple[str, str]:
    """Provider and model id of `provider/model_id`.

    Raises:
        InvalidInput: it has no such form.
    """
    provider, slash, model_id = model.partition("/")
    if not (provider and slash and model_id):
        raise InvalidInput(f"invalid model name {model!r}", hint="Use provider/model_id.")
    return provider, model_id


def find_span(text: str) -> timedelta | None:
    """The duration in a text such as `30min`, `6h`, `7d` or `2w`; None where it is not one."""
    found = _SPAN.fullmatch(text.strip().lower())
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


def read_moment(when: Moment, now: datetime | None = None) -> datetime | None:
    """A moment in UTC, as the shell, the API and Python accept it.

    Args:
        when: a time or day, also as ISO text (UTC where it names no zone; a day is its first
            second), or a duration before now such as `30min`, `6h`, `7d` or `2w`.
        now: None: the present moment.

    Raises:
        InvalidInput: the text is none of these.
    """
    if isinstance(when, str):
        if (span := find_span(when)) is not None:
            return (now or datetime.now(UTC)) - span
        when = _read_iso(when)
    if isinstance(when, datetime):
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return None if when is None else datetime.combine(when, time.min, UTC)


def _read_iso(text: str) -> datetime:
    # In an address, the plus of a zone (`+01:00`) arrives as a space.
    plus = re.sub(r"(T[\d:.]+) (\d\d:?\d\d)$", r"\1+\2", text.strip())
    try:
        return datetime.fromisoformat(plus)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not a valid time", hint="Use 30min, 6h, 7d, or a date like 2026-11-21."
        ) from None


def read_day(day: date | str | None) -> date | None:
    """A day, also from ISO text or a duration before today.

    Raises:
        InvalidInput: the text is neither.
    """
    moment = read_moment(day)
    return None if moment is None else moment.date()
