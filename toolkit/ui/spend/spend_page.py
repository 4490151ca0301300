"""The Spend page: what calls have cost, by day and by what, and what budgets allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from toolkit import charts
from toolkit.charts.states import BUDGET, State
from toolkit.files import csv_of
from toolkit.pricing.spend import Forecast
from toolkit.store.queries import app_pages as queries
from toolkit.toolkit import Toolkit
from toolkit.ui.components import pictures
from toolkit.ui.components.chart_block import draw_bare, draw_sources
from toolkit.ui.components.demo_history import draw_demo_spend
from toolkit.ui.components.format import at, count, money
from toolkit.ui.components.page_head import empty, page_head, section
from toolkit.ui.components.table import Column, draw_table

# Budgets on the Spend page: what each allows, what is used, and how one is set.


NEAR: Final = Decimal("0.8")


def draw_budgets(toolkit: Toolkit) -> None:
    """The caps of the settings with what counts against each now."""
    section("Budgets")
    found = toolkit.budgets.status()
    if not found:
        st.caption(
            "No budget is set. `daily_budget_usd` caps the cost of a day, `budgets` that of a "
            "provider, model or tag."
        )
        st.page_link("settings.py", label="Set a budget", icon=":material/add:",
                     query_params={"setting": "daily_budget_usd"})  # fmt: skip
        return
    spent = [one.state.spent_usd for one in found]
    limits = [one.cap.limit_usd for one in found]
    draw_table(
        {
            "State": Column(
                [budget_state(used, limit) for used, limit in zip(spent, limits, strict=True)],
                80, "state", on_phone=True,
            ),
            "Applies to": Column([one.cap.subject for one in found], 170, on_phone=True),
            "Used": Column(
                [_percent(used, limit) for used, limit in zip(spent, limits, strict=True)],
                110, "progress",
            ),
            "Today": Column(
                [f"{money(used)} of {money(cap)}" for used, cap in zip(spent, limits, strict=True)],
                130, on_phone=True,
            ),
            "Reserved": Column([one.state.reserved_usd for one in found], 84, "money"),
            "Resets": Column(
                [f"{one.free_at:%H:%M} UTC" if one.free_at else "" for one in found], 84
            ),
        },
        key="budgets",
        alt="Budgets and how much of them is used",
    )  # fmt: skip


def _percent(spent: Decimal, limit: Decimal) -> float:
    return float(min(100 * spent / limit, Decimal(100))) if limit else 100.0


def budget_state(spent: Decimal, limit: Decimal) -> State:
    """Whether a budget is fine, near its end, or used up."""
    if spent >= limit:
        return BUDGET["used up"]
    return BUDGET["near"] if spent >= NEAR * limit else BUDGET["fine"]


MONTH: Final = "this month"
SPANS: Final[Mapping[str, int | None]] = {"7 d": 7, "30 d": 30, MONTH: None}
_TREND_DAYS: Final = 14


def draw_spend(toolkit: Toolkit) -> None:
    """The whole page."""
    now = datetime.now(UTC)
    span = st.session_state.get("span") or st.query_params.get("span") or MONTH
    since = _since(span if span in SPANS else MONTH, now)
    with toolkit.store.reading() as reader:
        total = queries.spend_total(since, now + timedelta(hours=1)).rows(reader)[0]
    with page_head("Spend", _sentence(total, span)):
        st.segmented_control(
            "Time", list(SPANS), default=MONTH, required=True, key="span", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        _export(toolkit, since)
    if not total["calls"]:
        empty("No calls in this time range. Costs appear here by day and model.")
        st.page_link("compare.py", label="Compare two models", icon=":material/view_column_2:")
        draw_demo_spend(toolkit)
        return
    _draw_tiles(toolkit, total, now)
    left, right = st.columns((60, 40), gap="medium")
    with left:
        _draw_days(toolkit, since, span)
    with right:
        draw_budgets(toolkit)
        _draw_dearest(toolkit, since)
    _draw_models(toolkit, since, Decimal(total["cost_usd"]))


def _since(span: str, now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = SPANS[span]
    return midnight.replace(day=1) if days is None else midnight - timedelta(days=days - 1)


def _sentence(total: Mapping[str, Any], span: str) -> str:
    spent = _escaped(money(total["cost_usd"]))
    priced = int(total["calls"]) - int(total["unpriced"])
    text = f"**{spent}** {'this month' if span == MONTH else f'in {span}'}"
    text += f", {count(priced)} priced calls"
    if total["unpriced"]:
        text += f"; {count(total['unpriced'])} calls have no known price and are not included"
    if total["partial"]:
        text += f"; {count(total['partial'])} are counted in part, as some of what they used has "
        text += "no price"
    if total["mismatched"]:
        text += f"; for {count(total['mismatched'])} the provider's figure, which counts, differs "
        text += "from the computed one by more than 1 %"
    return text + "."


def _draw_tiles(toolkit: Toolkit, total: Mapping[str, Any], now: datetime) -> None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=_TREND_DAYS - 1)
    with toolkit.store.reading() as reader:
        daily = {row["day"]: row for row in queries.by_day(start).rows(reader)}
        today = queries.spend_total(midnight, now + timedelta(hours=1)).rows(reader)[0]
        usual = queries.spend_total(
            midnight - timedelta(days=7), midnight - timedelta(days=6)
        ).rows(reader)[0]
    days = [start.date() + timedelta(days=number) for number in range(_TREND_DAYS)]
    by_day = [daily.get(day, {}) for day in days]
    spent = [float(row.get("cost_usd") or 0) for row in by_day]
    priced = [int(row.get("answers", 0)) - int(row.get("unpriced", 0)) for row in by_day]
    each = [
        1000 * usd / number if number else 0.0 for usd, number in zip(spent, priced, strict=True)
    ]
    unpriced = [float(row.get("unpriced", 0)) for row in by_day]
    per_call = Decimal(total["cost_usd"]) / max(int(total["calls"]) - int(total["unpriced"]), 1)
    weekday = f"{now:%A}"
    tiles = (
        ("Spent", money(total["cost_usd"]), "in the selected range", spent),
        ("Today", money(today["cost_usd"]), f"last {weekday}: {money(usual['cost_usd'])}", spent),
        ("Per 1,000 calls", money(per_call * 1000), "of priced calls", each),
        (
            "Unpriced",
            count(total["unpriced"]),
            f"of {count(total['calls'])} answered calls",
            unpriced,
        ),
    )
    with st.grid(4, min_column_width=150):
        for title, value, detail, course in tiles:
            with st.container(border=True, gap=4):
                st.caption(title)
                st.metric(title, value, label_visibility="collapsed")
                st.caption(_escaped(detail))
                alt = f"{title}: each of the last {_TREND_DAYS} days"
                st.image(pictures.bars(course), width="stretch", alt=alt)
    st.caption(_escaped(_forecast(toolkit.forecast_spend())))


def _forecast(found: Forecast) -> str:
    if found.expected_usd is None:
        return "A forecast for the month needs three whole days of calls."
    return (
        f"Forecast for {found.month:%B}: {money(found.expected_usd)}, with 80 % probability "
        f"{money(found.low_usd)} to {money(found.high_usd)} (from {count(found.days)} days)."
    )


def _draw_days(toolkit: Toolkit, since: datetime, span: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        section("US $ a day")
        st.space("stretch")
        by = st.segmented_control(
            "By", queries.SPEND_BY, default="provider", required=True, key="by",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
    query = queries.spend_by_day(str(by), since)
    with toolkit.store.reading() as reader:
        rows = query.frame(reader)
    if not len(rows):
        st.caption(f"No priced call has a {by} in this time range.")
        return
    figure = charts.spend_bars(rows, of=f"{span}, by {by}", height_px=300)
    draw_bare(figure, key="spend-days")
    python = f"import toolkit as tk\n\ntk.charts.spend_bars({query.python})"
    draw_sources(key="spend-days", sql=query.text, python=python)


def _draw_dearest(toolkit: Toolkit, since: datetime) -> None:
    with toolkit.store.reading() as reader:
        rows = queries.dearest_calls(since).rows(reader)
    if not rows:
        return
    section("Most expensive calls")
    zone = st.context.timezone
    chosen = draw_table(
        {
            "When": Column([at(row["started_at"], zone) for row in rows], 96, on_phone=True),
            "Model": Column([row["model"] for row in rows], 230, on_phone=True),
            "Cost": Column([row["cost_usd"] for row in rows], 84, "money", on_phone=True),
        },
        key="dearest",
        opens=("When", "Model"),
        alt="Most expensive calls",
    )
    if chosen is not None:
        st.switch_page("calls.py", query_params={"call": str(rows[chosen]["request_id"])})


def _draw_models(toolkit: Toolkit, since: datetime, total: Decimal) -> None:
    query = queries.spend_by_model(since)
    with toolkit.store.reading() as reader:
        rows = query.rows(reader)
        courses = _courses(queries.spend_by_day("model", since).rows(reader), since)
    if not rows:
        return
    section("By model")
    chosen = draw_table(
        {
            "Model": Column([row["model"] for row in rows], 250, on_phone=True),
            "Calls": Column([row["calls"] for row in rows], 70, "number"),
            "Spend": Column([row["cost_usd"] or None for row in rows], 84, "money", on_phone=True),
            "Share": Column(_shares(rows, total), 150, "progress"),
            "Tokens in": Column([row["input_tokens"] for row in rows], 100, "number"),
            "Tokens out": Column([row["output_tokens"] for row in rows], 100, "number"),
            "$ / 1,000 calls": Column(_per_thousand(rows), 110, "number", style="%.2f"),
            "Unpriced": Column([row["unpriced"] for row in rows], 80, "number"),
            "Spend a day": Column(
                [courses.get(str(row["model"]), []) for row in rows], 180, "bars"
            ),
        },
        key="spend-models",
        opens=("Model",),
        alt="Spend by model",
        most_px=480,
    )  # fmt: skip
    if chosen is not None:
        st.switch_page("calls.py", query_params={"model": str(rows[chosen]["model"])})


def _courses(rows: Sequence[Mapping[str, Any]], since: datetime) -> dict[str, list[float]]:
    """The spend of every model on each day since then, days without spend included."""
    first = since.date()
    days = (datetime.now(UTC).date() - first).days + 1
    courses: dict[str, list[float]] = {}
    for row in rows:
        course = courses.setdefault(str(row["name"]), [0.0] * days)
        if 0 <= (day := (row["day"] - first).days) < days:
            course[day] = float(row["cost_usd"])
    return courses


def _shares(rows: Sequence[Mapping[str, Any]], total: Decimal) -> list[float | None]:
    if not total:
        return [None for _ in rows]
    return [float(100 * Decimal(row["cost_usd"]) / total) for row in rows]


def _per_thousand(rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    priced = [int(row["calls"]) - int(row["unpriced"]) for row in rows]
    return [
        1000 * float(row["cost_usd"]) / n if n and row["cost_usd"] else None
        for row, n in zip(rows, priced, strict=True)
    ]


def _export(toolkit: Toolkit, since: datetime) -> None:
    def made() -> bytes:
        with toolkit.store.reading() as reader:
            return csv_of(queries.spend_by_model(since).frame(reader))

    st.download_button(
        "Export", data=made, file_name="spend.csv", mime="text/csv", on_click="ignore",
        icon=":material/download:", key="spend-export",
    )  # fmt: skip


def _escaped(text: str) -> str:
    return text.replace("$", "\\$")
