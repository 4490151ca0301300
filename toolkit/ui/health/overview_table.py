"""The table of the Health page: one dense row per provider, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from toolkit.charts.states import provider_state, reason_words
from toolkit.ui.components.format import UNKNOWN, ago, span_of
from toolkit.ui.components.pictures import Days, as_image, strip
from toolkit.ui.components.table import Column, draw_table

Row = Mapping[str, Any]
_QUIET = ("healthy",)


def draw_overview(
    rows: Sequence[Row],
    strips: Mapping[str, Days],
    courses: Mapping[str, Sequence[float]],
    now: datetime,
) -> str | None:
    """Draw it and return the provider that was clicked.

    Args:
        rows: of `read_picture`, in the order they are shown in.
        strips: ninety days by provider.
        courses: TTFT p50 by hour of the last day, by provider.
        now: the moment everything is seen from, UTC.
    """
    names = [str(row["provider"]) for row in rows]
    states = [provider_state(row["state"]) for row in rows]
    days = [as_image(strip(strips[name])) for name in names]
    chosen = draw_table(
        {
            "Provider": Column(names, 96, on_phone=True),
            "State": Column(states, 112, "state", on_phone=True),
            "Why": Column([_why(row) for row in rows], 250),
            "Since": Column([span_of(row["since"], now) for row in rows], 56),
            "Last 90 days": Column(days, 160, "image",
                                   "One bar per day; darker bars had more failures."),
            "TTFT, 24 h": Column([list(courses.get(name, ())) for name in names], 86, "line"),
            "p50 ms": Column([row["ttft_p50_ms"] for row in rows], 60, "number",
                             "TTFT of your answered calls of the last day", on_phone=True),
            "p95 ms": Column([row["ttft_p95_ms"] for row in rows], 60, "number",
                             "TTFT; not shown below 20 calls"),
            "calls": Column([row["calls_1d"] for row in rows], 54, "number", "Last day"),
            "Failed %": Column([_failed(row) for row in rows], 68, "number",
                               "Calls of the last day that failed because of the provider or the "
                               "network", on_phone=True, style="%.1f"),
            "Headroom": Column([_headroom(row) for row in rows], 90, "progress",
                               "Remaining requests or tokens, as last reported by the provider"),
            "Last answer": Column([_last(row, now) for row in rows], 86, on_phone=True),
        },
        key="health-table",
        opens=("Provider", "State", "Why", "Since", "Last answer"),
        alt="Health of all providers in use, worst first",
        row_px=30,
    )  # fmt: skip
    return None if chosen is None else names[chosen]


def _why(row: Row) -> str:
    if row["state"] in _QUIET:
        troubled = list(row["models_in_trouble"])
        return f"{len(troubled)} of its models in trouble" if troubled else ""
    return reason_words(row["reason"])


def _last(row: Row, now: datetime) -> str:
    return ago(row["last_success_at"], now) if row["last_success_at"] else UNKNOWN


def _failed(row: Row) -> float | None:
    return None if not row["n_1d"] else 100 * row["errors_1d"] / row["n_1d"]


def _headroom(row: Row) -> float | None:
    """The scarcer of requests and tokens, in percent of the limit."""
    parts = [
        100 * min(max(row[f"{name}_remaining"] / row[f"{name}_limit"], 0.0), 1.0)
        for name in ("requests", "tokens")
        if row[f"{name}_remaining"] is not None and row[f"{name}_limit"]
    ]
    return min(parts) if parts else None
