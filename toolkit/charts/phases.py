"""The parts of a call on one clock: queued, connecting, waiting, reasoning, answering, closing.

Reads rows of the table `calls` (or `Call.as_row()`); phases that were not measured are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_TOO_SHORT_MS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of one attempt; milliseconds since the request was first asked.

    Attributes:
        lane: label at the left of the bar.
        phase: a name of `palette.PHASES`.
        start_ms, end_ms: when it began and ended.
        note: additional hover text.
    """

    lane: str
    phase: str
    start_ms: float
    end_ms: float
    note: str = ""


def phases_of(row: Mapping[str, Any], lane: str, offset_ms: float = 0.0) -> list[Phase]:
    """The parts of one attempt, in order, the first beginning at `offset_ms`."""
    dialled_ms = offset_ms + (number(row, "queue_ms") or 0.0)
    # A request is sent once it is connected: connecting is before TTFT, not part of it.
    sent_ms = dialled_ms + (number(row, "connect_ms") or 0.0)
    end_ms = number(row, "duration_ms")
    ttft_ms, ttfo_ms = number(row, "ttft_ms"), number(row, "ttfo_ms")
    last_ms = number(row, "last_token_ms")
    marks: list[tuple[str, float, float | None]] = [
        ("queued", offset_ms, dialled_ms),
        ("connecting", dialled_ms, sent_ms),
        ("waiting", sent_ms, _at(sent_ms, ttft_ms, end_ms)),
    ]
    if ttft_ms is not None:
        answer_ms = ttft_ms if ttfo_ms is None else ttfo_ms
        thinks_to_the_end = ttfo_ms is None and bool(row.get("reasoning_text"))
        if thinks_to_the_end:
            answer_ms = last_ms if last_ms is not None else ttft_ms
        marks.append(("reasoning", sent_ms + ttft_ms, sent_ms + answer_ms))
        marks.append(("answering", sent_ms + answer_ms, _at(sent_ms, last_ms, end_ms)))
        if last_ms is not None and end_ms is not None:
            marks.append(("closing", sent_ms + last_ms, sent_ms + end_ms))
    note = str(row.get("error_code") or row.get("finish_reason") or "")
    return [
        Phase(lane=lane, phase=name, start_ms=start, end_ms=end, note=note)
        for name, start, end in marks
        if end is not None and end - start > _TOO_SHORT_MS
    ]


def phases_of_attempts(rows: Sequence[Mapping[str, Any]], lane: str) -> list[Phase]:
    """The parts of all attempts of one request on one lane, each where it began.

    An attempt that failed ends in a mark of its own, named `failed`.
    """
    if not rows:
        return []
    first = _asked_at(rows[0])
    phases: list[Phase] = []
    for row in rows:
        start = _asked_at(row)
        offset_ms = (start - first).total_seconds() * 1000 if start and first else 0.0
        own = phases_of(row, lane, offset_ms)
        phases += own
        if row.get("status") == "error":
            end_ms = own[-1].end_ms if own else offset_ms
            code = str(row.get("error_code") or "failed")
            phases.append(
                Phase(lane=lane, phase="failed", start_ms=end_ms, end_ms=end_ms, note=code)
            )
    return phases


def number(row: Mapping[str, Any], column: str) -> float | None:
    """A measured value of a row, None where there is none (a frame's NaN is none)."""
    value = row.get(column)
    if value is None or isinstance(value, bool):
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _at(sent_ms: float, *candidates: float | None) -> float | None:
    found = next((c for c in candidates if c is not None), None)
    return None if found is None else sent_ms + found


def _asked_at(row: Mapping[str, Any]) -> datetime | None:
    """`started_at` is when an attempt left our own queue; it was asked before that."""
    value = row.get("started_at")
    if not isinstance(value, datetime):
        return None
    return value - timedelta(milliseconds=number(row, "queue_ms") or 0.0)
