"""Load tests: what latency a throughput costs, one point per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go

from toolkit.charts.numbers import count, duration
from toolkit.charts.palette import BLUE, GREY, VERMILION
from toolkit.charts.style import new_figure, plain, say

if TYPE_CHECKING:
    import pandas as pd

STEP_FIGURES: Final[Mapping[str, tuple[str, Sequence[tuple[str, str, str]]]]] = {
    "TTFT": ("ms", (("ttft_p50_ms", "p50", BLUE), ("ttft_p95_ms", "p95", VERMILION))),
    "Latency": ("ms", (("e2e_p50_ms", "p50", BLUE), ("e2e_p95_ms", "p95", VERMILION))),
    "ITL": ("ms", (("itl_p50_ms", "p50", BLUE), ("itl_p95_ms", "p95", VERMILION))),
    "Throughput": ("requests/s", (("requests_per_s", "answered", BLUE),)),
    "Tokens": ("tokens/s", (("output_tokens_per_s", "output tokens", BLUE),)),
    "Goodput": ("requests/s", (("goodput_per_s", "within all objectives", BLUE),)),
}
"""Figures by name: the unit, and column, name and colour of each line."""

_LINES: Final = (("e2e_p50_ms", "p50", BLUE), ("e2e_p95_ms", "p95", VERMILION))


def load_steps(steps: pd.DataFrame, *, of: str) -> go.Figure:
    """Latency against answered requests per second; a percentile with too few calls is a gap.

    Args:
        steps: rows of `label`, `requests_per_s`, `ok`, `e2e_p50_ms` and `e2e_p95_ms`; with
            repeats also `e2e_p50_ms_low` and `e2e_p50_ms_high`.
        of: the model, for the title.
    """
    known = steps[steps["requests_per_s"].notna()] if len(steps) else steps
    answered = int(known["ok"].sum()) if len(known) else 0
    title = f"Latency against throughput, {plain(of)}, {count(answered)} answers"
    figure = new_figure(title, x="answered requests per second", y="latency, ms", height_px=340)
    if not answered:
        return say(figure, "no request was answered")
    for column, name, colour in _LINES:
        figure.add_trace(
            go.Scatter(
                mode="lines+markers+text" if name == "p50" else "lines+markers",
                name=name,
                x=known["requests_per_s"].astype(float),
                y=known[column].astype(float),
                error_y=_bounds(known, column),
                text=[plain(label) for label in known["label"]],
                textposition="bottom center",
                cliponaxis=False,
                line={"color": colour},
                customdata=[duration(value) for value in known[column]],
                hovertemplate="%{text}: %{customdata}<extra>" + name + "</extra>",
            )
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    return figure


def load_by_step(steps: pd.DataFrame, figure: str, *, of: str) -> go.Figure:
    """One figure of every step, in the order of the steps; an unknown value is a gap.

    Args:
        steps: rows of `label` and the columns of the figure; with repeats also their intervals.
        figure: one of `STEP_FIGURES`.
        of: the model, for the title.
    """
    unit, lines = STEP_FIGURES[figure]
    title = f"{figure} by step, {plain(of)}, {count(len(steps))} steps"
    chart = new_figure(title, x="step", y=unit, height_px=300)
    known = [line for line in lines if line[0] in steps and steps[line[0]].notna().any()]
    if not known:
        return say(chart, f"{figure.lower()} is not known for these steps")
    for column, name, colour in known:
        values = steps[column].astype(float)
        chart.add_trace(
            go.Scatter(
                mode="lines+markers",
                name=name,
                x=[plain(label) for label in steps["label"]],
                y=values,
                error_y=_bounds(steps, column),
                line={"color": colour},
                customdata=[
                    duration(value) if unit == "ms" else f"{value:,.3g} {unit}" for value in values
                ],
                hovertemplate="%{x}: %{customdata}<extra>" + name + "</extra>",
            )
        )
    chart.update_xaxes(type="category")
    chart.update_yaxes(rangemode="tozero")
    return chart


def _bounds(known: pd.DataFrame, column: str) -> dict[str, object] | None:
    """The confidence interval over repeats, where there is one."""
    low, high = f"{column}_low", f"{column}_high"
    if low not in known or known[low].isna().all():
        return None
    value = known[column].astype(float)
    return {
        "type": "data",
        "symmetric": False,
        "array": (known[high].astype(float) - value).clip(lower=0),
        "arrayminus": (value - known[low].astype(float)).clip(lower=0),
        "thickness": 1.5,
        "color": GREY,
    }
