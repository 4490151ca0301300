"""A run as one HTML file: no script, nothing loaded from anywhere, model output as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.charts.numbers import UNKNOWN, count, duration, money
from toolkit.evals.results.cell_values import as_value, say_value
from toolkit.evals.results.matrix import Matrix, SampleRow, read_matrix
from toolkit.evals.results.one_file import report_environment
from toolkit.evals.results.run_results import FILTERS, compare_within, keep_samples, summarize_sides
from toolkit.evals.results.summary import Row

if TYPE_CHECKING:
    from jinja2 import Template


MOST_SAMPLES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All that the report says of one scorer."""

    scorer: str | None
    entries: Sequence[Mapping[str, Any]]
    verdicts: Sequence[str]
    strips: Sequence[Strip]
    plots: Sequence[Plot]


@cache
def _template() -> Template:
    environment = report_environment(Path(__file__).parent)
    environment.filters.update(
        count=count, duration=duration, money=_money, score=_score, value=say_value
    )
    return environment.get_template("report.html.j2")


def render_report(
    run: Mapping[str, Any], rows: Sequence[Row], *, most_samples: int = MOST_SAMPLES
) -> str:
    """The HTML text of a run.

    Args:
        run: its row of `eval_runs`.
        rows: its rows of `eval_samples`.
        most_samples: samples shown in full; those with errors and failures come first, and the
            report says how many it leaves out.
    """
    matrix = read_matrix(rows)
    ordered = order_samples(matrix)
    return _template().render(
        run=run,
        sentence=_sentence(run, matrix),
        sections=[_section(rows, scorer) for scorer in (matrix.scorers or (None,))],
        matrix=matrix,
        samples=ordered[:most_samples],
        left_out=max(len(ordered) - most_samples, 0),
        unknown=UNKNOWN,
        now=datetime.now(UTC),
    )


def order_samples(matrix: Matrix) -> list[SampleRow]:
    """Samples with errors first, then failures, differences, what a cap left out, the rest."""
    first = matrix.scorers[0] if matrix.scorers else None
    ordered: dict[str, SampleRow] = {}
    for chosen in ("errors", "failed", "unreadable", "different", "skipped", "all"):
        assert chosen in FILTERS
        for sample in keep_samples(matrix, chosen, first):
            ordered.setdefault(sample.sample_id, sample)
    return list(ordered.values())


def _section(rows: Sequence[Row], scorer: str | None) -> Section:
    entries = [entry for entry in summarize_sides(rows) if entry["scorer"] == scorer]
    pairs = compare_within(rows, scorer) if scorer else []
    note = f" after Holm, {len(pairs)} comparisons)"
    verdicts = [
        p["sentence"] + (f" (p = {p['p_adjusted']:.2g}{note}" if len(pairs) > 1 else "")
        for p in pairs
    ]
    found = (plot_tradeoff(entries, against) for against in ("cost_usd", "p50_ms"))
    plots = [plot for plot in found if plot is not None]
    return Section(
        scorer=scorer,
        entries=entries,
        verdicts=verdicts,
        strips=strip_scores(entries),
        plots=plots,
    )


def _sentence(run: Mapping[str, Any], matrix: Matrix) -> str:
    summary = as_value(run.get("summary"))
    sentence = summary.get("sentence") if isinstance(summary, Mapping) else None
    answers = sum(cell.status == "ok" for cell in matrix.answers)
    asked = f"{count(len(matrix.answers))} answers to {count(len(matrix.samples))} samples"
    return str(sentence or f"{count(answers)} of {asked}.")


def _money(usd: Decimal | float | None) -> str:
    return money(usd)


def _score(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


WIDTH: Final = 600.0
_AXES: Final = {"cost_usd": "cost of the answers", "p50_ms": "latency p50"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One line of the chart of scores: name, and where its mark and interval are, pixels."""

    name: str
    at: float
    low: float
    high: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point: its name, its place, the ends of its interval, pixels, and its numbers."""

    name: str
    x: float
    y: float
    low: float
    high: float
    is_right: bool
    label: str


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
            label=_label(entry),
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
            label=f"{entry['name']}: {entry['mean']:.3g}, {write(float(entry[against]))}",
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


def _label(entry: Mapping[str, Any]) -> str:
    bounds = f"[{entry['low']:.3g}, {entry['high']:.3g}]"
    return f"{entry['mean']:.3g} {bounds}, n = {entry['n']:,}"
