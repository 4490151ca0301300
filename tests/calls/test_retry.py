"""Every form of Retry-After, junk included; back-off within its bounds; a quota that holds."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calls.policy.admission import RetryQuota
from toolkit.calls.policy.retry import Backoff, read_retry_after
from toolkit.errors import RequestTimeout, ServerError

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
IN_90_S = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
LONG_AGO = format_datetime(NOW - timedelta(days=3), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "20s"}, 20),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "86400"}, 86400),
        ({"retry-after": IN_90_S}, 90),
        ({"retry-after": "1m3.2s"}, 63.2),
        ({"retry-after": "2h 5m"}, 7500),
        ({"retry-after": "30 seconds"}, 30),
        ({"retry-after": "5 minutes"}, 300),
        ({"retry-after": "1 min, 3 secs"}, 63),
        ({"retry-after": "2026-11-01T12:01:30Z"}, 90),
        ({"retry-after": "2026-11-01T13:01:30+01:00"}, 90),
        ({"retry-after": "7 apples"}, None),
        ({"retry-after": "1m3.2s ago"}, None),
        ({"x-ms-retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1),  # Azure
        ({"retry-after-ms": "nan", "retry-after": "-1"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": str(400 * 86_400)}, None),
        ({"retry-after": LONG_AGO}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_every_form_and_all_junk(headers, seconds):
    assert read_retry_after(headers, now=NOW) == seconds


def test_googles_retry_info_in_the_body():
    body = b'{"error": {"details": [{"@type": "x"}, {"retryDelay": "31s"}]}}'
    assert read_retry_after({}, body) == 31
    assert read_retry_after({"retry-after": "2"}, body) == 2
    assert read_retry_after({"retry-after": "0"}, body) == 31
    assert read_retry_after({}, b'{"retryDelay": "31') is None
    assert read_retry_after({}, b'{"retryDelay": 31}') is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for m. Please try again in 1m3.2s. Visit example.com", 63.2),
        ("Please try again in 20s.", 20),
        ("Please try again in 350ms.", 0.35),
        ("Please try again in 7m12s. Need more tokens?", 432),
        ("Please retry after 6 seconds.", 6),
        ("Please retry in 12.5s.", 12.5),
        ("You must wait for 2 minutes and 5 seconds", 125),
        ("Try again in about 1 hour.", 3600),
        ("Please try again in 3 days", 259_200),
        ("Please try again later.", None),
        ("Please try again in 5 sessions", None),
        ("You used 20s of 30s", None),
        ("try again in 0s", None),
    ],
)
def test_words_of_a_message(message, seconds):
    body = json.dumps({"error": {"message": message}}).encode()
    assert read_retry_after({}, body) == (seconds and pytest.approx(seconds))
    assert read_retry_after({"retry-after": "2"}, body) == 2


@pytest.mark.parametrize(
    ("member", "seconds"),
    [({"retry_after": 12}, 12), ({"retry_after": "2.5"}, 2.5), ({"retryAfter": 3}, 3),
     ({"retry_after_ms": 1500}, 1.5), ({"retry_after_seconds": 4}, 4),
     ({"retry_after": None}, None),
     ({"retry_after": -3}, None), ({"retry_after": 0}, None)],
)  # fmt: skip
def test_a_member_of_the_error(member, seconds):
    body = json.dumps({"error": {"message": "slow down", **member}}).encode()
    assert read_retry_after({}, body) == seconds


@pytest.mark.parametrize("text", ["try again in " + "1m" * 50_000, "wait for 1 " * 9000,
                                  '"retry_after": ' * 9000])  # fmt: skip
def test_the_length_of_a_message_costs_nothing(text):
    began = time.process_time()
    read_retry_after({"retry-after": text}, text.encode())
    assert time.process_time() - began < 5


@given(st.floats(0.001, 366 * 86_400), st.sampled_from(["seconds", "ms", "body"]))
def test_every_form_says_the_same_wait(seconds, form):
    body = b"{}"
    headers = {"retry-after": f"{seconds:.6f}"}
    if form == "ms":
        headers = {"retry-after-ms": f"{seconds * 1000:.3f}"}
    if form == "body":
        headers, body = {}, b'[{"error": {"details": [{"retryDelay": "%.6fs"}]}}]' % seconds
    assert read_retry_after(headers, body, now=NOW) == pytest.approx(seconds, abs=1e-5)


@given(st.integers(1, 366 * 86_400 - 1))
def test_a_date_means_the_time_until_then(seconds):
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert read_retry_after({"retry-after": date}, now=NOW) == seconds


@given(st.text(max_size=40), st.binary(max_size=60))
def test_nothing_a_server_says_can_break_it(text, body):
    seconds = read_retry_after({"retry-after": text}, b'"retryDelay"' + body, now=NOW)
    assert seconds is None or 0 <= seconds <= 366 * 86_400


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_back_off_is_full_jitter_under_eight_seconds(tries, rng):
    wait_s = Backoff().wait_s(tries, lambda: rng)
    assert 0 <= wait_s <= min(8.0, 0.5 * 2 ** (tries - 1))


def test_the_quota_runs_dry_and_comes_back_with_successes():
    quota = RetryQuota()
    failed = ServerError("x")
    taken = [quota.take("p", failed) for _ in range(25)]
    assert taken.count(5.0) == 20
    assert taken[20:] == [None] * 5
    assert quota.take("other", failed) == 5.0
    quota.give_back("p", 5.0)
    assert quota.take("p", failed) == 5.0
    for _ in range(9):
        quota.give_back("p", None)
    assert quota.take("p", RequestTimeout("x")) is None
    quota.give_back("p", None)
    assert quota.take("p", RequestTimeout("x")) == 10.0
