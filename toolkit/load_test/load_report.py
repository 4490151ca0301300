"""How a load test is shown: rows of a table, and one HTML file without a script.

Names of models, errors and runs are foreign text: the template escapes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.charts.numbers import UNKNOWN, count, duration, money
from toolkit.display import Cell
from toolkit.evals.results.one_file import report_environment
from toolkit.load_test.figures import LATENCIES, Figures

if TYPE_CHECKING:
    from jinja2 import Template

WIDTH: Final = 600.0
HEIGHT: Final = 220.0
_NAMES: Final = {
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
    "itl_ms": "ITL",
    "e2e_ms": "latency",
    "start_delay_ms": "start delay",
}
_RANKS: Final = ("mean", "p50", "p90", "p95", "p99", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMark:
    """One step in a chart: its place, the ends of its interval, pixels, and its numbers."""

    x: float
    y: float
    low: float
    high: float
    name: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlot:
    """A figure of every step, in the order of the steps."""

    title: str
    marks: Sequence[StepMark]
    y_end: str


def render_load_report(
    run: Mapping[str, Any], summary: Mapping[str, Any], config: Mapping[str, Any]
) -> str:
    """The HTML text of a run.

    Args:
        run: its row of `load_tests`.
        summary: its figures.
        config: schedule, prompts, objectives and bounds.
    """
    steps = summary["steps"]
    plots = (
        _plot(steps, "requests_per_s", "Answered requests per second", _rate),
        _plot(steps, "output_tokens_per_s", "Output tokens per second", _rate),
        _plot(steps, "ttft_p50_ms", "TTFT, median", duration),
        _plot(steps, "e2e_p50_ms", "Latency, median", duration),
        _plot(steps, "goodput_per_s", "Goodput per second", _rate),
    )
    return _template().render(
        run=run,
        summary=summary,
        config=config,
        rows=[table_row(step) for step in steps],
        latencies=[(_NAMES[name], latency_rows(steps, name)) for name in LATENCIES],
        ranks=_RANKS,
        plots=[plot for plot in plots if plot is not None],
        unknown=UNKNOWN,
        now=datetime.now(UTC),
    )


@cache
def _template() -> Template:
    environment = report_environment(Path(__file__).parent)
    environment.filters.update(count=count, duration=duration, money=money)
    return environment.get_template("load_report.html.j2")


def table_row(step: Figures) -> dict[str, Cell]:
    """A step as tables show it: the figures that people compare first."""
    row: dict[str, Cell] = {
        "step": step["label"],
        "ok": step["ok"],
        "errors": step["errors"],
        "requests/s": with_interval(step, "requests_per_s"),
        "tokens/s": with_interval(step, "output_tokens_per_s"),
        "TTFT p50": _latency(step, "ttft", "p50"),
        "TTFT p95": _latency(step, "ttft", "p95"),
        "TPOT p50": _latency(step, "tpot", "p50"),
        "ITL p95": _latency(step, "itl", "p95"),
        "latency p50": _latency(step, "e2e", "p50"),
        "latency p95": _latency(step, "e2e", "p95"),
        "latency p99": _latency(step, "e2e", "p99"),
    }
    if step["goodput_share"] is not None:
        row["goodput/s"] = with_interval(step, "goodput_per_s")
        row["good"] = f"{step['goodput_share']:.1%}"
    return row


def with_interval(step: Figures, name: str) -> str:
    """A rate, with half the width of its confidence interval where there are repeats."""
    value = step[name]
    if value is None:
        return UNKNOWN
    bounds = step["intervals"].get(name)
    text = f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return text if bounds is None else f"{text} [{bounds['low']:,.3g}, {bounds['high']:,.3g}]"


def _latency(step: Figures, name: str, rank: str) -> str:
    """A percentile; with too few requests for it, the maximum and how many there were."""
    value = step[f"{name}_{rank}_ms"]
    if value is not None:
        return duration(value)
    most = step[f"{name}_max_ms"]
    return UNKNOWN if most is None else f"max {duration(most)} (n = {count(step[f'{name}_n'])})"


def latency_rows(steps: Sequence[Figures], name: str) -> list[dict[str, Cell]]:
    """One latency of every step: mean, percentiles, maximum and n; empty where none is known."""
    stem = name.removesuffix("_ms")
    return [
        {
            "step": step["label"],
            **{rank: duration(step[f"{stem}_{rank}_ms"]) for rank in _RANKS},
            "n": count(step[f"{stem}_n"]),
        }
        for step in steps
        if step[f"{stem}_n"]
    ]


def _plot(
    steps: Sequence[Figures], name: str, title: str, write: Callable[[float], str]
) -> StepPlot | None:
    """A line over the steps; None where fewer than two have the figure."""
    known = [step for step in steps if step[name] is not None]
    if len(known) < 2:
        return None
    intervals = [step["intervals"].get(name) for step in known]
    highs = [
        bounds["high"] if bounds else step[name]
        for bounds, step in zip(intervals, known, strict=True)
    ]
    most = max(*highs, *(step[name] for step in known)) or 1.0
    marks = []
    for index, (step, bounds) in enumerate(zip(known, intervals, strict=True)):
        low, high = (bounds["low"], bounds["high"]) if bounds else (step[name], step[name])
        marks.append(
            StepMark(
                x=index / (len(known) - 1) * WIDTH,
                y=_height(step[name], most),
                low=_height(low, most),
                high=_height(high, most),
                name=step["label"],
                label=f"{step['label']}: {write(step[name])}",
            )
        )
    return StepPlot(title=title, marks=marks, y_end=write(most))


def _height(value: float, most: float) -> float:
    return HEIGHT - value / most * HEIGHT


def _rate(value: float) -> str:
    return f"{value:,.3g}/s"
