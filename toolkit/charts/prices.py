"""Prices of models: over time, and against what one gets for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from toolkit.charts.palette import CATEGORIES, GREY, colours_of
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

_AGAINST = {
    "context_window": ("context window", "context window, tokens (log)", "%{x:,.0f} tokens"),
    "output_tps": ("measured speed", "output, tok/s (p50 of your calls)", "%{x:,.1f} tok/s"),
}
_SERIES = 6
_CLASSES = ("input", "output", "cached_input", "cache_write", "reasoning")


def price_against(models: pd.DataFrame, column: str = "context_window") -> go.Figure:
    """Output price against context window or against measured speed, one dot per model.

    Args:
        models: rows with `model`, `provider`, `output_usd_per_mtok` and the column.
        column: `context_window` or `output_tps`.
    """
    title, axis, hover = _AGAINST[column]
    known = models[models[column].notna() & models["output_usd_per_mtok"].notna()]
    charged = known[known["output_usd_per_mtok"].astype(float) > 0]
    free = len(known) - len(charged)
    shown = f", {free} free ones not drawn" if free else ""
    figure = new_figure(
        f"Output price against {title}, n = {len(charged)} models{shown}",
        x=axis,
        y="output price, USD per million tokens (log)",
        height_px=380,
        log_x=column == "context_window",
    )
    if not len(charged):
        return say(figure, "no model has both numbers")
    figure.update_yaxes(type="log", tickprefix="$")
    largest = list(charged["provider"].value_counts().index[:_SERIES])
    colours = colours_of(map(str, largest))
    for name in [None, *largest]:  # the others lie behind
        rows = charged[charged["provider"] == name] if name else _others(charged, largest)
        if len(rows):
            _add_dots(figure, rows, column, plain(name or "others"), hover, colours.get(name))
    return figure


def _others(models: pd.DataFrame, named: list[str]) -> pd.DataFrame:
    return models[~models["provider"].isin(named)]


def _add_dots(
    figure: go.Figure, rows: pd.DataFrame, column: str, name: str, hover: str, colour: str | None
) -> None:
    figure.add_trace(
        go.Scattergl(
            x=rows[column].astype(float),
            y=rows["output_usd_per_mtok"].astype(float),
            mode="markers",
            name=name,
            marker={"color": colour or GREY, "size": 7, "opacity": 0.75},
            text=[plain(model) for model in rows["model"]],
            hovertemplate=f"%{{text}}<br>$%{{y:,.4~g}} per million<br>{hover}<extra></extra>",
        )
    )


def price_steps(history: pd.DataFrame, model: str) -> go.Figure:
    """Standard prices of one model over time, as steps, one line per token class.

    Args:
        history: `tk.catalog.price_history(model)`.
        model: its name, for the title.
    """
    import pandas as pd

    rows = history[(history["tier"] == "standard") & (history["above_tokens"] == 0)]
    figure = new_figure(
        f"Price over time, {plain(model)}, n = {len(rows)} prices",
        x="",
        y="USD per million tokens",
        height_px=280,
    )
    if not len(rows):
        return say(figure, "no price is known")
    days = pd.to_datetime(rows["valid_from"])
    today = pd.Timestamp.now(tz="UTC").tz_localize(None).normalize()
    first = min(days.min(), today) if days.notna().any() else today
    rows = rows.assign(day=days.fillna(first - pd.Timedelta(days=30)))
    colours = dict(zip(_CLASSES, CATEGORIES, strict=False))
    for token_class in _CLASSES:
        steps = rows[rows["token_class"] == token_class].sort_values("day", kind="stable")
        if len(steps):
            _add_steps(figure, steps, today, colours[token_class])
    figure.update_yaxes(rangemode="tozero", tickprefix="$")
    return figure


def _add_steps(figure: go.Figure, steps: pd.DataFrame, today: pd.Timestamp, colour: str) -> None:
    usd, sources = [*steps["usd_per_million"].astype(float)], [*steps["source"]]
    figure.add_trace(
        go.Scatter(
            x=[*steps["day"], today],
            y=[*usd, usd[-1]],
            mode="lines+markers",
            line={"shape": "hv", "color": colour},
            name=str(steps["token_class"].iloc[0]).replace("_", " "),
            customdata=[*sources, sources[-1]],
            hovertemplate="$%{y:,.4~g} since %{x|%Y-%m-%d} (%{customdata})<extra></extra>",
        )
    )
