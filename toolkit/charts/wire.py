"""Where the time of a call went: `waterfall` for one request, `timeline` for panes side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration
from toolkit.charts.palette import PHASES, VERMILION
from toolkit.charts.phases import Phase, number, phases_of_attempts
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

_MAX_TICKS = 2_000


def timeline(phases: Iterable[Phase], title: str) -> go.Figure:
    """All lanes on one time axis that begins when each request was asked.

    Args:
        phases: parts as `phases_of_attempts` gives them; lanes keep their first order.
        title: what it shows and of how many.
    """
    found = list(phases)
    lanes = list(dict.fromkeys(phase.lane for phase in found))
    height_px = 140 + 44 * max(len(lanes), 1)
    unit, scale = _axis_unit(found)
    figure = new_figure(title, x=f"{unit} since asked", y="", height_px=height_px)
    if not found:
        return say(figure, "no call was measured")
    for name, colour in PHASES.items():
        own = [phase for phase in found if phase.phase == name]
        if own and name == "failed":
            figure.add_trace(_failures(own, scale))
        elif own:
            figure.add_trace(_bars(name, colour, own, scale))
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_yaxes(
        categoryorder="array", categoryarray=[plain(lane) for lane in reversed(lanes)]
    )
    figure.update_xaxes(rangemode="tozero")
    return figure


def waterfall(attempts: pd.DataFrame | Sequence[Any], title: str | None = None) -> go.Figure:
    """One request's attempts as a waterfall: each part on its own line, each token as a tick.

    Args:
        attempts: rows of `calls` of one request, first attempt first.
        title: what it shows; None: made from the rows.
    """
    rows: list[Any] = list(
        attempts if isinstance(attempts, Sequence) else attempts.to_dict("records")
    )
    phases = phases_of_attempts(rows, "request")
    stepped = [_on_its_own_line(phase) for phase in phases]
    last = rows[-1] if rows else {}
    tokens_us = _offsets(last)
    made = f"Wire timeline, {plain(last.get('model', 'no call'))}"
    figure = timeline(stepped, title or f"{made}, n = {len(tokens_us)} content chunks")
    if len(tokens_us):
        start_ms = _sent_ms(phases, last)
        step = max(1, len(tokens_us) // _MAX_TICKS)
        _, scale = _axis_unit(stepped)
        figure.add_trace(_ticks([start_ms + us / 1000 for us in tokens_us[::step]], scale))
    return figure


def _axis_unit(phases: Sequence[Phase]) -> tuple[str, float]:
    """The unit of the time axis, and how many milliseconds one of it is."""
    longest_ms = max((phase.end_ms for phase in phases), default=0.0)
    return ("ms", 1.0) if longest_ms < 2_000 else ("s", 1_000.0)


def _bars(name: str, colour: str, phases: Sequence[Phase], scale: float) -> go.Bar:
    return go.Bar(
        name=name,
        orientation="h",
        y=[plain(phase.lane) for phase in phases],
        base=[phase.start_ms / scale for phase in phases],
        x=[(phase.end_ms - phase.start_ms) / scale for phase in phases],
        marker={"color": colour, "line": {"width": 0}},
        customdata=[
            (duration(p.end_ms - p.start_ms), duration(p.start_ms), plain(p.note)) for p in phases
        ],
        hovertemplate=f"{name}: %{{customdata[0]}}, from %{{customdata[1]}}<br>"
        "%{y} %{customdata[2]}<extra></extra>",
    )


def _failures(phases: Sequence[Phase], scale: float) -> go.Scatter:
    return go.Scatter(
        name="failed",
        mode="markers",
        x=[phase.end_ms / scale for phase in phases],
        y=[plain(phase.lane) for phase in phases],
        marker={"symbol": "x", "size": 11, "color": VERMILION},
        customdata=[(plain(phase.note), duration(phase.end_ms)) for phase in phases],
        hovertemplate="%{customdata[0]} at %{customdata[1]}<extra></extra>",
    )


def _ticks(at_ms: Sequence[float], scale: float) -> go.Scatter:
    return go.Scatter(
        name="content chunks",
        mode="markers",
        x=[ms / scale for ms in at_ms],
        y=["chunks"] * len(at_ms),
        marker={"symbol": "line-ns-open", "size": 12, "color": PHASES["answering"]},
        customdata=[(index + 1, duration(ms)) for index, ms in enumerate(at_ms)],
        hovertemplate=f"chunk %{{customdata[0]}} of {count(len(at_ms))} at %{{customdata[1]}}"
        "<extra></extra>",
    )


def _on_its_own_line(phase: Phase) -> Phase:
    lane = phase.note if phase.phase == "failed" else phase.phase
    return Phase(
        lane=lane,
        phase=phase.phase,
        start_ms=phase.start_ms,
        end_ms=phase.end_ms,
        note=phase.note,
    )


def _offsets(row: Any) -> Sequence[int]:
    offsets = row.get("chunk_offsets_us") if row else None
    return () if offsets is None else list(offsets)


def _sent_ms(phases: Sequence[Phase], row: Any) -> float:
    """When the last attempt was sent: where its first unqueued part begins."""
    ttft_ms = number(row, "ttft_ms")
    first = next((p for p in reversed(phases) if p.phase == "waiting"), None)
    if first is None or ttft_ms is None:
        return 0.0
    return first.end_ms - ttft_ms
