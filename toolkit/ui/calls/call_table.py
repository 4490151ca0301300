"""The table of requests and the sentence of totals above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.ui.calls.page_queries import REQUESTS_SHOWN
from toolkit.ui.components.format import ago, count, duration_column, money, rate, share

_STATE = {"ok": "● ok", "error": "○ error", "cancelled": "■ cancelled"}


def draw_summary(totals: Mapping[str, Any]) -> None:
    """Requests, attempts, errors and spend of the live calls shown."""
    attempts, unpriced = int(totals["attempts"]), int(totals["unpriced"])
    quiet = {"border": True, "delta_color": "off", "delta_arrow": "off"}
    with st.grid(3, min_column_width=150):
        st.metric("Requests", count(totals["requests"]), f"{count(attempts)} attempts", **quiet)
        failed = int(totals["errors"])
        st.metric("Failed attempts", count(failed), share(failed, attempts), **quiet)
        spent = money(totals["cost_usd"])
        told = "all priced" if not unpriced else f"{count(unpriced)} unpriced"
        st.metric("Spend", spent, told, **quiet)


def draw_table(records: Sequence[Mapping[str, Any]]) -> str | None:
    """One row per request, attempts folded in; returns the request that was chosen."""
    if not records:
        st.caption("No call matches these filters.")
        return None
    shown = {
        "when": [ago(row["started_at"]) for row in records],
        "model": [str(row["model"]) for row in records],
        "state": [_state(row) for row in records],
        "TTFT": duration_column(row["ttft_ms"] for row in records),
        "speed": [rate(row["output_tps"]) for row in records],
        "output tokens": [count(row["output_tokens"]) for row in records],
        "cost": [money(row["cost_usd"]) for row in records],
        "duration": duration_column(row["duration_ms"] for row in records),
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


def _state(row: Mapping[str, Any]) -> str:
    state = _STATE.get(str(row["status"]), str(row["status"]))
    told = f"{state}: {row['error_code']}" if row["status"] == "error" else state
    return told if row["source"] == "live" else f"{told} ({row['source']})"
