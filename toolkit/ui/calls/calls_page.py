"""The Calls page: filters, totals, a histogram, the table and the opened request beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from io import BytesIO
from typing import Any, Final

import streamlit as st

from toolkit import charts
from toolkit.errors import ToolkitError
from toolkit.files import csv_of
from toolkit.store.queries import call_list as queries
from toolkit.store.queries.calls import list_calls
from toolkit.store.queries.filters import CallFilter
from toolkit.toolkit import Toolkit
from toolkit.ui.calls.call_actions import draw_asking
from toolkit.ui.calls.call_detail import draw_request
from toolkit.ui.calls.call_filters import (
    DEMO_SOURCE,
    chosen_facets,
    chosen_time,
    clear_filters,
    draw_views,
    read_counts,
)
from toolkit.ui.calls.call_table import draw_requests, totals_sentence
from toolkit.ui.compare.session import compare_state
from toolkit.ui.components.chart_block import draw_bare, draw_sources
from toolkit.ui.components.format import count
from toolkit.ui.components.page_head import empty, leave_notice, page_head
from toolkit.ui.components.theme import is_phone
from toolkit.ui.home.first_use import ask_two_models

# Export of the calls that a filter shows: CSV, JSON and Parquet, made when it is asked for.


MOST_ROWS: Final = 50_000
MOST_SPANS: Final = 5_000
_FORMATS: Final = {
    "CSV": ("calls.csv", "text/csv"),
    "JSON": ("calls.json", "application/json"),
    "Parquet": ("calls.parquet", "application/vnd.apache.parquet"),
}


def draw_export(toolkit: Toolkit, chosen: CallFilter) -> None:
    """The button and, in it, one download per format."""
    with st.popover("Export", icon=":material/download:"):
        st.caption(
            f"The calls that match these filters with all columns, at most the newest "
            f"{count(MOST_ROWS)}. "
            "`toolkit calls export` writes files of any size."
        )
        for name, (file, mime) in _FORMATS.items():
            st.download_button(
                name,
                data=lambda name=name: export_calls(toolkit, chosen, name),
                file_name=file,
                mime=mime,
                key=f"export-{name}",
                on_click="ignore",
            )
        is_installed = bool(find_spec("opentelemetry") and find_spec("opentelemetry.exporter"))
        st.download_button(
            "OpenTelemetry",
            data=lambda: export_spans(toolkit, chosen),
            file_name="calls-otlp.json",
            mime="application/json",
            key="export-otlp",
            on_click="ignore",
            disabled=not is_installed,
            help=f"Spans in OTLP's JSON, without prompts and answers; at most the newest "
            f"{count(MOST_SPANS)} calls."
            if is_installed
            else "Install it with: pip install 'llm-provider-toolkit[otel]'",
        )


def export_spans(toolkit: Toolkit, chosen: CallFilter) -> bytes:
    """The newest calls of a filter as OpenTelemetry spans, one trace per request.

    Raises:
        StoreError: the database cannot be read.
    """
    from toolkit.calls.otel.exporters import encode_calls, merge

    rows = list_calls(toolkit.store, chosen, MOST_SPANS)[::-1]
    servers = toolkit.tracing.servers_of(row["provider"] for row in rows)
    return merge(list(encode_calls(rows, servers, as_json=True, has_content=False)), as_json=True)


def export_calls(toolkit: Toolkit, chosen: CallFilter, name: str) -> bytes:
    """The file's bytes.

    Raises:
        StoreError: the database cannot be read.
    """
    with toolkit.store.reading() as reader:
        frame = queries.exported(chosen, MOST_ROWS).frame(reader)
    if name == "CSV":
        return csv_of(frame)
    if name == "JSON":
        return frame.to_json(orient="records", date_format="iso").encode()
    target = BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


_PANEL: Final = (59, 41)
_PANEL_PX: Final = 740
_OPENED: Final = "call"


def draw_calls(toolkit: Toolkit) -> None:
    """The whole page: one consistent picture of the database."""
    with toolkit.store.reading() as reader:
        known = int(queries.how_many().rows(reader)[0]["n"])
    if not known:
        with page_head("Calls"):
            pass
        empty("Requests made in this app, from Python or from the command line are listed here.")
        ask_two_models(toolkit, compare_state())
        return
    # Of millions of calls the newest are wanted first; all of them would be waited for.
    usual = queries.USUAL_SPAN if known > queries.MANY_CALLS else queries.EVER
    opened = st.query_params.get(_OPENED)
    with page_head("Calls"):
        head = st.container(width="content")
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = chosen_time(usual)
        with toolkit.store.reading() as reader:
            counts = read_counts(reader, chosen)
        chosen = chosen_facets(chosen, counts)
    with head, st.container(horizontal=True):
        draw_views(toolkit.settings)
        draw_export(toolkit, chosen)
    if chosen.origin_id:
        _draw_board_note()
    if chosen.source == (DEMO_SOURCE,):
        _draw_demo_note(toolkit)
    if opened and is_phone():
        _draw_panel(toolkit, opened)
        return
    if opened:
        left, right = st.columns(_PANEL, gap="medium")
        with right:
            _draw_panel(toolkit, opened)
        with left:
            _draw_list(toolkit, chosen, known, opened)
    else:
        _draw_list(toolkit, chosen, known, None)


def _draw_list(toolkit: Toolkit, chosen: CallFilter, known: int, opened: str | None) -> None:
    page = int(st.session_state.get("page") or st.query_params.get("page") or 1)
    with toolkit.store.reading() as reader:
        totals = queries.summary(chosen).rows(reader)[0]
        width_s = queries.bucket_of(totals["first_at"], totals["last_at"])
        by_time = queries.by_time(chosen, width_s)
        drawn = by_time.frame(reader)
        listed = queries.requests(chosen, page).rows(reader)
    if not listed and page == 1:
        st.markdown(f"None of {count(known)} calls matches these filters.")
        st.button("Clear all filters", on_click=clear_filters)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(totals_sentence(totals), width="stretch")
        if opened is None:
            python = f"import toolkit as tk\n\ntk.charts.calls_by_time({by_time.python})"
            draw_sources(key="calls-by-time", sql=by_time.text, python=python)
    draw_bare(charts.calls_by_time(drawn), key="calls-by-time")
    wanted = draw_requests(listed, opened=opened, is_beside=opened is not None)
    _draw_pages(totals, page, len(listed))
    if opened is None and not is_phone():
        _draw_distributions(toolkit, chosen)
    if wanted and wanted != opened and wanted != st.session_state.get("closed-call"):
        st.query_params[_OPENED] = wanted
        st.rerun()


def _draw_pages(totals: Mapping[str, Any], page: int, shown: int) -> None:
    requests = int(totals["requests"])
    pages = min(max(math.ceil(requests / queries.PER_PAGE), page), queries.MOST_PAGES)
    first = (page - 1) * queries.PER_PAGE + 1
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.caption(
            f"{count(first)}–{count(first + shown - 1)} of {count(requests)}, newest first",
            width="content",
        )
        if pages > 1:
            st.pagination(pages, key="page", bind="query-params")


def _draw_distributions(toolkit: Toolkit, chosen: CallFilter) -> None:
    """Latency as a distribution; drawn when it is opened."""
    shown = st.expander("TTFT as a distribution", key="ttft-shown", on_change="rerun")
    if not shown.open:
        return
    query = queries.latencies(chosen)
    with toolkit.store.reading() as reader:
        rows = query.frame(reader)
    with shown:
        figure = charts.ecdf(rows)
        draw_bare(figure, key="ttft-ecdf")
        python = f"import toolkit as tk\n\ntk.charts.ecdf({query.python})"
        draw_sources(key="ttft-ecdf", sql=query.text, python=python)


def _draw_panel(toolkit: Toolkit, request_id: str) -> None:
    query = queries.attempts_of(request_id)
    with toolkit.store.reading() as reader:
        rows = query.rows(reader)
    height = "content" if is_phone() else _PANEL_PX
    if is_phone():
        st.button("All calls", icon=":material/arrow_back:", on_click=close_request, key="back")
    with st.container(border=True, height=height, key="request-panel"):
        if rows:
            draw_asking(toolkit)
            draw_request(toolkit, rows, query, on_close=close_request)
        else:
            st.caption("This request is not in the database.")
            st.button("Close", on_click=close_request, key="close-missing")


def close_request() -> None:
    """Close the panel; the click that opened it does not count a second time."""
    st.session_state["closed-call"] = st.query_params.pop(_OPENED, None)
    for key in ("requests-beside", "requests-alone"):
        st.session_state.pop(key, None)


def _draw_board_note() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Showing the calls of one board.", width="content")
        st.button("Show all", type="tertiary", on_click=lambda: st.query_params.pop("board", None))


def _draw_demo_note(toolkit: Toolkit) -> None:
    """Say that these calls are the demo's, and offer to remove them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Calls of the demo history. They count in no other figure, and "
            "`toolkit demo --remove-history` removes them.",
            width="content",
        )
        st.button("Remove the demo history", type="tertiary", on_click=_remove_demo,
                  args=(toolkit,), key="remove-demo")  # fmt: skip


def _remove_demo(toolkit: Toolkit) -> None:
    st.session_state.pop("source", None)
    st.query_params.pop("source", None)
    try:
        removed = toolkit.store.remove_demo()
    except ToolkitError as error:
        leave_notice(str(error))
        return
    leave_notice(f"{count(removed)} calls of the demo removed.")
