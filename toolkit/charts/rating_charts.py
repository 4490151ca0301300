"""Ratings of models from votes against what their calls cost."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration, money
from toolkit.charts.palette import BLUE, GREY
from toolkit.charts.style import error_bars, new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

_NEAR_X, _NEAR_Y = 0.25, 0.15  # of the chart; labels of points this near would overlap
_NEEDED: Final = ["rating", "usd_per_thousand", "p50_ms"]


def rating_tradeoff(ratings: pd.DataFrame) -> go.Figure:
    """Rating against the cost of 1,000 calls, with TTFT beside each model's name.

    Models of the Pareto front are filled: no other model is at least as good in rating, cost and
    TTFT. A model of which one of the three is not known has no point.

    Args:
        ratings: rows with `model`, `rating`, `low`, `high`, `votes`, `usd_per_thousand`, `p50_ms`
            (TTFT) and `is_front`.
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
    reach = max(0.15, 0.12 * math.log10(max(costs) / min(costs)))  # room for the labels
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        ticktext=[money(tick) for tick in ticks],
        range=[math.log10(min(costs)) - reach, math.log10(max(costs)) + reach],
    )
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten around the costs."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5)]


def _label_places(known: pd.DataFrame) -> dict[str, str]:
    """Above a point, or below where the label of its left neighbour is already above."""
    rows = known.sort_values("usd_per_thousand")
    width = math.log10(rows["usd_per_thousand"].max() / rows["usd_per_thousand"].min()) or 1.0
    height = float(rows["rating"].max() - rows["rating"].min()) or 1.0
    places: dict[str, str] = {}
    before: list[tuple[float, float, str]] = []
    for row in rows.to_dict("records"):
        x, y = math.log10(row["usd_per_thousand"]) / width, float(row["rating"]) / height
        near = {place for at, up, place in before if x - at < _NEAR_X and abs(y - up) < _NEAR_Y}
        place = "bottom center" if near == {"top center"} else "top center"
        places[str(row["model"])] = place
        before.append((x, y, place))
    return places


def _label(row: Mapping[Hashable, Any]) -> str:
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
