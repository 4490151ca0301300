"""The Home page: tiles with a trend, items that need attention, and other changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import streamlit as st

from toolkit.charts.numbers import duration, money
from toolkit.store.queries import app_pages as queries
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import compare_state
from toolkit.ui.components import pictures
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.format import UNKNOWN, at, count, share
from toolkit.ui.components.page_head import leave_notice, page_head, section
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain
from toolkit.ui.home.first_use import ask_two_models
from toolkit.ui.home.needs import Change, Need, find_changes, find_needs

# When news were last marked as seen: a mark in the home folder; reading does not move it.


_MARK: Final = "last-visit"


def last_seen(home: Path) -> datetime | None:
    """When the news were last marked as seen; None: never."""
    mark = home / _MARK
    return datetime.fromtimestamp(mark.stat().st_mtime, UTC) if mark.exists() else None


def mark_seen(home: Path) -> None:
    """Mark the news as seen.

    Raises:
        OSError: the home folder cannot be written.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / _MARK).touch(mode=0o600)


SPANS: Final[Mapping[str, timedelta]] = {"24 h": timedelta(days=1), "7 d": timedelta(days=7)}
NEWS: Final = "new"
_SPEND_DAYS: Final = 14
_WIDE: Final = (58, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number of the head of the page.

    Attributes:
        title: what is counted; it is the link.
        value: the number.
        detail: one small line under it.
        picture: its course as SVG.
        words: the course for readers who cannot see it.
        page: the page behind it, and the query of its address.
        query: the query of that address.
        help: how it is counted.
    """

    title: str
    value: str
    detail: str
    picture: str
    words: str
    page: str
    query: Mapping[str, str]
    help: str


def draw_first_start(toolkit: Toolkit, *, has_demo: bool = False) -> None:
    """What this is, and one button to a real answer; then the next step."""
    with page_head("Home"):
        pass
    st.markdown(
        "Send models the same question and compare answers, speed and cost. Everything stays on "
        "this machine."
    )
    ask_two_models(toolkit, compare_state())
    st.caption("A small model runs on this machine's own processor; no data leaves it.")
    st.page_link("providers.py", label="Or add a provider and its key first", icon=":material/key:")
    if has_demo:
        st.page_link(
            "calls.py",
            label="Charts of the demo history are on the pages Calls, Health, Models and Spend",
            icon=":material/bar_chart:",
        )


def draw_home(toolkit: Toolkit) -> None:
    """The whole page."""
    now = datetime.now(UTC)
    seen = last_seen(toolkit.settings.home)
    span = st.query_params.get("span", NEWS)
    since = now - SPANS[span] if span in SPANS else seen or now - timedelta(days=1)
    needs = find_needs(toolkit, since, now)
    with page_head("Home", _sentence(since, needs, now)):
        st.segmented_control(
            "Since", [NEWS, *SPANS], default=NEWS, required=True, key="span",
            bind="query-params", label_visibility="collapsed",
            help="Counts what is new since you last marked the news as seen.",
        )  # fmt: skip
        st.button(
            "Mark as seen",
            icon=":material/done_all:",
            on_click=_seen,
            args=(toolkit,),
            help="Clears the news. Opening this page does not mark them as seen.",
        )
    _draw_tiles(_tiles(toolkit, since, now))
    left, right = st.columns(_WIDE, gap="medium")
    with left:
        _draw_needs(needs)
        _draw_changes(find_changes(toolkit, since, now))
    with right:
        _draw_spend(toolkit, now)
        _draw_models(toolkit, now)
    _draw_next_step(toolkit)


def _sentence(since: datetime, needs: Sequence[Need], now: datetime) -> str:
    when = f"Since {at(since, st.context.timezone, now=now)}"
    if not needs:
        return f"{when}: nothing needs your attention."
    verb = "thing needs" if len(needs) == 1 else "things need"
    return f"{when}: **{len(needs)} {verb} your attention**, first {plain(needs[0].what)}."


def _seen(toolkit: Toolkit) -> None:
    try:
        mark_seen(toolkit.settings.home)
    except OSError:
        leave_notice("The home folder is not writable, so the news could not be marked as seen.")
        return
    leave_notice("Marked as seen.")


def _tiles(toolkit: Toolkit, since: datetime, now: datetime) -> list[Tile]:
    start = (now - timedelta(days=queries.TREND_DAYS - 1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    with toolkit.store.reading() as reader:
        total = queries.totals(since).rows(reader)[0]
        daily = {row["day"]: row for row in queries.by_day(start).rows(reader)}
        began = {row["day"]: row["n"] for row in queries.incidents_by_day(start).rows(reader)}
        incidents = queries.incident_counts(since).rows(reader)[0]
        verdicts = queries.newest_verdicts().rows(reader)
        hourly = [row["p50_ms"] or 0.0 for row in queries.ttft_by_hour(now).rows(reader)]
    days = [start.date() + timedelta(days=n) for n in range(queries.TREND_DAYS)]

    def course(name: str) -> list[float]:
        return [float(daily.get(day, {}).get(name) or 0) for day in days]

    return [
        *_traffic_tiles(toolkit, total, course, hourly, since),
        *_trouble_tiles(incidents, verdicts, days, began),
    ]


def _traffic_tiles(
    toolkit: Toolkit,
    total: Mapping[str, Any],
    course: Any,
    hourly: Sequence[float],
    since: datetime,
) -> list[Tile]:
    requests, failed = int(total["requests"]), int(total["failed"])
    over = f"of the last {queries.TREND_DAYS} days"
    cap = toolkit.settings.daily_budget_usd
    spent = money(total["cost_usd"]) if total["cost_usd"] is not None else UNKNOWN
    unpriced = f"{count(total['unpriced'])} unpriced" if total["unpriced"] else "all priced"
    window = {"span": "…", "from": since.isoformat(timespec="seconds")}
    return [
        Tile(
            title="Requests", value=count(requests), detail=_against(course("requests")),
            picture=pictures.bars(course("requests")), words=f"Requests a day {over}",
            page="calls.py", query=window, help="Your own requests; health checks are not counted.",
        ),
        Tile(
            title="Failed", value=count(failed),
            detail=share(failed, requests) if requests else "no request",
            picture=pictures.bars(course("failed"), is_bad=True),
            words=f"Failed attempts a day {over}", page="calls.py",
            query={**window, "state": "error"}, help="Requests whose last attempt failed.",
        ),
        Tile(
            title="Spend", value=spent,
            detail=unpriced if cap is None else f"budget {money(cap)} a day · {unpriced}",
            picture=pictures.bars(course("cost_usd")), words=f"Spend a day {over}",
            page="spend.py", query={}, help="Calls without a known price are not included.",
        ),
        Tile(
            title="TTFT p50", value=duration(total["ttft_p50_ms"]),
            detail=f"n = {count(total['ttft_n'])}", picture=pictures.bars(hourly),
            words="TTFT p50 by hour of the last day", page="models.py", query={},
            help="Time to first token of your answered calls, measured on the wire.",
        ),
    ]  # fmt: skip


def _trouble_tiles(
    incidents: Mapping[str, Any],
    verdicts: Sequence[Mapping[str, Any]],
    days: Sequence[date],
    began: Mapping[Any, int],
) -> list[Tile]:
    failed = sum(int(row["failed"]) for row in verdicts)
    cases = sum(int(row["cases"]) for row in verdicts)
    open_now, over_now = int(incidents["open"]), int(incidents["over"])
    by_day = [float(began.get(day, 0)) for day in days]
    fallen: dict[Any, float] = {}
    for row in verdicts:
        fallen[row["judged_at"].date()] = fallen.get(row["judged_at"].date(), 0) + row["failed"]
    return [
        Tile(
            title="Incidents", value=count(open_now + over_now),
            detail=f"{open_now} open · {over_now} over" if open_now else f"{over_now} over",
            picture=pictures.bars(by_day, is_bad=True), words="New incidents by day",
            page="health.py", query={}, help="Periods in which a provider was degraded or down.",
        ),
        Tile(
            title="Regressions", value=count(failed),
            detail=f"of {count(cases)} cases" if cases else "no suite yet",
            picture=pictures.bars([fallen.get(day, 0.0) for day in days], is_bad=True),
            words="Regressed cases, by day", page="regressions.py", query={},
            help="Cases that fail in the newest run of each suite.",
        ),
    ]  # fmt: skip


def _against(course: Sequence[float]) -> str:
    """How yesterday compares with the day before; today is not over."""
    *_, before, yesterday, _today = course
    if not before or not yesterday:
        return "today and the days before"
    return f"yesterday {100 * (yesterday - before) / before:+.0f} %"


def _draw_tiles(tiles: Sequence[Tile]) -> None:
    with st.grid(6, min_column_width=150):
        for number, tile in enumerate(tiles):
            with st.container(border=True, gap=4, key=f"tile-{tile.page[:-3]}-{number}"):
                st.page_link(
                    tile.page, label=tile.title, query_params=dict(tile.query), help=tile.help
                )
                st.metric(tile.title, tile.value, label_visibility="collapsed")
                st.caption(tile.detail)
                st.image(tile.picture, width="stretch", alt=tile.words)


def _draw_needs(needs: Sequence[Need]) -> None:
    section("Needs attention")
    if not needs:
        st.caption(
            "No provider has problems, no case regressed, and no model you use is retired soon."
        )
        return

    def go(index: int) -> None:
        st.session_state["go-to"] = needs[index]

    draw_table(
        {
            "State": Column([need.state for need in needs], 112, "state", on_phone=True),
            "What": Column([need.what for need in needs], 150, on_phone=True),
            "Why": Column([need.why for need in needs], 246),
            "Since": Column([need.since for need in needs], 56),
            "Go to": Column(
                [need.action for need in needs], 112, "button", on_phone=True, press=go
            ),
        },
        key="needs",
        alt="Items that need attention, worst first",
        row_px=30,
    )
    if (chosen := st.session_state.pop("go-to", None)) is not None:
        st.switch_page(chosen.page, query_params=dict(chosen.query))


def _draw_changes(changes: Sequence[Change]) -> None:
    section("Other changes")
    if not changes:
        st.caption("No other changes.")
        return
    chosen = draw_table(
        {
            "When": Column([change.when for change in changes], 84),
            "What": Column([change.what for change in changes], 84, on_phone=True),
            "Name": Column([change.name for change in changes], 250, on_phone=True),
            "How": Column([change.how for change in changes], 248),
        },
        key="changes",
        opens=("What", "Name", "How"),
        alt="Changes of models in use, ended runs and new boards",
        most_px=320,
    )
    if chosen is not None:
        change = changes[chosen]
        st.switch_page(change.page, query_params=dict(change.query))


def _draw_spend(toolkit: Toolkit, now: datetime) -> None:
    from toolkit import charts

    since = (now - timedelta(days=_SPEND_DAYS - 1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    query = queries.spend_by_provider(since)
    with toolkit.store.reading() as reader:
        rows = query.frame(reader)
    if not len(rows):
        section("Spend by provider")
        st.caption("No call with a known price in the last 14 days.")
        return
    figure = charts.spend_bars(rows, of=f"last {_SPEND_DAYS} days", height_px=230)
    python = f"import toolkit as tk\n\ntk.charts.spend_bars({query.python})"
    draw_chart(figure, key="home-spend", sql=query.text, python=python)


def _draw_models(toolkit: Toolkit, now: datetime) -> None:
    with toolkit.store.reading() as reader:
        rows = queries.models_in_use(now).rows(reader)
    if not rows:
        return
    section("TTFT of your models")
    chosen = draw_table(
        {
            "Model": Column([row["model"] for row in rows], 190, on_phone=True),
            "24 h": Column([row["course"] for row in rows], 120, "line"),
            "p50 ms": Column([row["p50_ms"] for row in rows], 64, "number", on_phone=True),
            "Calls": Column([row["calls"] for row in rows], 56, "number"),
        },
        key="used-models",
        opens=("Model",),
        alt="Time to first token of the models called most in the last day",
    )
    if chosen is not None:
        st.switch_page("models.py", query_params={"model": rows[chosen]["model"]})


def _draw_next_step(toolkit: Toolkit) -> None:
    """The second step of a first start: a key, where there is none yet."""
    if any(not one.is_local for one in toolkit.providers.list(active=True)):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Next: compare with a cloud model.", width="content")
        if st.button("Add a provider and its key", type="primary", icon=":material/key:"):
            st.switch_page("providers.py", query_params={"add": "yes"})
