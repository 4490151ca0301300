"""Places of marks in the report's charts; the template draws them as SVG, in the page's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolkit.charts.numbers import duration, money

WIDTH: Final = 600.0
_AXES: Final = {"cost_usd": "cost of the answers", "p50_ms": "latency p50"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One line of the chart of scores: name, and where its mark and interval stand, pixels."""

    name: str
    at: float
    low: float
    high: float
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point: its name, its place, the ends of its interval, pixels, and its numbers."""

    name: str
    x: float
    y: float
    low: float
    high: float
    is_right: bool
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Score against something else."""

    title: str
    marks: Sequence[Mark]
    x_ends: tuple[str, str]
    y_ends: tuple[str, str]


def strip_scores(entries: Sequence[Mapping[str, Any]]) -> list[Strip]:
    """One line per model and variant that was scored, best first, on `score_axis`."""
    known = [entry for entry in entries if entry["mean"] is not None]
    low, high = score_axis(known)
    span = high - low
    return [
        Strip(
            name=entry["name"],
            at=(entry["mean"] - low) / span * WIDTH,
            low=(entry["low"] - low) / span * WIDTH,
            high=(entry["high"] - low) / span * WIDTH,
            told=_told(entry),
        )
        for entry in sorted(known, key=lambda entry: -entry["mean"])
    ]


def score_axis(entries: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Both ends of the axis of scores: 0 to 1 where they lie in it, else from 0 as needed."""
    low = min((entry["low"] for entry in entries), default=0.0)
    high = max((entry["high"] for entry in entries), default=1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return min(low, 0.0), max(high, 0.0) or 1.0


def plot_tradeoff(
    entries: Sequence[Mapping[str, Any]], against: str, height: float = 220.0
) -> Plot | None:
    """Score against cost or latency; None where fewer than two points have both."""
    known = [e for e in entries if e["mean"] is not None and e[against] is not None]
    if len(known) < 2:
        return None
    low, high = score_axis(known)
    most = max(float(entry[against]) for entry in known) or 1.0
    write = money if against == "cost_usd" else duration

    def y_of(value: float) -> float:
        return height - (value - low) / (high - low) * height

    marks = [
        Mark(
            name=entry["name"],
            x=(x := float(entry[against]) / most * WIDTH),
            y=y_of(entry["mean"]),
            low=y_of(entry["low"]),
            high=y_of(entry["high"]),
            is_right=x > WIDTH / 2,
            told=f"{entry['name']}: {entry['mean']:.3g}, {write(float(entry[against]))}",
        )
        for entry in known
    ]
    zero = "$0" if against == "cost_usd" else "0 ms"
    return Plot(
        title=f"Score against {_AXES[against]}, {len(known)} of {len(entries)} known",
        marks=marks,
        x_ends=(zero, write(most)),
        y_ends=(f"{low:.3g}", f"{high:.3g}"),
    )


def _told(entry: Mapping[str, Any]) -> str:
    bounds = f"[{entry['low']:.3g}, {entry['high']:.3g}]"
    return f"{entry['mean']:.3g} {bounds}, n = {entry['n']:,}"
