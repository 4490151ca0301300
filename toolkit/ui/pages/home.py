"""Home: what happened since last time, each count a link; on the first start, one button."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.compare.panes import error_card
from toolkit.ui.compare.session import compare_state
from toolkit.ui.components.format import ago, at, count, money
from toolkit.ui.home.first_use import ask_two_models
from toolkit.ui.home.news import News, news_since, visit

toolkit = current()


def since_last_time() -> datetime:
    """When this home folder was last looked at; a day ago where that is not known."""
    if "last-visit" not in st.session_state:
        st.session_state["last-visit"] = visit(toolkit.settings.home)
    known: datetime | None = st.session_state["last-visit"]
    return known or datetime.now(UTC) - timedelta(days=1)


def draw_news(news: News) -> None:
    """One tile per kind."""
    with st.grid(3, min_column_width=150):
        st.metric("Calls", count(news.calls), border=True)
        st.metric("Failed attempts", count(news.errors), border=True)
        st.metric(
            "Spend",
            money(news.cost_usd),
            border=True,
            help=f"{count(news.unpriced)} answered calls have no known price and are not in it.",
        )
        st.metric("Incidents", count(news.incidents), border=True)
        st.metric("Model changes", count(news.model_changes), border=True)
        st.metric("Regressions", count(news.regressions), border=True)


st.title("LLM Provider Toolkit")
try:
    if toolkit.store.rows("SELECT 1 FROM calls LIMIT 1"):
        since = since_last_time()
        st.caption(
            f"Since {ago(since)}", help=f"Since {at(since, st.context.timezone)}", width="content"
        )
        draw_news(news_since(toolkit.store, since))
        with st.container(horizontal=True):
            st.page_link("compare.py", label="Compare models", icon=":material/compare:")
            st.page_link("calls.py", label="See the calls", icon=":material/receipt_long:")
            st.page_link(
                "calls.py",
                label="See what failed",
                icon=":material/error:",
                query_params={"status": "error"},
            )
            st.page_link(
                "health.py",
                label="See how providers are",
                icon=":material/monitor_heart:",
            )
            st.page_link("providers.py", label="Providers & Keys", icon=":material/key:")
    else:
        since_last_time()
        st.caption(
            "Ask models, see what they say, how fast and for how much; everything stays on this "
            "machine."
        )
        ask_two_models(toolkit, compare_state())
except ToolkitError as error:
    error_card(error)
