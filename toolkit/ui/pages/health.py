"""Health: which provider is up, how fast and how reliable each is, and what happened when."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.health import health_queries as ask
from toolkit.health.view import blank_days, read_picture
from toolkit.toolkit import current
from toolkit.ui.compare.panes import error_card
from toolkit.ui.components.text import own
from toolkit.ui.health.cards import MOST_CARDS, CardActs, draw_cards, draw_table
from toolkit.ui.health.health_labels import how_things_are, what_was_lost
from toolkit.ui.health.manual_check import draw_check, is_checking, start_check
from toolkit.ui.health.model_states import draw_models
from toolkit.ui.health.objectives_panel import draw_objectives, draw_watch
from toolkit.ui.health.provider_detail import (
    SPANS,
    USUAL_SPAN,
    Wanted,
    draw_against,
    draw_incidents,
    draw_over_time,
    draw_uptime,
)
from toolkit.ui.health.uptime_strip import Days

LOOK_EVERY_S = 10.0
TABS = ["Over time", "Models", "Uptime", "Objectives", "Compare", "Incidents"]

toolkit = current()


def check_one(name: str) -> None:
    """Ask one provider now."""
    start_check(toolkit, [name])


def show_one(name: str) -> None:
    """Choose the provider of the lower half."""
    st.session_state["provider"] = name


def hold_one(name: str, is_paused: bool) -> None:
    """Probe a provider no more, or again."""
    try:
        (toolkit.health.resume if is_paused else toolkit.health.pause)(name)
    except ToolkitError as error:
        st.session_state["health-trouble"] = error


ACTS = CardActs(check=check_one, show=show_one, hold=hold_one)


def minute_after(now: datetime) -> datetime:
    """The end of the running minute: time axes move once a minute, not with every look."""
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


def draw_head(rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """How things are in a sentence, and the button that asks everybody."""
    with toolkit.store.reading() as reader:
        losses = ask.losses(now).rows(reader)[0]
    st.markdown(own(f"{how_things_are(rows)} {what_was_lost(losses)}"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Check all",
            key="check-all",
            icon=":material/network_check:",
            on_click=start_check,
            args=(toolkit,),
            disabled=is_checking(),
            help="Asks every provider in use for its free model listing.",
        )
        draw_watch(toolkit, now)
    draw_check()


def chosen(rows: Sequence[Mapping[str, Any]], now: datetime) -> Wanted:
    """Whose details are shown, against whom, and since when; all of it in the address."""
    names = sorted(row["provider"] for row in rows)
    told = st.session_state.get("provider"), st.query_params.get("provider")
    if not set(told) & set(names):
        st.session_state["provider"] = rows[0]["provider"]  # the worst one, at the first look
    with st.grid(3, min_column_width=200):
        # No default: a value that is the default would not be kept in the address.
        provider = st.selectbox("Provider", names, key="provider", index=None, bind="query-params")
        against = st.selectbox(
            "Against", names, key="against", index=None, placeholder="nobody", bind="query-params"
        )
        span = st.selectbox(
            "Time", list(SPANS), key="time", index=list(SPANS).index(USUAL_SPAN),
            bind="query-params",
        )  # fmt: skip
    other = None if against == provider else against
    return Wanted(
        provider=provider or names[0],
        against=other,
        span=span or USUAL_SPAN,
        now=minute_after(now),
    )


def draw_details(
    rows: Sequence[Mapping[str, Any]], strips: Mapping[str, Days], now: datetime
) -> None:
    """The lower half: one provider by time. Only the open tab is computed."""
    wanted = chosen(rows, now)
    if len(rows) > MOST_CARDS:
        mine = [row for row in rows if row["provider"] == wanted.provider]
        draw_cards(mine, strips, ACTS, is_checking=is_checking())
    over_time, models, uptime, objectives, compare, incidents = st.tabs(
        TABS, key="tab", bind="query-params"
    )
    if over_time.open:
        with over_time:
            draw_over_time(toolkit, wanted)
    if models.open:
        with models:
            draw_models(toolkit, wanted.provider)
    if uptime.open:
        with uptime:
            draw_uptime(toolkit, wanted, strips[wanted.provider])
    if objectives.open:
        with objectives:
            draw_objectives(toolkit, wanted.provider)
    if compare.open:
        with compare:
            draw_against(toolkit, wanted, rows)
    if incidents.open:
        with incidents:
            draw_incidents(toolkit, wanted)


@st.fragment(run_every=LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def draw_page() -> None:
    """All of it, again and again; what a person chose lives in widgets and the address."""
    try:
        now = datetime.now(UTC)
        picture = read_picture(toolkit, now)
        rows = picture.rows
        draw_head(rows, now)
        if not rows:
            st.caption("No provider is in use yet.")
            st.page_link("providers.py", label="Add a provider", icon=":material/key:")
            return
        nothing_seen = not any(row["last_at"] or row["uptime_n"] for row in rows)
        if nothing_seen:
            st.caption(
                "Nothing was seen of any provider yet. Call a model, or press “Check all”: it asks "
                "each provider for its free model listing and costs nothing."
            )
        blank = blank_days(now)
        strips = {row["provider"]: picture.strips.get(row["provider"], blank) for row in rows}
        if len(rows) > MOST_CARDS:
            draw_table(rows)
        else:
            draw_cards(rows, strips, ACTS, is_checking=is_checking())
        if nothing_seen:
            return
        st.caption(
            "Latency, errors and their 95 % Wilson intervals are of your own live calls, never "
            "of probes. An error is held against a provider when it or the network is to "
            "blame; limits, refused keys and bad requests are not. States and uptime rest on "
            "calls and probes."
        )
        draw_details(rows, strips, now)
    except ToolkitError as error:
        error_card(error)


st.title("Health")
if (failed := st.session_state.pop("health-trouble", None)) is not None:
    error_card(failed)
draw_page()
