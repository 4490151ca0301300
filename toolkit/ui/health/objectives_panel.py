"""What is asked of a provider and whether it holds; who checks by itself, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import OBJECTIVE
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import UNKNOWN, ago, count, duration, money, share

_BURNS: Final = ("1h", "6h", "3d")
_ALERTS: Final = {
    "fast": "Burning fast: the monthly error budget is used up within two days.",
    "steady": "Burning steadily: the monthly error budget is used up within five days.",
    "slow": "Burning slowly: the error budget will not last the month.",
}

Row = Mapping[str, Any]


def draw_objectives(toolkit: Toolkit, provider: str) -> None:
    """Objectives of one provider with error budget and burn rates."""
    rows = toolkit.health.slo(provider)
    days = f"{rows[0]['days']:g} days" if rows else ""
    st.dataframe(
        {
            "Objective": [_objective(row) for row in rows],
            "Verdict": [OBJECTIVE[row["verdict"]].label for row in rows],
            f"Met, {days}": [share(row["good"], row["total"]) for row in rows],
            "95 %": [_interval(row) for row in rows],
            "Error budget": [_budget(row) for row in rows],
            **{f"Burn {window}": [_burn(row, window) for row in rows] for window in _BURNS},
        },
        hide_index=True,
        key="health-objectives",
        column_config={"Objective": st.column_config.TextColumn(pinned=True)},
        alt=f"Objectives of {provider}",
    )
    for row in rows:
        if row["alert"]:
            shown = _ALERTS.get(row["alert"], row["alert"])
            st.warning(f"{_objective(row)}. {shown}", icon=":material/local_fire_department:")
    goodput = rows[0]["goodput"] if rows else None
    if goodput is not None:
        total = int(rows[0]["total"])
        in_time = share(round(goodput * total), total)
        st.caption(f"Goodput: {in_time} requests were answered within both limits.")
    st.caption(
        "Based on your own live calls. The error budget is the share of calls that may fail "
        "while the objective is still met. A burn rate of 1 uses it up exactly in that time; it "
        "needs at least 20 calls. Set `objectives` in settings.toml to change the targets."
    )
    with st.popover("Python", key="health-slo-py", type="tertiary", icon=":material/code:"):
        python = f"import toolkit as tk\n\ntk.health.slo({provider!r})"
        st.code(python, language="python", wrap_lines=True)


def watch_words(toolkit: Toolkit, now: datetime) -> str:
    """Which process checks by itself and when next, and what checks cost today."""
    status, budget = toolkit.health.monitor_status(), toolkit.health.budget()
    parts = [_who_checks(status, now)]
    if status["is_offline"]:
        parts.append(
            "This machine seems to be offline: failures are not counted against providers."
        )
    parts.append(_budget_words(budget, now))
    return " ".join(parts)


def _who_checks(status: Row, now: datetime) -> str:
    if status["running"] == "nowhere":
        return "No regular checks are running."
    who = (
        "this app" if status["running"] == "here" else f"{status['what']}, process {status['pid']}"
    )
    due = [at for at in status["next_at"].values() if at is not None]
    following = f", next {ago(min(due), now)}" if due else ""
    every = status["interval_s"]
    interval = f"{every / 60:g} min" if every >= 60 else f"{every:g} s"
    return f"Checked every {interval} by {who}{following}."


def _budget_words(budget: Row, now: datetime) -> str:
    spent, limit = budget["spent_usd"], budget["limit_usd"]
    if not limit:
        return f"Checks cost {money(spent)} today; only free model listings are requested."
    due = f", next paid probe {ago(budget['next_at'], now)}" if budget["next_at"] else ""
    left = money(budget["left_usd"])
    return f"Checks cost {money(spent)} of {money(limit)} today, {left} left{due}."


def _objective(row: Row) -> str:
    target = f"{100 * row['target']:g} %"
    if row["threshold_ms"] is None:
        return f"{target} answered"
    what = "TTFT" if row["objective"] == "ttft" else row["objective"]
    return f"{target} {what} within {duration(row['threshold_ms'])}"


def _interval(row: Row) -> str:
    if row["low"] is None:
        return UNKNOWN
    return f"{100 * row['low']:.1f}–{100 * row['high']:.1f} %"


def _budget(row: Row) -> str:
    left = row["budget_left"]
    if left is None:
        return "not enough data"
    failed = count(row["total"] - row["good"])
    if left < 0:
        return f"overdrawn: {failed} of {row['budget']:,.1f}"
    return f"{100 * left:.0f} % left: {failed} of {row['budget']:,.1f} used"


def _burn(row: Row, window: str) -> str:
    rate = row["burn"].get(window)
    return UNKNOWN if rate is None else f"{rate:,.1f}×"
