"""The filters of the Calls page; each lives in the address, so that a view can be linked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from toolkit.ui.calls import page_queries as ask

FILTERED_BY = ("provider", "model", "origin")


def chosen_filter(known: Mapping[str, Iterable[str]], *, usual: str) -> ask.CallFilter:
    """Draw the filters and return what they say.

    Args:
        known: the values of each column.
        usual: the stretch of time while none was chosen.
    """
    with st.grid(3, min_column_width=150):
        text = st.text_input(
            "Search", key="text", type="search", placeholder="text or id", bind="query-params"
        )
        provider = _one_of(known, "provider")
        model = _one_of(known, "model")
        status = st.selectbox("Status", ask.STATUSES, **_SELECT, key="status")
        origin = _one_of(known, "origin")
        spans = [*ask.SPANS, ask.EVER]
        span = st.selectbox(
            "Time", spans, index=spans.index(usual), key="time", bind="query-params"
        )
    board = st.query_params.get("board")
    if board:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Only the calls of one board.", width="content")
            st.button("Show all", on_click=lambda: st.query_params.pop("board", None))
    return ask.CallFilter(
        provider=provider,
        model=model,
        status=status,
        origin=origin,
        span=None if span == ask.EVER else span,
        text=text or None,
        board=board,
    )


_SELECT = {"index": None, "placeholder": "all", "bind": "query-params"}


def _one_of(known: Mapping[str, Iterable[str]], column: str) -> str | None:
    values = [value for value in known[column] if value]
    chosen: str | None = st.selectbox(column.capitalize(), values, **_SELECT, key=column)
    return chosen
