"""The table of requests and the sentence of totals above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from toolkit.ui.call_queries import REQUESTS_SHOWN
from toolkit.ui.format import UNKNOWN, ago, count, duration_column, money, rate, share

if TYPE_CHECKING:
    import pandas as pd

_STATE = {"ok": "● ok", "error": "○ error", "cancelled": "⏸ cancelled"}


def draw_summary(totals: Mapping[str, Any]) -> None:
    """Requests, attempts, errors and spend of the live calls shown."""
    attempts = int(totals["attempts"])
    unpriced = int(totals["unpriced"])
    with st.grid(4, min_column_width=140):
        st.metric("Requests", count(totals["requests"]), border=True)
        st.metric(
            "Attempts", count(attempts), border=True, help="Retries and fallbacks count each."
        )
        st.metric("Failed attempts", _errors(totals), border=True)
        st.metric(
            "Spend",
            money(None if _is_missing(totals["cost_usd"]) else totals["cost_usd"]),
            border=True,
            help=f"{count(unpriced)} answered calls have no known price and are not in it.",
        )


def draw_table(frame: pd.DataFrame) -> str | None:
    """One row per request, attempts folded in; returns the request that was chosen."""
    if not len(frame):
        st.caption("No call matches these filters.")
        return None
    records = frame.to_dict("records")
    shown = {
        "when": [ago(row["started_at"]) for row in records],
        "model": [f"{row['provider']}/{row['model']}" for row in records],
        "state": [_state(row) for row in records],
        "TTFT": duration_column(_value(row["ttft_ms"]) for row in records),
        "speed": [rate(_value(row["output_tps"])) for row in records],
        "output tokens": [count(_value(row["output_tokens"])) for row in records],
        "cost": [money(_value(row["cost_usd"])) for row in records],
        "duration": duration_column(_value(row["duration_ms"]) for row in records),
        "attempts": [count(row["attempts"]) for row in records],
        "origin": [str(row["origin"]) for row in records],
    }
    right = st.column_config.TextColumn(alignment="right")
    event = st.dataframe(
        shown,
        hide_index=True,
        height=min(36 * (len(records) + 1) + 4, 420),
        key="requests",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "when": st.column_config.TextColumn(pinned=True),
            **{name: right for name in ("TTFT", "speed", "output tokens", "cost", "duration")},
        },
        alt="Requests, newest first",
    )
    if len(records) == REQUESTS_SHOWN:
        st.caption(f"The newest {REQUESTS_SHOWN} are listed; the totals above count all.")
    chosen = event.selection.rows
    return str(records[chosen[0]]["request_id"]) if chosen else None


def _errors(totals: Mapping[str, Any]) -> str:
    errors, attempts = int(totals["errors"]), int(totals["attempts"])
    return count(errors) if attempts < 5 else f"{count(errors)} ({share(errors, attempts)})"


def _state(row: Mapping[str, Any]) -> str:
    state = _STATE.get(str(row["status"]), str(row["status"]))
    told = f"{state}: {row['error_code']}" if row["status"] == "error" else state
    return told if row["source"] == "live" else f"{told} ({row['source']})"


def _value(value: Any) -> Any:
    return None if _is_missing(value) else value


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)  # noqa: PLR0124 - a frame writes missing as NaN


__all__ = ["UNKNOWN", "draw_summary", "draw_table"]
