"""Rate-limit headers of many providers become the same six columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calls.policy.rate_limiter import read_ratelimit_headers
from toolkit.records import CALL_COLUMNS

AT = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "public"


def read(**headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_ratelimit_headers(named, AT)


def test_openai_and_those_who_copy_it():
    row = read(
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="499",
        x_ratelimit_reset_requests="1m0.12s",
        x_ratelimit_limit_tokens="30000",
        x_ratelimit_remaining_tokens="29990",
        x_ratelimit_reset_tokens="20ms",
    )
    assert row["ratelimit_limit_requests"] == 500
    assert row["ratelimit_remaining_requests"] == 499
    assert row["ratelimit_reset_requests_s"] == pytest.approx(60.12)
    assert row["ratelimit_remaining_tokens"] == 29990
    assert row["ratelimit_reset_tokens_s"] == pytest.approx(0.02)


def test_anthropic_with_dates():
    row = read(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2026-11-01T12:00:30Z",
        anthropic_ratelimit_tokens_remaining="8000",
    )
    assert row["ratelimit_limit_requests"] == 50
    assert row["ratelimit_reset_requests_s"] == 30
    assert row["ratelimit_remaining_tokens"] == 8000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        (str(int(AT.timestamp()) + 45), 45),
        (str(int(AT.timestamp() * 1000) + 45_000), 45),
        ("2026-11-01T11:00:00Z", 0),
        ("soon", None),
        ("inf", None),
        ("5parsecs", None),
        ("99999999999999999999999999", None),
    ],
)
def test_a_reset_in_every_form(text, seconds):
    assert read(x_ratelimit_reset_requests=text)["ratelimit_reset_requests_s"] == seconds


def test_a_count_that_no_column_can_hold_is_unknown():
    row = read(x_ratelimit_limit_tokens=str(2**64), x_ratelimit_remaining_tokens="-1")
    assert row["ratelimit_limit_tokens"] is None
    assert row["ratelimit_remaining_tokens"] is None


def test_no_limit_at_all_is_unknown():
    """Cerebras says a little less than 2^63, xAI 2^64 - 1."""
    for text in ("9223372036854767616", "18446744073709551615"):
        assert read(x_ratelimit_remaining_tokens=text)["ratelimit_remaining_tokens"] is None


def test_limit_and_rest_are_of_the_same_window():
    """Hugging Face passes on a day's limit beside a minute's rest."""
    row = read(
        x_ratelimit_limit_requests_day="216000",
        x_ratelimit_remaining_requests_day="215967",
        x_ratelimit_reset_requests_day="23673.9",
        x_ratelimit_remaining_requests_minute="398",
    )
    assert row["ratelimit_limit_requests"] == 216000
    assert row["ratelimit_remaining_requests"] == 215967
    assert row["ratelimit_reset_requests_s"] == pytest.approx(23673.9)


def test_azures_milliseconds_are_told_from_its_seconds_by_the_period():
    row = read(
        x_ratelimit_remaining_requests="49",
        x_ratelimit_reset_requests="2146",
        x_ratelimit_renewalperiod_requests="60",
        x_ratelimit_remaining_tokens="49994",
        x_ratelimit_reset_tokens="7",
        x_ratelimit_renewalperiod_tokens="60",
    )
    assert row["ratelimit_reset_requests_s"] == pytest.approx(2.146)
    assert row["ratelimit_reset_tokens_s"] == 7


def test_no_such_header_no_columns():
    assert read(content_type="application/json") == {}


@given(
    st.dictionaries(
        st.sampled_from(["x-ratelimit-reset-requests", "x-ratelimit-limit-tokens"]), st.text()
    )
)
def test_nothing_a_server_says_can_break_it(headers):
    assert set(read_ratelimit_headers(headers, AT)) <= set(CALL_COLUMNS)


def test_every_recorded_answer_with_limits_gives_some_headroom():
    """Of all real answers that carry rate-limit headers, none is left unread."""
    if not CORPUS.is_dir():
        pytest.skip("the recorded traffic (shared/corpus) is not here")
    unread, with_limits = set(), 0
    for path in sorted(CORPUS.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            answer = json.loads(line)
            headers = {
                k.lower(): v[0] if isinstance(v, list) else str(v)
                for k, v in (answer["response_headers"] or {}).items()
            }
            limits = [k for k in headers if "ratelimit" in k and "-remaining" in k]
            if not limits:
                continue
            with_limits += 1
            row = read_ratelimit_headers(headers, AT)
            told = [v for k, v in row.items() if "remaining" in k and v is not None]
            if not told and any(_is_number(headers[name]) for name in limits):
                unread.add((path.stem, *sorted(limits)))
    assert with_limits > 100
    assert not unread


def _is_number(text):
    return text.replace(".", "", 1).isdigit() and float(text) <= 10**15
