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
from toolkit.evals.results.report_charts import Plot, Strip, plot_tradeoff, strip_scores
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
        most_samples: samples told in full; those with errors and failures come first, and the
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
    for chosen in ("errors", "failed", "different", "skipped", "all"):
        assert chosen in FILTERS
        for sample in keep_samples(matrix, chosen, first):
            ordered.setdefault(sample.sample_id, sample)
    return list(ordered.values())


def _section(rows: Sequence[Row], scorer: str | None) -> Section:
    entries = [entry for entry in summarize_sides(rows) if entry["scorer"] == scorer]
    pairs = compare_within(rows, scorer) if scorer else []
    told = f" after Holm, {len(pairs)} comparisons)"
    verdicts = [
        p["sentence"] + (f" (p = {p['p_adjusted']:.2g}{told}" if len(pairs) > 1 else "")
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
    told = summary.get("sentence") if isinstance(summary, Mapping) else None
    answers = sum(told.status == "ok" for told in matrix.answers)
    asked = f"{count(len(matrix.answers))} answers to {count(len(matrix.samples))} samples"
    return str(told or f"{count(answers)} of {asked}.")


def _money(usd: Decimal | float | None) -> str:
    return money(usd)


def _score(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"
