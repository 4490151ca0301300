"""Ratings of models from votes against what their calls cost."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration, money
from toolkit.charts.palette import colours_of
from toolkit.charts.style import error_bars, new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

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
    title = f"Rating against cost and TTFT, {len(known)} of {len(ratings)} models known"
    figure = new_figure(title, x="USD for 1,000 calls, log scale", y="rating", height_px=340)
    if not len(known):
        return say(figure, "no rated model has calls with a known cost and TTFT")
    colours = colours_of(str(name) for name in known["model"])
    for is_front, name in ((True, "Pareto front"), (False, "another model is better")):
        part = known[known["is_front"].astype(bool) == is_front]
        inks = [colours[str(model)] for model in part["model"]]
        fill = {"color": inks, "symbol": "circle"} if is_front else {"symbol": "circle-open"}
        figure.add_trace(
            go.Scatter(
                mode="markers+text",
                name=name,
                x=part["usd_per_thousand"].astype(float),
                y=part["rating"].astype(float),
                error_y=error_bars(part, "rating"),
                text=[_label(row) for row in part.to_dict("records")],
                textposition="top center",
                cliponaxis=False,
                marker={"size": 11, "line": {"width": 2, "color": inks}, **fill},
                customdata=[_hover(row) for row in part.to_dict("records")],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    figure.update_xaxes(type="log")
    return figure


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
