"""The parts of a call: contiguous, in order, and only what was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from toolkit.charts.phases import phases_of, phases_of_attempts

ROW = {
    "queue_ms": 10.0,
    "connect_ms": 20.0,
    "ttft_ms": 100.0,
    "ttfo_ms": 150.0,
    "last_token_ms": 400.0,
    "duration_ms": 405.0,
    "status": "ok",
    "finish_reason": "stop",
}


def spans(phases):
    return [(phase.phase, phase.start_ms, phase.end_ms) for phase in phases]


def test_a_reasoning_call_has_all_its_parts_and_ttft_counts_from_the_send():
    assert spans(phases_of(ROW, "a")) == [
        ("queued", 0.0, 10.0),
        ("connecting", 10.0, 30.0),
        ("waiting", 30.0, 130.0),
        ("reasoning", 130.0, 180.0),
        ("answering", 180.0, 430.0),
        ("closing", 430.0, 435.0),
    ]


def test_what_was_not_measured_is_no_part():
    row = {"ttft_ms": 100.0, "duration_ms": 300.0, "queue_ms": float("nan"), "connect_ms": None}
    assert spans(phases_of(row, "a")) == [("waiting", 0.0, 100.0), ("answering", 100.0, 300.0)]


def test_a_call_that_only_reasoned_has_no_answering_part():
    row = {"ttft_ms": 5.0, "last_token_ms": 80.0, "duration_ms": 80.0, "reasoning_text": "hm"}
    assert [name for name, _, _ in spans(phases_of(row, "a"))] == ["waiting", "reasoning"]


def test_a_call_without_a_token_waits_to_its_end():
    assert spans(phases_of({"duration_ms": 40.0}, "a")) == [("waiting", 0.0, 40.0)]
    assert phases_of({}, "a") == []


def test_attempts_stand_where_they_began_and_a_failed_one_ends_in_a_mark():
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    failed = {"started_at": start, "duration_ms": 50.0, "status": "error", "error_code": "TIMEOUT"}
    second = ROW | {"started_at": start + timedelta(seconds=1)}
    phases = phases_of_attempts([failed, second], "a")
    assert [phase.phase for phase in phases][:3] == ["waiting", "failed", "queued"]
    assert phases[1].note == "TIMEOUT" and phases[1].start_ms == 50.0
    assert phases[2].start_ms == 990.0  # it left our queue at 1000


measured = st.floats(0, 1e5)


@given(measured, measured, measured, measured, measured, measured)
def test_parts_follow_each_other_without_holes(queue, connect, first, more, rest, close):
    row = {
        "queue_ms": queue,
        "connect_ms": connect,
        "ttft_ms": first,
        "ttfo_ms": first + more,
        "last_token_ms": first + more + rest,
        "duration_ms": first + more + rest + close,
    }
    phases = phases_of(row, "a")
    for before, after in pairwise(phases):
        assert abs(after.start_ms - before.end_ms) <= 0.06
    if phases:
        total = queue + connect + row["duration_ms"]
        assert abs(phases[-1].end_ms - total) <= 0.06
