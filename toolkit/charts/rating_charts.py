"""Ratings of models from votes against what their calls cost."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration, money
from toolkit.charts.palette import BLUE, GREY
from toolkit.charts.style import error_bars, new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

_PLOT_PX: Final = (240.0, 220.0)  # about, between the outermost points on a wide page
_ROOM_PX: Final = (30.0, 105.0)  # about, left and right of them
_CHARACTER_PX: Final = 6.0
_PLACES: Final = ("middle right", "middle left", "top right", "top left", "bottom right",
                  "bottom left", "top center", "bottom center")  # fmt: skip
_NEEDED: Final = ["rating", "usd_per_thousand", "p50_ms"]


def rating_tradeoff(ratings: pd.DataFrame) -> go.Figure:
    """Rating against the cost of 1,000 calls, with TTFT beside each model's name.

    Models of the Pareto front are filled: no other model is at least as good in rating, cost and
    TTFT. A model of which one of the three is not known has no point.

    Args:
        ratings: rows with `model`, `rating`, `low`, `high`, `votes`, `usd_per_thousand`, `p50_ms`
            (TTFT) and `is_front`; where there is a `label`, it replaces name and TTFT.
    """
    known = ratings.dropna(subset=_NEEDED) if len(ratings) else ratings
    known = known[known["usd_per_thousand"].astype(float) > 0]  # a log axis has no zero
    title = f"Rating against cost and TTFT, {len(known)} of {len(ratings)} models known"
    figure = new_figure(title, x="cost of 1,000 calls, log scale", y="rating", height_px=340)
    if not len(known):
        return say(figure, "no rated model has calls with a known cost and TTFT")
    places = _label_places(known)
    for is_front, name in ((True, "Pareto front"), (False, "another model is better")):
        part = known[known["is_front"].astype(bool) == is_front]
        symbol, ink = ("circle", BLUE) if is_front else ("circle-open", GREY)
        figure.add_trace(
            go.Scatter(
                mode="markers+text",
                name=name,
                x=part["usd_per_thousand"].astype(float),
                y=part["rating"].astype(float),
                error_y=error_bars(part, "rating"),
                text=[_label(row) for row in part.to_dict("records")],
                textposition=[places[str(model)] for model in part["model"]],
                cliponaxis=False,
                marker={"size": 11, "symbol": symbol, "color": ink, "line": {"width": 2}},
                customdata=[_hover(row) for row in part.to_dict("records")],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    costs = [float(value) for value in known["usd_per_thousand"]]
    ticks = _ticks(min(costs), max(costs))
    decades = max(1.0, math.log10(max(costs) / min(costs)))
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        ticktext=[money(tick) for tick in ticks],
        # Most labels are at the right of their points.
        range=[math.log10(min(costs)) - 0.12 * decades, math.log10(max(costs)) + 0.45 * decades],
    )
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten around the costs."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5)]


def _label_places(known: pd.DataFrame) -> dict[str, str]:
    """For each model the place beside its point where its label covers the least."""
    costs = [math.log10(float(value)) for value in known["usd_per_thousand"]]
    columns = ([float(value) for value in known[name]] for name in ("rating", "low", "high"))
    heights = _spread([value for column in columns for value in column], _PLOT_PX[1])
    n = len(costs)
    xs, ys = _spread(costs, _PLOT_PX[0]), heights[:n]
    taken = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in zip(xs, ys, strict=True)]
    whiskers = zip(xs, heights[n : 2 * n], heights[2 * n :], strict=True)
    taken += [_Box(x - 5, low, x + 5, high) for x, low, high in whiskers]
    taken += [_Box(-1e4, -1e4, -_ROOM_PX[0], 1e4), _Box(_PLOT_PX[0] + _ROOM_PX[1], -1e4, 1e4, 1e4)]
    places: dict[str, str] = {}
    rows = sorted(zip(xs, ys, known.to_dict("records"), strict=True), key=lambda point: point[:2])
    for x, y, row in rows:
        width = _CHARACTER_PX * len(_label(row))
        boxes = {place: _label_box(x, y, width, place) for place in _PLACES}
        best = min(_PLACES, key=lambda place: sum(boxes[place].shared(box) for box in taken))
        places[str(row["model"])] = best
        taken.append(boxes[best])
    return places


class _Box(NamedTuple):
    """A rectangle of the plot, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: _Box) -> float:
        """The area that both cover."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(wide, 0.0) * max(high, 0.0)


def _label_box(x: float, y: float, width: float, place: str) -> _Box:
    upright, _, side = place.partition(" ")
    left = {"center": x - width / 2, "right": x + 8, "left": x - 8 - width}[side]
    bottom = {"top": y + 8.0, "middle": y - 7.0, "bottom": y - 22.0}[upright]
    return _Box(left, bottom, left + width, bottom + 14)


def _spread(values: Sequence[float], pixels: float) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / ((high - low) or 1.0) * pixels for value in values]


def _label(row: Mapping[Hashable, Any]) -> str:
    if row.get("label"):
        return plain(row["label"])
    name = str(row["model"]).rpartition("/")[2]
    return f"{plain(name)} · {duration(float(row['p50_ms']))}"


def _hover(row: Mapping[Hashable, Any]) -> str:
    rating, low, high = (float(row[name]) for name in ("rating", "low", "high"))
    return (
        f"{plain(str(row['model']))}: {rating:.0f} [{low:.0f}, {high:.0f}], "
        f"n = {count(int(row['votes']))} votes, "
        f"{money(float(row['usd_per_thousand']))} for 1,000 calls, "
        f"TTFT p50 {duration(float(row['p50_ms']))}"
    )
