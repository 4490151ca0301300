"""Panes of a board measured against each other, one number at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration, money, rate
from toolkit.charts.palette import colours_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

_AXES = {
    "ttft_ms": "TTFT, ms",
    "ttfo_ms": "TTFO, ms",
    "duration_ms": "duration, ms",
    "output_tps": "output, tok/s",
    "output_tokens": "output tokens",
    "cost_usd": "cost, USD",
}


def pane_bars(panes: pd.DataFrame, column: str = "ttft_ms") -> go.Figure:
    """One bar per pane; a pane without the number has no bar, which is not zero.

    Args:
        panes: `Board.frame()`.
        column: one of `ttft_ms`, `ttfo_ms`, `duration_ms`, `output_tps`, `output_tokens`,
            `cost_usd`.
    """
    known = panes[panes[column].notna()]
    axis = _AXES[column]
    title = f"{axis.split(',')[0]} by pane, n = {len(known)} of {len(panes)} panes"
    figure = new_figure(title, x=axis, y="", height_px=120 + 36 * max(len(panes), 1))
    if not len(known):
        return say(figure, "no pane has this number")
    colours = colours_of(str(model) for model in panes["model"])
    lanes = [
        f"{int(pane) + 1}. {plain(model)}"
        for pane, model in zip(known["pane"], known["model"], strict=True)
    ]
    figure.add_trace(
        go.Bar(
            orientation="h",
            x=known[column].astype(float),
            y=lanes,
            marker={"color": [colours[str(model)] for model in known["model"]]},
            text=[_as_text(column, value) for value in known[column]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(rangemode="tozero")
    return figure


def _as_text(column: str, value: float) -> str:
    if column.endswith("_ms"):
        return duration(float(value))
    if column == "output_tps":
        return rate(float(value))
    return money(value) if column == "cost_usd" else count(value)
