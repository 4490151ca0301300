"""Every form of Retry-After, junk included; back-off within its bounds; a quota that holds."""

from __future__ import annotations

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
