"""What a run came to: scores with their intervals, and score against what it cost or took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration, money
from toolkit.charts.palette import colours_of
from toolkit.charts.style import error_bars, new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

Against = Literal["cost_usd", "p50_ms", "p95_ms"]
_AXES: Final = {
    "cost_usd": "cost of the answers, USD",
    "p50_ms": "latency p50, ms",
    "p95_ms": "latency p95, ms",
}


def eval_scores(summary: pd.DataFrame, *, of: str = "") -> go.Figure:
    """The mean score of each model and variant with its 95 % interval, best first.

    Args:
        summary: rows of `summarize_sides` (`evals/results/run_results.py`) for one scorer (`name`,
            `model`, `mean`, `low`, `high`, `n`).
        of: what the run is called, for the title.
    """
    known = _known(summary, "mean").sort_values("mean", ascending=False)
    title = f"Score with 95 % interval{_of(of)}, n = {_samples(known)} samples"
    figure = new_figure(title, x="mean score", y="", height_px=110 + 40 * max(len(known), 1))
    if not len(known):
        return say(figure, "nothing was scored")
    colours = colours_of(str(name) for name in known["model"])
    figure.add_trace(
        go.Scatter(
            mode="markers",
            x=known["mean"].astype(float),
            y=[plain(name) for name in known["name"]],
            error_x=error_bars(known, "mean"),
            marker={"size": 10, "color": [colours[str(name)] for name in known["model"]]},
            customdata=_interval_texts(known),
            hovertemplate="%{y}: %{customdata}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    _fit_scores(figure, known, "x")
    return figure


def eval_tradeoff(
    summary: pd.DataFrame, against: Against = "cost_usd", *, of: str = ""
) -> go.Figure:
    """Score against cost or latency, one point per model and variant; what is unknown has none.

    Args:
        summary: as for `eval_scores`, with the column `against`.
        against: `cost_usd`, `p50_ms` or `p95_ms`.
        of: what the run is called, for the title.
    """
    known = _known(_known(summary, "mean"), against)
    axis = _AXES[against]
    title = f"Score against {axis.split(',')[0]}{_of(of)}, {len(known)} of {len(summary)} known"
    figure = new_figure(title, x=axis, y="mean score", height_px=340)
    if not len(known):
        return say(figure, f"the {axis.split(',')[0]} is not known")
    colours = colours_of(str(name) for name in known["model"])
    write = money if against == "cost_usd" else duration
    figure.add_trace(
        go.Scatter(
            mode="markers+text",
            x=known[against].astype(float),
            y=known["mean"].astype(float),
            error_y=error_bars(known, "mean"),
            text=[plain(name) for name in known["name"]],
            textposition="top center",
            cliponaxis=False,
            marker={"size": 11, "color": [colours[str(name)] for name in known["model"]]},
            customdata=[
                f"{shown}, {write(float(value))}"
                for shown, value in zip(_interval_texts(known), known[against], strict=True)
            ],
            hovertemplate="%{text}: %{customdata}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(rangemode="tozero")
    _fit_scores(figure, known, "y")
    return figure


def _known(summary: pd.DataFrame, column: str) -> pd.DataFrame:
    return summary[summary[column].notna()] if len(summary) else summary


def _of(name: str) -> str:
    return f", {plain(name)}" if name else ""


def _samples(known: pd.DataFrame) -> str:
    if not len(known):
        return "0"
    least, most = int(known["n"].min()), int(known["n"].max())
    return count(most) if least == most else f"{count(least)} to {count(most)}"


def _interval_texts(known: pd.DataFrame) -> list[str]:
    return [
        f"{float(row['mean']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}], "
        f"n = {count(int(row['n']))}"
        for _, row in known.iterrows()
    ]


def _fit_scores(figure: go.Figure, known: pd.DataFrame, axis: Literal["x", "y"]) -> None:
    """Scores within 0 to 1 are drawn on the whole of it, so that nothing looks larger than it is.

    A score in a unit of its own (a latency, a cost) begins at zero.
    """
    is_bounded = float(known["low"].min()) >= 0 and float(known["high"].max()) <= 1
    fit = {"range": [-0.02, 1.06]} if is_bounded else {"rangemode": "tozero"}
    (figure.update_xaxes if axis == "x" else figure.update_yaxes)(**fit)
