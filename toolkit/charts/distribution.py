"""Latency as what it is, a distribution: the share of calls that were at most so slow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration
from toolkit.charts.palette import colours_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

MAX_SERIES = 6
_MAX_POINTS = 1_000


def ecdf(calls: pd.DataFrame, column: str = "ttft_ms", by: str = "model") -> go.Figure:
    """The empirical distribution function of a duration, one line per series.

    F(x) is the number of calls with a value at most x, divided by their number; unknown values
    count nowhere. The six largest series are drawn, the rest together as `others`.

    Args:
        calls: rows of `calls`.
        column: a column in milliseconds.
        by: what makes a series (`model`, `provider`).
    """
    known = calls[calls[column].notna()] if len(calls) else calls
    name = column.removesuffix("_ms").replace("_", " ")
    label = name.upper() if name in ("ttft", "ttfo", "tpot") else name
    title = f"{label} by {by}, share of calls at most so slow, n = {count(len(known))}"
    figure = new_figure(title, x=f"{label} (log scale)", y="share of calls, %", log_x=True)
    if not len(known):
        figure.update_xaxes(type="linear")
        return say(figure, f"no call with a known {label}")
    sizes = known[by].value_counts()
    series = known[by].where(known[by].isin(sizes.index[:MAX_SERIES]), "others")
    colours = colours_of(str(key) for key in sizes.index[:MAX_SERIES])
    for key, group in known.groupby(series, sort=True):
        values = group[column].astype(float).sort_values().to_numpy()
        figure.add_trace(_steps(str(key), values, colours.get(str(key), "#8A8F98")))
    figure.update_yaxes(range=[0, 101])
    ticks = _ticks(float(known[column].min()), float(known[column].max()))
    figure.update_xaxes(tickvals=ticks, ticktext=[duration(tick) for tick in ticks])
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of every power of ten that the values reach; only tens where those are many."""
    first = math.floor(math.log10(max(low, 1e-3)))
    powers = range(first, math.ceil(math.log10(max(high, 1e-3))) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [step * 10.0**power for power in powers for step in steps]


def _steps(name: str, values: object, colour: str) -> go.Scatter:
    import numpy as np

    ordered = np.asarray(values, dtype=float)
    n = len(ordered)
    shares = np.arange(1, n + 1) / n * 100
    if n > _MAX_POINTS:  # a line of a thousand points looks the same and loads at once
        keep = np.unique(np.linspace(0, n - 1, _MAX_POINTS).astype(int))
        ordered, shares = ordered[keep], shares[keep]
    return go.Scatter(
        name=f"{plain(name)} (n = {count(n)})",
        mode="lines+markers" if n < 30 else "lines",
        x=ordered,
        y=shares,
        line={"shape": "hv", "color": colour, "width": 2},
        marker={"size": 5},
        customdata=[duration(value) for value in ordered],
        hovertemplate="%{y:.1f} % of calls within %{customdata}<extra>%{fullData.name}</extra>",
    )
