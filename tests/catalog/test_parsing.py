"""Times, durations and days as the shell, the API and Python accept them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from toolkit.catalog.parsing import Moment, read_day, read_moment, require_span
from toolkit.errors import InvalidInput

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("30min", NOW - timedelta(minutes=30)),
        ("6h", NOW - timedelta(hours=6)),
        (" 7 d ", NOW - timedelta(days=7)),
        ("2W", NOW - timedelta(weeks=2)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T10:30", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-20T10:30:00Z", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-20T10:30:00+01:00", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T10:30:00 01:00", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        (date(2026, 11, 20), datetime(2026, 11, 20, tzinfo=UTC)),
        (datetime(2026, 11, 20, 8), datetime(2026, 11, 20, 8, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_moment_is_a_time_a_day_or_how_long_ago(given: Moment, moment: datetime | None):
    assert read_moment(given, NOW) == moment


@pytest.mark.parametrize("given", ["yesterday", "", "7", "-7d", "7 dogs", "2026-13-01", "d"])
def test_what_is_no_time_is_refused_with_what_to_write(given: str):
    with pytest.raises(InvalidInput, match="is not a valid time") as refused:
        read_moment(given)
    assert "7d" in str(refused.value.hint)


def test_a_day_is_read_like_a_moment():
    assert read_day("2026-11-20") == date(2026, 11, 20)
    assert read_day("2026-11-20T23:30:00-05:00") == date(2026, 11, 21)


def test_a_duration_is_required_where_only_one_makes_sense():
    assert require_span("2h") == timedelta(hours=2)
    with pytest.raises(InvalidInput, match="is not a duration"):
        require_span("2026-11-20")
