"""Numbers are written as people read them, and never say more than is known."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.charts.numbers import (
    UNKNOWN,
    count,
    duration,
    duration_unit,
    money,
    price,
    rate,
    share,
    tokens,
)

finite = st.floats(min_value=0, max_value=1e9, allow_nan=False)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (8.4, "8.4 ms"),
        (0.04, "0.0 ms"),
        (9.96, "10 ms"),
        (312.4, "312 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1_840, "1.84 s"),
        (12_340, "12.3 s"),
        (59_960, "1 min 0 s"),
        (130_000, "2 min 10 s"),
        (3_720_000, "1 h 02 min"),
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (float("inf"), UNKNOWN),
    ],
)
def test_durations(ms, text):
    assert duration(ms) == text


@given(st.lists(st.one_of(st.none(), finite), min_size=1))
def test_a_column_of_durations_has_one_unit(values):
    unit = duration_unit(values)
    texts = [duration(value, unit) for value in values if value is not None]
    ends = {re.sub(r"^.*\d ", "", text) for text in texts}
    assert len(ends) <= 1 or ends <= {"s", "min"}  # "2 min 10 s" and "1 h 02 min" share a column


@given(finite)
def test_no_duration_reads_sixty_seconds_or_a_thousand_milliseconds(ms):
    text = duration(ms)
    assert not re.search(r"(?<![\d.])60(\.0+)? s|(?<![\d.])1,?000 ms", text)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0.000412", "$0.000412"),
        ("0.0021", "$0.00210"),
        ("1.84", "$1.84"),
        ("214", "$214"),
        ("0.9996", "$1.00"),
        ("9.996", "$10.00"),
        ("15.9", "$15.90"),
        ("99.996", "$100"),
        ("99.96", "$99.96"),
        ("12345.6", "$12,346"),
        ("0", "$0"),
        (None, "unpriced"),
    ],
)
def test_money_has_enough_digits_and_unknown_is_never_zero(usd, text):
    assert money(None if usd is None else Decimal(usd)) == text


@given(st.decimals(min_value="1e-12", max_value="1e9", allow_nan=False))
def test_money_is_within_half_a_percent_of_the_truth_and_never_zero(usd):
    shown = Decimal(money(usd).strip("$").replace(",", ""))
    assert shown > 0
    assert abs(shown - usd) / usd <= Decimal("0.0051")


@given(st.decimals(min_value="1e-12", max_value="0.99", allow_nan=False))
def test_money_below_a_dollar_has_exactly_three_significant_digits(usd):
    digits = money(usd).strip("$").replace(".", "").lstrip("0")
    assert len(digits) == 3


def test_counts_shares_rates_and_prices():
    assert [count(12_345), count(1_240_000), count(None)] == ["12,345", "1.24 M", UNKNOWN]
    assert rate(112.44) == "112.4 tok/s"
    assert rate(3.2, "req") == "3.2 req/s"
    assert rate(None) == UNKNOWN
    assert price(Decimal("0.15"), Decimal("0.60")) == "$0.15 / $0.60"
    assert price(Decimal("0.0375"), None) == "$0.0375 / –"
    assert price(None, None) == "unpriced"
    assert [tokens(412), tokens(412, is_estimate=True)] == ["412 tokens", "~412 tokens"]
    assert [tokens(1), tokens(None)] == ["1 token", "– tokens"]
    assert share(1_194, 1_204) == "99.2 % of 1,204"
    assert share(4, 4) == "not enough data (n = 4)"


@given(st.integers(0, 10**7), st.integers(5, 10**7))
def test_a_share_reads_whole_only_when_it_is_whole(part, whole):
    part = min(part, whole)
    percent = share(part, whole).split(" %")[0]
    assert (percent == "100.0") == (part == whole)
    assert (percent == "0.0") == (part == 0)
