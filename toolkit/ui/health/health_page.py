"""The Health page: all providers in one table, and the chosen one below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import provider_state, reason_words
from toolkit.errors import ToolkitError
from toolkit.health.view import blank_days, rank, read_picture
from toolkit.store.queries import app_pages
from toolkit.store.queries import health as health_queries
from toolkit.toolkit import Toolkit
from toolkit.ui.components.demo_history import draw_demo_latency
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import UNKNOWN, ago, at, count, exactly, span_of
from toolkit.ui.components.health_marks import forget_troubles
from toolkit.ui.components.page_head import empty, page_head
from toolkit.ui.components.pictures import Days, as_image, strip
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain
from toolkit.ui.health.health_labels import how_things_are, what_was_lost
from toolkit.ui.health.objectives_panel import draw_objectives, watch_words
from toolkit.ui.health.provider_detail import (
    SPANS,
    USUAL_SPAN,
    Wanted,
    draw_against,
    draw_now,
    draw_over_time,
    draw_uptime,
)

# Checks by hand on the Health page: they run in the background, and the page says how far.
#
# Nothing here waits for a provider; a check asks for the free model listing.


_LOOK_EVERY_S = 0.5
_MODELS_IN_SIGHT: Final = 13
_KEY = "health-check"


@dataclass(slots=True)
class Check:
    """A check of this session: whom it asks, and what came."""

    names: tuple[str, ...] | None
    future: Future[list[dict[str, Any]]]

    @property
    def words(self) -> str:
        """Whom it asks, in words."""
        if self.names is None:
            return "every provider in use"
        return self.names[0] if len(self.names) == 1 else f"{count(len(self.names))} providers"


def start_check(toolkit: Toolkit, names: Sequence[str] | None = None) -> None:
    """Ask providers now; None: all that are in use. One check at a time."""
    if is_checking():
        return
    chosen = None if names is None else tuple(names)
    st.session_state[_KEY] = Check(chosen, toolkit.portal.start(toolkit.health.acheck(chosen)))


def is_checking() -> bool:
    """Whether a check of this session still runs."""
    check: Check | None = st.session_state.get(_KEY)
    return check is not None and not check.future.done()


def draw_check() -> None:
    """The progress of a running check, or what came of the last one, until the next begins."""
    check: Check | None = st.session_state.get(_KEY)
    if check is None:
        return
    if not check.future.done():
        _watch()
        return
    try:
        rows = check.future.result()
    except ToolkitError as error:
        error_card(error)
        return
    failed = [row for row in rows if row["status"] != "ok"]
    good = len(rows) - len(failed)
    shown = f"{count(good)} of {count(len(rows))} answered." if rows else "No provider is in use."
    st.caption(f"Checked {plain(check.words)}: {shown}")
    for row in failed[:5]:
        st.caption(
            f"○ {plain(row['provider'])}: {plain(row.get('error_message') or row['status'])}"
        )
    if len(failed) > 5:
        st.caption(f"and {count(len(failed) - 5)} more, listed below.")


@st.fragment(run_every=_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _watch() -> None:
    check: Check = st.session_state[_KEY]
    st.caption(f"◌ Checking {plain(check.words)} …")
    if check.future.done():
        st.rerun()


# The models of one provider on the Health page: which is in trouble while the others answer.


def draw_models(toolkit: Toolkit, provider: str) -> None:
    """Models that were called within a day, the worst first."""
    rows = sorted(toolkit.health.model_states(provider), key=_worst_first)
    if not rows:
        st.caption("No model of this provider was called within the last 24 hours.")
        return
    zone = st.context.timezone
    st.dataframe(
        {
            "Model": [row["model"].partition("/")[2] for row in rows],
            "State": [provider_state(row["state"]).label for row in rows],
            "Reason": [reason_words(row["reason"]) for row in rows],
            "Since": [at(row["since"], zone) for row in rows],
            "Last success": [ago(row["last_success_at"]) for row in rows],
            "Failed": [f"{count(row['bad'])} of {count(row['n'])}" for row in rows],
        },
        hide_index=True,
        height="content" if len(rows) <= _MODELS_IN_SIGHT else 520,
        key="health-models",
        column_config={
            "Model": st.column_config.TextColumn(pinned=True),
            "Failed": st.column_config.TextColumn(alignment="right"),
        },
        alt=f"States of the models of {provider}, worst first",
    )
    st.caption(_evidence_note(rows))


def _evidence_note(rows: Sequence[Mapping[str, Any]]) -> str:
    evidence = sum(row["n"] for row in rows)
    return (
        f"Based on {count(evidence)} of your calls and probes of models, at most the newest 500 "
        f"outcomes of this provider within 24 hours. A model can be down while its provider "
        f"answers; failover uses the state of the provider."
    )


def _worst_first(row: Mapping[str, Any]) -> tuple[int, str]:
    return rank(row["state"]), row["model"]


LOOK_EVERY_S: Final = 10.0
TABS: Final = ("Now", "Over time", "Models", "Uptime", "Objectives", "Compare with")
_TROUBLE_KEY: Final = "health-trouble"

Row = Mapping[str, Any]


def draw_health(toolkit: Toolkit) -> None:
    """The whole page; it is drawn again when something happened, not by the clock."""
    if (failed := st.session_state.pop(_TROUBLE_KEY, None)) is not None:
        error_card(failed)
    now = datetime.now(UTC)
    picture = read_picture(toolkit, now)
    rows = picture.rows
    with page_head("Health", how_things_are(rows)):
        st.segmented_control(
            "Time", list(SPANS), default=USUAL_SPAN, required=True, key="span",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        st.button(
            "Check all",
            key="check-all",
            icon=":material/network_check:",
            on_click=start_check,
            args=(toolkit,),
            disabled=is_checking() or not rows,
            help="Requests the model listing of every provider in use, which is free.",
        )
    draw_check()
    if not rows:
        empty("No provider is in use yet. Providers that are set up are monitored here.")
        if st.button("Add provider", type="primary", icon=":material/add:"):
            st.switch_page("providers.py", query_params={"add": "yes"})
        draw_demo_latency(toolkit)
        return
    _draw_rows(toolkit, rows, picture.strips, now)
    draw_demo_latency(toolkit)
    _look_again(toolkit)


def _draw_rows(
    toolkit: Toolkit, rows: Sequence[Row], strips: Mapping[str, Days], now: datetime
) -> None:
    blank = blank_days(now)
    days = {row["provider"]: strips.get(row["provider"], blank) for row in rows}
    with toolkit.store.reading() as reader:
        hourly = app_pages.ttft_courses(now).rows(reader)
        losses = health_queries.losses(now).rows(reader)[0]
    courses = {row["provider"]: row["course"] for row in hourly}
    names = [str(row["provider"]) for row in rows]
    asked = st.query_params.get("provider")
    opened = asked if asked in names else names[0]  # the worst one, at the first look
    chosen = draw_overview(rows, days, courses, now)
    if chosen and chosen != opened:
        st.query_params["provider"] = opened = chosen
    st.caption(f"{what_was_lost(losses)} {plain(watch_words(toolkit, now))}")
    row = next(row for row in rows if row["provider"] == opened)
    _draw_chosen(toolkit, row, rows, days[opened], now)


def _draw_chosen(
    toolkit: Toolkit, row: Row, rows: Sequence[Row], days: Days, now: datetime
) -> None:
    name, state = str(row["provider"]), provider_state(row["state"])
    _draw_title(toolkit, row, now)
    if not row["calls_1d"] and not row["uptime_n"]:
        st.markdown(f"No data for {plain(name)}: no calls or checks in 90 days.")
        return
    span = st.session_state.get("span") or USUAL_SPAN
    against = st.query_params.get("against")
    wanted = Wanted(
        provider=name,
        against=against if against in {other["provider"] for other in rows} - {name} else None,
        span=span,
        now=_end_of_minute(now),
    )
    tabs = st.tabs(list(TABS), key="tab", bind="query-params", on_change="rerun")
    draws: tuple[Callable[[], None], ...] = (
        lambda: draw_now(toolkit, wanted, state),
        lambda: draw_over_time(toolkit, wanted),
        lambda: draw_models(toolkit, name),
        lambda: draw_uptime(toolkit, wanted, days),
        lambda: draw_objectives(toolkit, name),
        lambda: draw_against(toolkit, wanted, rows),
    )
    for tab, draw in zip(tabs, draws, strict=True):
        if tab.open:
            with tab:
                draw()


def _draw_title(toolkit: Toolkit, row: Row, now: datetime) -> None:
    name, state = str(row["provider"]), provider_state(row["state"])
    is_paused = row["state"] == "paused"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(name, anchor=False, width="content")
        st.badge(
            state.label,
            color=state.colour,
            help=f"Since {exactly(row['since'], st.context.timezone)}",
        )
        since = f", for {span_of(row['since'], now)}" if row["since"] else ""
        st.markdown(plain(reason_words(row["reason"])) + since, width="stretch")
        st.button(
            "Check now", key="check-one", type="tertiary", icon=":material/network_check:",
            on_click=start_check, args=(toolkit, [name]), disabled=is_checking(),
        )  # fmt: skip
        st.button(
            "Resume checks" if is_paused else "Pause checks", key="hold", type="tertiary",
            icon=":material/play_arrow:" if is_paused else ":material/pause:",
            on_click=_hold, args=(toolkit, name, is_paused),
            help="A paused provider is not checked; it can still be called.",
        )  # fmt: skip
        failed = int(row["errors_1d"]) + int(row["other_errors_1d"])
        if failed:
            st.page_link(
                "calls.py",
                label=f"Its {failed} failed calls",
                icon=":material/arrow_forward:",
                query_params={"provider": name, "state": "error", "span": "24 h"},
            )


def _hold(toolkit: Toolkit, name: str, is_paused: bool) -> None:
    try:
        (toolkit.health.resume if is_paused else toolkit.health.pause)(name)
    except ToolkitError as error:
        st.session_state[_TROUBLE_KEY] = error
    forget_troubles()


@st.fragment(run_every=LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _look_again(toolkit: Toolkit) -> None:
    """Draw the page again when a call, a check or an incident was recorded since."""
    try:
        with toolkit.store.reading() as reader:
            seen = tuple(app_pages.version().rows(reader)[0].values())
    except ToolkitError:
        return  # the page itself says so when it is next drawn
    before = st.session_state.get("health-version")
    st.session_state["health-version"] = seen
    if before is not None and before != seen:
        st.rerun()


def _end_of_minute(now: datetime) -> datetime:
    """The end of the running minute: time axes move once a minute, not with every look."""
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


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
            "Calls": Column([row["calls_1d"] for row in rows], 54, "number", "Last day"),
            "Failed %": Column([_failed(row) for row in rows], 68, "number",
                               "Calls of the last day that failed because of the provider or the "
                               "network", on_phone=True, style="%.1f"),
            "Headroom": Column([_headroom(row) for row in rows], 90, "progress",
                               "Remaining requests or tokens, as last reported by the provider"),
            "Last answer": Column([_last(row, now) for row in rows], 86),
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
