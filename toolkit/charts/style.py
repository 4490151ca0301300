"""What every chart shares: margins, grid, title, axes with units, and a size that fits a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from toolkit.charts.palette import GREY

if TYPE_CHECKING:
    import pandas as pd


def new_figure(
    title: str, *, x: str, y: str, height_px: int = 320, log_x: bool = False
) -> go.Figure:
    """An empty figure with the common layout; `x` and `y` are axis titles with their units."""
    figure = go.Figure()
    figure.update_layout(
        title={
            "text": title,
            "font": {"size": 14},
            "x": 0,
            "xref": "paper",
            "y": 0.98,
            "yanchor": "top",
        },
        height=height_px,
        margin={"l": 8, "r": 16, "t": 72, "b": 8},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": None},
        template="plotly_white",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    # Labels that do not fit are tilted, but never stood on end. An empty title would take space.
    common = {"automargin": True, "showgrid": True, "zeroline": False}
    figure.update_xaxes(title={"text": x} if x else None, autotickangles=[0, 30], **common)
    figure.update_yaxes(title={"text": y} if y else None, **common)
    if log_x:
        figure.update_xaxes(type="log")
    return figure


def say(figure: go.Figure, text: str) -> go.Figure:
    """Write in an empty figure why it is empty."""
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    note: dict[str, Any] = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    figure.add_annotation(text=text, showarrow=False, **note)
    return figure


def plain(text: object) -> str:
    """A name as a chart may show it: plotly reads a little HTML, a model's name is none."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def error_bars(rows: pd.DataFrame, middle: str) -> dict[str, object]:
    """Error bars from the columns `low` and `high` around the column `middle`."""
    value = rows[middle].astype(float)
    return {
        "type": "data",
        "symmetric": False,
        "array": rows["high"].astype(float) - value,
        "arrayminus": value - rows["low"].astype(float),
        "thickness": 1.5,
        "color": GREY,
    }
