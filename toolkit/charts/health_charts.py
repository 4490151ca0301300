"""Health by time: latency and errors with incidents as bands and catalog changes as ticks.

All charts of one stretch of time share its axis, whatever they have to show in it. Points and
bars are in the middle of their bucket, so that bands are aligned with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration
from toolkit.charts.over_time import (
    MIN_FOR_PERCENTILE,
    errors_over_time,
    latency_line,
    percentiles_over_time,
    with_gaps,
)
from toolkit.charts.palette import GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, colours_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

    Events = pd.DataFrame | Sequence[Mapping[str, Any]]

Ends = tuple[datetime, datetime]

FEW: Final = 5
_STATES: Final = {"degraded": ORANGE, "auth_error": PURPLE, "rate_limited": SKY, "down": VERMILION}
_VISIBLE: Final = 0.04
_SHAPES: Final = ("circle", "diamond", "square", "cross")
_TOP, _BOTTOM = 0.985, 0.02


def health_latency(
    buckets: pd.DataFrame,
    incidents: Events,
    changes: Events,
    *,
    of: str,
    ends: Ends,
    metric: str = "TTFT",
) -> go.Figure:
    """p50 and p95 of one provider, with its incidents and what its catalog changed.

    Args:
        buckets: rows of `bucket_at` (UTC, begin), `bucket_s`, `n`, `p50_ms`, `p95_ms`, `max_ms`.
        incidents: rows with `opened_at`, `closed_at` (None: still open), `state`, `reason`.
        changes: rows with `changed_at`, `n`, `kinds`, `models`.
        of: what is drawn.
        ends: begin and end of the time axis, UTC.
        metric: name of the duration.
    """
    figure = percentiles_over_time(_centred(buckets), of=of, metric=metric)
    return mark_events(figure, incidents, changes, ends=ends)


def health_errors(
    buckets: pd.DataFrame, incidents: Events, changes: Events, *, of: str, ends: Ends
) -> go.Figure:
    """Failed attempts by class, with the same marks on the same axis as `health_latency`.

    Args:
        buckets: rows of `bucket_at`, `bucket_s`, `error_code`, `n`.
        incidents, changes, of, ends: as in `health_latency`.
    """
    figure = errors_over_time(_centred(buckets), of=of)
    return mark_events(figure, incidents, changes, ends=ends)


def latency_against(
    buckets: pd.DataFrame, *, of: str, ends: Ends, metric: str = "TTFT"
) -> go.Figure:
    """Several providers' p50 (whole line) and p95 (dashed) by time; too few calls are a gap.

    Args:
        buckets: as in `health_latency`, with `provider`.
        of: what is drawn.
        ends: begin and end of the time axis, UTC.
        metric: name of the duration.
    """
    total = int(buckets["n"].sum()) if len(buckets) else 0
    title = f"{metric} p50 and p95 (dashed), {plain(of)}, n = {count(total)}"
    figure = new_figure(title, x="time, UTC", y=f"{metric}, ms")
    if not total:
        return say(figure, f"no call with a known {metric}")
    colours = colours_of(str(name) for name in buckets["provider"].unique())
    shapes = dict(zip(sorted(colours), _SHAPES * len(colours), strict=False))
    for name, own in _centred(buckets).groupby("provider", sort=True):
        whole = with_gaps(own)
        n = count(int(own["n"].sum()))
        for quantile, dash in (("p50", "solid"), ("p95", "dash")):
            enough = whole["n"] >= MIN_FOR_PERCENTILE[quantile]
            values = whole[f"{quantile}_ms"].where(enough)
            label = f"{plain(name)} {quantile} (n = {n})" if quantile == "p50" else ""
            figure.add_trace(latency_line(label or f"{plain(name)} p95", whole, values, dash=dash))
            look = {"line_color": colours[str(name)], "marker_symbol": shapes[str(name)]}
            figure.data[-1].update(showlegend=bool(label), **look)
    figure.update_yaxes(rangemode="tozero")
    return _on_axis(figure, ends)


def uptime_bars(days: Sequence[tuple[Any, float | None, int]], *, of: str) -> go.Figure:
    """One bar per UTC day: the share of good evidence; a day without evidence has no bar.

    Args:
        days: (day, share or None, pieces of evidence), oldest first.
        of: whose days.
    """
    n = int(sum(day[2] for day in days))
    title = f"Good evidence by day, {plain(of)}, last {len(days)} days, n = {count(n)}"
    figure = new_figure(title, x="day, UTC", y="good, %", height_px=200)
    if not n:
        return say(figure, "no call and no probe yet")
    known = [(day, float(good or 0), int(of_day)) for day, good, of_day in days if of_day]
    figure.add_trace(_day_bars(known))
    nothing_good = [day for day in known if day[1] < _VISIBLE]
    if nothing_good:
        figure.add_trace(_days_without_good(nothing_good))
    figure.update_layout(bargap=0.15, showlegend=False)
    figure.update_yaxes(range=[0, 101], tickvals=[0, 50, 100])
    figure.update_xaxes(range=[days[0][0], days[-1][0]])
    return figure


def _day_bars(known: Sequence[tuple[Any, float, int]]) -> go.Bar:
    return go.Bar(
        x=[day for day, _, _ in known],
        y=[100 * good for _, good, _ in known],
        marker={
            "color": [uptime_colour(good) for _, good, _ in known],
            "opacity": [1.0 if n >= FEW else 0.5 for _, _, n in known],
        },
        customdata=[_of_day(good, n) for _, good, n in known],
        hovertemplate="%{x|%Y-%m-%d}: %{customdata}<extra></extra>",
    )


def _days_without_good(known: Sequence[tuple[Any, float, int]]) -> go.Scatter:
    """A mark where a bar would be too low to be seen: such a day must not look like a gap."""
    return go.Scatter(
        mode="markers",
        x=[day for day, _, _ in known],
        y=[100 * _VISIBLE] * len(known),
        marker={"symbol": "x", "size": 7, "color": VERMILION},
        customdata=[_of_day(good, n) for _, good, n in known],
        hovertemplate="%{x|%Y-%m-%d}: %{customdata}<extra></extra>",
    )


def _of_day(good: float, n: int) -> str:
    return f"{count(round(good * n))} of {count(n)} good"


def uptime_colour(good: float) -> str:
    """Green from 99 % on, amber from 95 % on, red below."""
    if good >= 0.99:
        return GREEN
    return ORANGE if good >= 0.95 else VERMILION


def mark_events(figure: go.Figure, incidents: Events, changes: Events, *, ends: Ends) -> go.Figure:
    """Draw incidents as bands and catalog changes as ticks, over the whole stretch of time."""
    spans, ticks = _records(incidents), _records(changes)
    figure.update_xaxes(visible=True)  # also where there is nothing: the same axis in every chart
    figure.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    )
    for state, colour in _STATES.items():
        own = [row for row in spans if _worst(row) == state]
        if own:
            figure.add_trace(_spans(own, state, colour, ends))
    for row in spans:
        begin, end = _within(row, ends)
        colour = _STATES[_worst(row)]
        figure.add_vrect(
            x0=begin, x1=end, fillcolor=colour, opacity=0.14, line_width=0, layer="below"
        )
    if ticks:
        figure.add_trace(_ticks(ticks))
    return _on_axis(figure, ends)


def _spans(rows: Sequence[Mapping[str, Any]], state: str, colour: str, ends: Ends) -> go.Scatter:
    """A line over each band, visible even for short incidents, with the hover text."""
    x: list[datetime | None] = []
    shown: list[str] = []
    for row in rows:
        begin, end = _within(row, ends)
        x += [begin, end, None]
        shown += [_incident_words(row)] * 2 + [""]
    return go.Scatter(
        name=f"{state} (n = {count(len(rows))})",
        mode="lines+markers",
        yaxis="y2",
        x=x,
        y=[_TOP if at is not None else None for at in x],
        line={"color": colour, "width": 4},
        marker={"size": 5, "symbol": "square"},
        customdata=shown,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _ticks(rows: Sequence[Mapping[str, Any]]) -> go.Scatter:
    return go.Scatter(
        name="catalog change",
        mode="markers",
        yaxis="y2",
        x=[row["changed_at"] for row in rows],
        y=[_BOTTOM] * len(rows),
        marker={
            "symbol": "line-ns",
            "size": 14,
            "color": GREY,
            "line": {"width": 2, "color": GREY},
        },
        customdata=[_change_words(row) for row in rows],
        hovertemplate="%{customdata}<br>%{x}<extra></extra>",
    )


def _on_axis(figure: go.Figure, ends: Ends) -> go.Figure:
    """The whole stretch of time, and a zoom that is kept when new rows come."""
    figure.update_xaxes(type="date", range=list(ends))
    figure.update_layout(uirevision="kept", legend_traceorder="normal")
    return figure


def _centred(buckets: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    if not len(buckets):
        return buckets
    half = pd.to_timedelta(buckets["bucket_s"] / 2, unit="s")
    return buckets.assign(bucket_at=buckets["bucket_at"] + half)


def _within(row: Mapping[str, Any], ends: Ends) -> Ends:
    return max(row["opened_at"], ends[0]), min(_known(row["closed_at"]) or ends[1], ends[1])


def _known(when: Any) -> Any:
    """None for a time that is not there, which a DataFrame writes as NaT."""
    return None if when is None or str(when) == "NaT" else when


def _records(events: Events) -> list[Mapping[str, Any]]:
    if isinstance(events, Sequence):
        return list(events)
    return [dict(row) for _, row in events.iterrows()]


def _worst(row: Mapping[str, Any]) -> str:
    return str(row["state"]) if row.get("state") in _STATES else "down"


def _incident_words(row: Mapping[str, Any]) -> str:
    lasted = "still open"
    if (closed_at := _known(row["closed_at"])) is not None:
        lasted = duration((closed_at - row["opened_at"]).total_seconds() * 1000)
    about = f"{row.get('model') or row.get('provider') or ''}: {row.get('reason') or ''}"
    since = f"{row['opened_at']:%Y-%m-%d %H:%M}"
    return f"{plain(row.get('state'))}, {lasted}<br>{plain(about)}<br>{since}"


def _change_words(row: Mapping[str, Any]) -> str:
    models = list(row["models"] if row.get("models") is not None else ())
    named = ", ".join(plain(model) for model in models)
    more = f" and {count(int(row['n']) - len(models))} more" if row["n"] > len(models) else ""
    return f"{plain(row['kinds'])}: {named}{more}"
