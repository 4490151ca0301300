"""Times as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.ui.calls.call_table import totals_sentence
from toolkit.ui.components.format import NEVER, ago, at, duration_column, exactly

NOW = datetime(2026, 11, 21, 14, 3, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "just now"),
        (42, "42 s ago"),
        (59.7, "1 min ago"),
        (180, "3 min ago"),
        (3_600, "1 h ago"),
        (86_400 * 3, "3 days ago"),
        (86_400 * 90, "2 months ago"),
        (86_400 * 800, "2 years ago"),
        (-180, "in 3 min"),
    ],
)
def test_how_long_ago(seconds, text):
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_no_time_is_never():
    assert ago(None) == at(None) == exactly(None) == NEVER


def test_a_time_stands_in_the_users_zone_and_a_naive_one_is_utc():
    assert exactly(NOW, "Europe/Berlin") == "2026-11-21 15:03:07 CET"
    assert exactly(NOW.replace(tzinfo=None)) == "2026-11-21 14:03:07 UTC"
    assert exactly(NOW, "Nowhere/Place") == "2026-11-21 14:03:07 UTC"
    shifted = NOW.astimezone(timezone(timedelta(hours=5)))
    assert exactly(shifted) == "2026-11-21 14:03:07 UTC"


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3000)))
def test_every_age_reads_as_one_number_and_one_unit(age):
    assert len(ago(NOW - age, NOW).split()) <= 3


def test_a_column_shares_the_unit_of_its_largest_value():
    assert duration_column([20.0, None, 1_500.0]) == ["20 ms", "–", "1,500 ms"]


@pytest.mark.parametrize(
    ("cost", "unpriced", "shown"),
    [
        (None, 6, "**6 unpriced**"),
        (None, 0, "no cost"),
        (Decimal("1.5"), 0, "**\\$1.50**"),
        (Decimal("1.5"), 29, "**\\$1.50**, 29 unpriced"),
    ],
)
def test_the_headline_of_calls_says_unpriced_once(
    cost: Decimal | None, unpriced: int, shown: str
) -> None:
    totals = {"requests": 1, "attempts": 1, "errors": 0, "unpriced": unpriced, "ttft_n": 0}
    said = totals_sentence({**totals, "cost_usd": cost})
    assert said == f"**1** request · none failed · {shown}"
