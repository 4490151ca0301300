"""Charts of the demo history on pages that have no calls of the user's own to show yet.

The calls of the demo are in no figure of the user's. Their charts are drawn apart, under a heading
of their own, and only while the home holds no other call, so that the two are never mixed.
"""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from toolkit import charts
from toolkit.store.queries import call_list
from toolkit.store.queries.app_pages import any_call, demo_by_model, demo_call
from toolkit.store.queries.filters import CallFilter
from toolkit.store.queries.query import Query
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_chart
from toolkit.ui.components.page_head import section
from toolkit.ui.components.table import Column, draw_table

_DEMO: Final = CallFilter(source="demo")
_OF: Final = "demo history"
_BUCKETS_PER_POINT: Final = 6  # a percentile needs several calls, of which the demo has few


def has_only_demo(toolkit: Toolkit) -> bool:
    """Whether the home holds a demo history and no other call."""
    with toolkit.store.reading() as reader:
        return not any_call().rows(reader) and bool(demo_call().rows(reader))


def draw_demo_latency(toolkit: Toolkit) -> None:
    """Latency by time and failures, for the Health page."""
    if not _begin(toolkit):
        return
    with toolkit.store.reading() as reader:
        totals = call_list.summary(_DEMO).rows(reader)[0]
    width_s = call_list.bucket_of(totals["first_at"], totals["last_at"])
    query = call_list.percentiles(_DEMO, width_s * _BUCKETS_PER_POINT)
    _draw(toolkit, "percentiles_over_time", query, arguments=f", of={_OF!r}", of=_OF)


def draw_demo_speed(toolkit: Toolkit) -> None:
    """The distribution of the time to first token by model, for the Models page."""
    if _begin(toolkit):
        _draw(toolkit, "ecdf", call_list.latencies(_DEMO))


def draw_demo_spend(toolkit: Toolkit) -> None:
    """Calls by time, and tokens and cost by model, for the Spend page."""
    if not _begin(toolkit):
        return
    query = demo_by_model()
    with toolkit.store.reading() as reader:
        rows = query.rows(reader)
        totals = call_list.summary(_DEMO).rows(reader)[0]
    width_s = call_list.bucket_of(totals["first_at"], totals["last_at"])
    _draw(toolkit, "calls_by_time", call_list.by_time(_DEMO, width_s))
    draw_table(
        {
            "Model": Column([row["model"] for row in rows], 260, on_phone=True),
            "Calls": Column([row["calls"] for row in rows], 70, "number"),
            "Tokens in": Column([row["input_tokens"] for row in rows], 100, "number"),
            "Tokens out": Column([row["output_tokens"] for row in rows], 100, "number"),
            "Spend": Column([row["cost_usd"] for row in rows], 84, "money", on_phone=True),
        },
        key="demo-models",
        alt="Tokens and cost of the demo history by model",
    )
    if not any(row["cost_usd"] for row in rows):
        st.caption("These calls cost nothing: the models run on this machine.")


def _begin(toolkit: Toolkit) -> bool:
    """Draw the heading; False where the home has calls of the user's own, or no demo."""
    if not has_only_demo(toolkit):
        return False
    section("Demo history")
    st.caption(
        "Calls that `toolkit demo --seed-history` really made on this machine. They count in none "
        "of your figures, and these charts make way for your own with your first call."
    )
    return True


def _draw(toolkit: Toolkit, chart: str, query: Query, arguments: str = "", **options: Any) -> None:
    with toolkit.store.reading() as reader:
        figure = getattr(charts, chart)(query.frame(reader), **options)
    python = f"import toolkit as tk\n\ntk.charts.{chart}({query.python}{arguments})"
    draw_chart(figure, key=f"demo-{chart}", sql=query.text, python=python)
