"""The tables of `toolkit health status`: states with symbol and label, shares with n."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from toolkit.charts.numbers import UNKNOWN, count, duration, share
from toolkit.cli.output import Column
from toolkit.cli.views.model_views import format_when

MARKS: Final = {
    "healthy": "●", "degraded": "◐", "down": "○", "unknown": "◌",
    "auth_error": "⚿", "rate_limited": "⏳", "paused": "⏸",
}  # fmt: skip

STATUS: Final[tuple[Column, ...]] = (
    Column("provider", "Provider"),
    Column("state", "State"),
    Column("reason", "Reason"),
    Column("since", "Since", lambda when: UNKNOWN if when is None else format_when(when)),
    Column("last_success_at", "Last success", format_when),
    Column("errors_now", "Errors 30 min", is_optional=True),
    Column("errors_day", "Errors 1 day", is_optional=True),
    Column("ttft", "TTFT p50 / p95 (n)", is_optional=True),
    Column("uptime", "Good, 90 days", is_optional=True),
    Column("left", "Requests left", is_optional=True),
)

MODELS: Final[tuple[Column, ...]] = (
    Column("model", "Model"),
    Column("state", "State"),
    Column("reason", "Reason"),
    Column("since", "Since", lambda when: UNKNOWN if when is None else format_when(when)),
    Column("last_success_at", "Last success", format_when),
    Column("failed", "Failed", is_number=True),
)


def mark(state: str) -> str:
    """A state with its symbol, as `● healthy`."""
    return f"{MARKS.get(state, '?')} {state.replace('_', ' ')}"


def model_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `HealthService.model_states` with the cells of `MODELS`."""
    failed = f"{count(row['bad'])} of {count(row['n'])}"
    return {**row, "state": mark(row["state"]), "failed": failed}


def status_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `read_overview` with the cells of `STATUS`; unknown values are dashes."""
    left, limit, n = row["requests_remaining"], row["requests_limit"], row["ttft_n"]
    quantiles = f"{duration(row['ttft_p50_ms'])} / {duration(row['ttft_p95_ms'])} ({count(n)})"
    return {
        **row,
        "state": mark(row["state"]),
        "reason": _reason(row),
        "errors_now": share(row["errors_30m"], row["n_30m"]) if row["n_30m"] else None,
        "errors_day": share(row["errors_1d"], row["n_1d"]) if row["n_1d"] else None,
        "ttft": quantiles if n else None,
        "uptime": share(row["uptime_good"], row["uptime_n"]) if row["uptime_n"] else None,
        "left": None if left is None or not limit else f"{count(left)} of {count(limit)}",
    }


def _reason(row: Mapping[str, Any]) -> str:
    """The reason, and the number of its models with problems."""
    troubled = len(row["models_in_trouble"])
    if not troubled or row["state"] in ("down", "auth_error"):
        return str(row["reason"])
    models = "1 model" if troubled == 1 else f"{count(troubled)} models"
    return f"{row['reason']}; {models} in trouble (--models)"
