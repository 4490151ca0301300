"""Calls: every request with its attempts, what it cost, where its time went, and what failed."""

from typing import Any

import streamlit as st
from pandas import DataFrame

from toolkit.charts import ecdf, errors_over_time, percentiles_over_time
from toolkit.errors import ToolkitError
from toolkit.store.queries import Query
from toolkit.toolkit import current
from toolkit.ui.calls import page_queries as ask
from toolkit.ui.calls.call_detail import draw_request
from toolkit.ui.calls.call_table import draw_summary, draw_table
from toolkit.ui.calls.filters import FILTERED_BY, chosen_filter
from toolkit.ui.compare.panes import error_card
from toolkit.ui.compare.session import compare_state
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.home.first_use import ask_two_models

toolkit = current()


def forget_request() -> None:
    """The side panel was closed."""
    st.query_params.pop("request", None)


@st.dialog("Request", width=720, position="right", on_dismiss=forget_request)  # type: ignore[untyped-decorator]
def request_panel(request_id: str) -> None:
    """One request, in a panel at the side."""
    query = ask.attempts_of(request_id)
    with toolkit.store.reading() as reader:
        rows = query.rows(reader)
    if rows:
        draw_request(rows, query)
    else:
        st.caption("No such request is recorded here.")


def draw_charts(chosen: ask.CallFilter, drawn: list[tuple[Query, DataFrame]]) -> None:
    """Latency as a distribution and over time, and errors by class."""
    named = {"of": chosen.words}
    figures: tuple[tuple[str, Any, dict[str, str]], ...] = (
        ("ttft-ecdf", ecdf, {}),
        ("ttft-time", percentiles_over_time, named),
        ("errors-time", errors_over_time, named),
    )
    for (key, draw, options), (query, rows) in zip(figures, drawn, strict=True):
        figure = draw(rows, **options)
        told = "".join(f", {name}={value!r}" for name, value in options.items())
        code = (
            f"import toolkit as tk\n\nrows = {query.python}\ntk.charts.{draw.__name__}(rows{told})"
        )
        draw_chart(figure, key=key, sql=query.text, python=code)


def draw_calls() -> None:
    """Filters, totals, table and charts of one consistent picture of the store."""
    with toolkit.store.reading() as reader:
        known = {
            name: [row["value"] for row in ask.choices(name).rows(reader)] for name in FILTERED_BY
        }
        count = ask.how_many().rows(reader)[0]["n"]
    if not known["origin"]:
        st.caption("Every call made from here, from Python or from the shell is listed here.")
        ask_two_models(toolkit, compare_state())
        return
    # Of millions of calls the newest are wanted first; all of them would be waited for.
    chosen = chosen_filter(known, usual=ask.USUAL_SPAN if count > ask.MANY_CALLS else ask.EVER)
    with toolkit.store.reading() as reader:
        totals = ask.summary(chosen).rows(reader)[0]
        listed = ask.requests(chosen).rows(reader)
        width_s = ask.bucket_of(totals["first_at"], totals["last_at"])
        queries = (
            ask.latencies(chosen),
            ask.percentiles(chosen, width_s),
            ask.errors(chosen, width_s),
        )
        drawn = [(query, query.frame(reader)) for query in queries]
    draw_summary(totals)
    wanted = draw_table(listed) or st.query_params.get("request")
    draw_charts(chosen, drawn)
    if wanted:
        st.query_params["request"] = wanted
        request_panel(wanted)


st.title("Calls")
try:
    draw_calls()
except ToolkitError as error:
    error_card(error)
