"""How latency and errors went: percentiles and causes of failures by time, gaps drawn as gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration
from toolkit.charts.palette import BLUE, CATEGORIES, GREY, ORANGE, QUIET, RED
from toolkit.charts.states import cause_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

MIN_FOR_PERCENTILE = {"p50": 5, "p95": 20}
MAX_CLASSES = 6


def percentiles_over_time(buckets: pd.DataFrame, *, of: str, metric: str = "TTFT") -> go.Figure:
    """p50 and p95 of a duration by time; an hour without calls is a gap in the line.

    Args:
        buckets: one row per bucket that has calls: `bucket_at` (UTC), `n`, `p50_ms`, `p95_ms`,
            `max_ms`, and `bucket_s`, the width of a bucket in seconds.
        of: what is drawn (`openai/gpt-5-mini, last 7 days`).
        metric: name of the duration.

    A bucket with fewer than 5 calls has no p50 (20: no p95): its maximum is a hollow point.
    """
    total = int(buckets["n"].sum()) if len(buckets) else 0
    title = f"{metric} p50 and p95, {plain(of)}, n = {count(total)}"
    figure = new_figure(title, x="time, UTC", y=f"{metric}, ms")
    if not total:
        return say(figure, f"no call with a known {metric}")
    whole = with_gaps(buckets)
    for name, column, colour in (("p50", "p50_ms", BLUE), ("p95", "p95_ms", ORANGE)):
        enough = whole["n"] >= MIN_FOR_PERCENTILE[name]
        figure.add_trace(latency_line(name, whole, whole[column].where(enough), color=colour))
    few = whole[(whole["n"] > 0) & (whole["n"] < MIN_FOR_PERCENTILE["p50"])]
    if len(few):
        figure.add_trace(_few(few))
    figure.update_yaxes(rangemode="tozero")
    return figure


def errors_over_time(buckets: pd.DataFrame, *, of: str) -> go.Figure:
    """Failed attempts by time, stacked by cause; the six most frequent, the rest `others`.

    Args:
        buckets: `bucket_at` (UTC), `error_code`, `n`, `bucket_s`.
        of: what is drawn.
    """
    total = int(buckets["n"].sum()) if len(buckets) else 0
    title = f"Failed attempts by cause, {plain(of)}, n = {count(total)}"
    figure = new_figure(title, x="time, UTC", y="failed attempts")
    if not total:
        return say(figure, "no failed attempt")
    sizes = buckets.groupby("error_code")["n"].sum().sort_values(ascending=False)
    width_ms = float(buckets["bucket_s"].iloc[0]) * 1000
    kept = list(sizes.index[:MAX_CLASSES])
    named = buckets.assign(
        error_code=buckets["error_code"].where(buckets["error_code"].isin(kept), "others")
    )
    for index, code in enumerate([*kept, "others"]):
        own = named[named["error_code"] == code].groupby("bucket_at")["n"].sum()
        if len(own):
            colour = CATEGORIES[index] if code != "others" else GREY
            name = code if code == "others" else cause_of(str(code))
            figure.add_trace(_stack(str(name), own, width_ms, colour))
    figure.update_layout(barmode="stack", bargap=0.1)
    highest = int(buckets.groupby("bucket_at")["n"].sum().max())
    figure.update_yaxes(rangemode="tozero", dtick=max(1, round(highest / 5)))
    return figure


def with_gaps(buckets: pd.DataFrame) -> pd.DataFrame:
    """Every bucket between the first and the last, empty ones with n = 0 and no value."""
    import pandas as pd

    width = pd.Timedelta(seconds=float(buckets["bucket_s"].iloc[0]))
    ordered = buckets.sort_values("bucket_at").set_index("bucket_at")
    # A year of minutes would be half a million empty rows: then only a break is put in each gap.
    span = (ordered.index[-1] - ordered.index[0]) / width
    if span <= 5_000:
        every = pd.date_range(ordered.index[0], ordered.index[-1], freq=width)
        ordered = ordered.reindex(ordered.index.union(every))
    else:
        stamps = pd.Series(ordered.index)
        gaps = stamps[stamps.diff().shift(-1) > width * 1.5] + width
        ordered = ordered.reindex(ordered.index.union(pd.DatetimeIndex(gaps)))
    return ordered.assign(n=ordered["n"].fillna(0)).rename_axis("bucket_at").reset_index()


def latency_line(
    name: str, rows: pd.DataFrame, values: pd.Series[float], **line: str
) -> go.Scatter:
    """A latency by bucket, with gaps where there is none; `line` is its style."""
    return go.Scatter(
        name=name,
        mode="lines+markers",
        connectgaps=False,
        x=rows["bucket_at"],
        y=values,
        line={"width": 2, **line},
        marker={"size": 5},
        customdata=[
            (duration(value), count(n)) for value, n in zip(values, rows["n"], strict=True)
        ],
        hovertemplate=f"{name} %{{customdata[0]}}, n = %{{customdata[1]}}<br>%{{x}}<extra></extra>",
    )


def _few(rows: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        name=f"maximum (n < {MIN_FOR_PERCENTILE['p50']})",
        mode="markers",
        x=rows["bucket_at"],
        y=rows["max_ms"],
        marker={"symbol": "circle-open", "size": 8, "color": GREY},
        customdata=[
            (duration(value), count(n)) for value, n in zip(rows["max_ms"], rows["n"], strict=True)
        ],
        hovertemplate="maximum %{customdata[0]}, n = %{customdata[1]}<br>%{x}<extra></extra>",
    )


def _stack(code: str, own: pd.Series[int], width_ms: float, colour: str) -> go.Bar:
    return go.Bar(
        name=plain(code),
        x=own.index,
        y=own.to_numpy(),
        width=width_ms * 0.9,
        marker={"color": colour},
        hovertemplate=f"{plain(code)}: %{{y}}<br>%{{x}}<extra></extra>",
    )


def calls_by_time(buckets: pd.DataFrame, *, height_px: int = 110) -> go.Figure:
    """Calls by time, the failed ones in red at the foot of each bar.

    Args:
        buckets: `bucket_at` (UTC), `n`, `failed`, `bucket_s`.
        height_px: height of the figure.
    """
    total = int(buckets["n"].sum()) if len(buckets) else 0
    failed = int(buckets["failed"].sum()) if len(buckets) else 0
    title = f"Calls by time, n = {count(total)}, {count(failed)} failed"
    figure = new_figure(title, x="", y="", height_px=height_px)
    if not total:
        return say(figure, "no call")
    width_ms = float(buckets["bucket_s"].iloc[0]) * 1000
    parts = (
        ("failed", buckets["failed"], RED),
        ("others", buckets["n"] - buckets["failed"], QUIET),
    )
    for name, values, colour in parts:
        figure.add_trace(
            go.Bar(
                x=buckets["bucket_at"],
                y=values,
                width=width_ms * 0.9,
                offset=0,
                name=name,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate="%{x|%d %b %H:%M}: %{y:,} " + name + "<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", showlegend=False, bargap=0.1)
    figure.update_yaxes(rangemode="tozero", nticks=3)
    return figure
