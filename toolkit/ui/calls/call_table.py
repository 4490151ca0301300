"""The table of requests and the sentence of totals above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from toolkit.charts.states import State, call_state
from toolkit.ui.components.format import at, count, duration, money, share
from toolkit.ui.components.table import Column, draw_table

HEIGHT_PX = 516


def totals_sentence(totals: Mapping[str, Any]) -> str:
    """Requests, failed attempts, TTFT and spend of the live calls shown."""
    attempts, unpriced = int(totals["attempts"]), int(totals["unpriced"])
    failed = int(totals["errors"])
    requests = int(totals["requests"])
    parts = [f"**{count(requests)}** request{'' if requests == 1 else 's'}"]
    if attempts != requests:
        parts[0] += f" in {count(attempts)} attempts"
    parts.append(
        f"**{count(failed)}** failed ({share(failed, attempts)})" if failed else "none failed"
    )
    if totals["ttft_n"]:
        slow = f", p95 **{duration(totals['ttft_p95_ms'])}**" if totals["ttft_n"] >= 20 else ""
        parts.append(f"TTFT p50 **{duration(totals['ttft_p50_ms'])}**{slow}")
    parts.append(_spent(totals["cost_usd"], unpriced))
    return " · ".join(parts)


def _spent(usd: Decimal | None, unpriced: int) -> str:
    """What the calls cost, and how many have no known price."""
    without = f"{count(unpriced)} unpriced" if unpriced else ""
    if usd is None:
        return f"**{without}**" if without else "no cost"
    spent = f"**{money(usd)}**".replace("$", "\\$")
    return f"{spent}, {without}" if without else spent


def draw_requests(
    records: Sequence[Mapping[str, Any]], *, opened: str | None, is_beside: bool
) -> str | None:
    """One row per request, attempts folded in; returns the request that was clicked.

    Args:
        records: rows of `call_queries.requests`.
        opened: the request whose panel is open.
        is_beside: whether a panel is open beside the table, which is then narrower.
    """
    zone = st.context.timezone
    columns = {
        "When": Column([at(row["started_at"], zone) for row in records], 84, on_phone=True),
        "State": Column([request_state(row) for row in records], 112, "state", on_phone=True),
        "Model": Column([str(row["model"]) for row in records], 178),
        "Prompt": Column([_line(row["prompt"]) for row in records], 186, on_phone=True),
        "Answer": Column([_line(row["answer"]) for row in records], 186),
        "TTFT ms": Column([row["ttft_ms"] for row in records], 66, "number", on_phone=True),
        "tok/s": Column([row["output_tps"] for row in records], 52, "number", style="%.0f"),
        "Total ms": Column([row["duration_ms"] for row in records], 70, "number"),
        "In": Column([row["input_tokens"] for row in records], 52, "number", "Input tokens"),
        "Out": Column([row["output_tokens"] for row in records], 48, "number", "Output tokens"),
        "Cost": Column([row["cost_usd"] for row in records], 84, "money"),
        "Origin": Column([str(row["origin"]).replace("_", " ") for row in records], 72),
    }
    if is_beside:
        wanted = ("When", "State", "Model", "Prompt", "TTFT ms", "Cost")
        columns = {name: columns[name] for name in wanted}
        columns["Model"].width = columns["Prompt"].width = 150
    ids = [str(row["request_id"]) for row in records]
    chosen = draw_table(
        columns,
        key=f"requests-{'beside' if is_beside else 'alone'}",
        opens=("When", "State", "Model", "Prompt", "Answer"),
        alt="Requests, newest first",
        most_px=HEIGHT_PX,
        opened=ids.index(opened) if opened in ids else None,
    )
    return None if chosen is None else ids[chosen]


def request_state(row: Mapping[str, Any]) -> State:
    """How a request ended; one that was not live says where its answer is from."""
    state = call_state(str(row["status"]), row["error_code"], int(row["attempts"]))
    if row["source"] == "live":
        return state
    return State(state.symbol, f"{state.word} ({row['source']})", state.colour)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
