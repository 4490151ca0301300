"""Calls: every request with its attempts, what it cost, where its time went, and what failed."""

import streamlit as st

from toolkit.charts import ecdf, errors_over_time, percentiles_over_time
from toolkit.errors import ToolkitError
from toolkit.ui import call_queries as ask
from toolkit.ui.call_detail import draw_request
from toolkit.ui.call_table import draw_summary, draw_table
from toolkit.ui.chart_block import draw_chart
from toolkit.ui.filters import chosen_filter
from toolkit.ui.first_use import ask_two_models
from toolkit.ui.panes import error_card
from toolkit.ui.session import compare_state
from toolkit.workbench.bench import current

bench = current()


def forget_request() -> None:
    """The side panel was closed."""
    st.query_params.pop("request", None)


@st.dialog("Request", width=720, position="right", on_dismiss=forget_request)  # type: ignore[untyped-decorator]
def request_panel(request_id: str) -> None:
    """One request, in a panel at the side."""
    query = ask.attempts_of(request_id)
    rows = query.frame(bench.store).to_dict("records")
    if rows:
        draw_request(rows, query.text)
    else:
        st.caption("No such request is recorded here.")


def charts(chosen: ask.CallFilter, first_at: object, last_at: object) -> None:
    """Latency as a distribution and over time, and errors by class."""
    width_s = ask.bucket_of(first_at, last_at)  # type: ignore[arg-type]
    told = (
        ("ttft-ecdf", ask.latencies(chosen), lambda rows: ecdf(rows), "ecdf(rows)"),
        (
            "ttft-time",
            ask.percentiles(chosen, width_s),
            lambda rows: percentiles_over_time(rows, of=chosen.words),
            f"percentiles_over_time(rows, of={chosen.words!r})",
        ),
        (
            "errors-time",
            ask.errors(chosen, width_s),
            lambda rows: errors_over_time(rows, of=chosen.words),
            f"errors_over_time(rows, of={chosen.words!r})",
        ),
    )
    for key, query, draw, python in told:
        code = f'import toolkit as tk\n\nrows = tk.sql("""\n{query.text}\n""")\ntk.charts.{python}'
        figure = draw(query.frame(bench.store))
        draw_chart(figure, key=key, alt=figure.layout.title.text, sql=query.text, python=code)


st.title("Calls")
try:
    if not bench.store.rows("SELECT 1 FROM calls LIMIT 1"):
        st.caption("Every call made from here, from Python or from the shell is listed here.")
        ask_two_models(bench, compare_state())
        st.stop()
    chosen = chosen_filter(bench.store)
    totals = ask.summary(chosen).frame(bench.store).to_dict("records")[0]
    draw_summary(totals)
    wanted = draw_table(ask.requests(chosen).frame(bench.store)) or st.query_params.get("request")
    charts(chosen, totals["first_at"], totals["last_at"])
    if wanted:
        st.query_params["request"] = wanted
        request_panel(wanted)
except ToolkitError as error:
    error_card(error)
