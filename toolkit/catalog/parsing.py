"""Parse what people write: times, days and names of models."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from toolkit.errors import InvalidInput

Moment = datetime | date | str | None
"""A time as people give it; a day means its first second."""


def split_model(model: str) -> tuple[str, str]:
    """Provider and model id of `provider/model_id`.

    Raises:
        InvalidInput: it has no such form.
    """
    provider, slash, model_id = model.partition("/")
    if not (provider and slash and model_id):
        raise InvalidInput(f"invalid model name {model!r}", hint="Use provider/model_id.")
    return provider, model_id


def read_moment(when: Moment) -> datetime | None:
    """A moment in UTC; a day is its first second, a time without a zone is UTC.

    Raises:
        InvalidInput: the text is not a date or time.
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise InvalidInput(
                f"invalid time: {when!r}", hint="Use a date like 2026-11-01."
            ) from None
    if isinstance(when, datetime):
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return None if when is None else datetime.combine(when, time.min, UTC)


def read_day(day: date | str | None) -> date | None:
    """A day, also from ISO text.

    Raises:
        InvalidInput: the text is not a date.
    """
    moment = read_moment(day)
    return None if moment is None else moment.date()
