"""A run as people read it: a matrix of samples by model and variant, with filters and summaries.

Pure functions over rows of `eval_samples`; nothing here opens a store or asks a model. An answer
counts once, however many scorers scored it, and so do its cost and latency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from toolkit.evals.results.matrix import AnswerCell, Matrix, SampleRow, read_matrix
from toolkit.evals.results.summary import Row, Side, compare_sides, newest_rows, summarize

Filter = Literal["all", "failed", "unreadable", "different", "errors", "skipped"]
FILTERS: Final[tuple[Filter, ...]] = get_args(Filter)


def keep_samples(matrix: Matrix, chosen: Filter, scorer: str | None) -> list[SampleRow]:
    """Return the samples that a filter keeps.

    `failed`: an answer did not pass this scorer. `unreadable`: it gave this scorer nothing to
    compare. `different`: the columns, or the repeats within one, do not agree (by score; by text
    without a scorer). `errors`: a call failed or a scorer could not judge. `skipped`: a cap left
    an answer out.
    """
    return [sample for sample in matrix.samples if _is_kept(sample, chosen, scorer)]


def join_runs(runs: Mapping[str, Iterable[Row]]) -> list[Row]:
    """Rows of several runs as one, on the samples that all have; each variant names its run.

    `runs` is the rows by the run's name; `read_matrix` then puts the runs side by side.
    """
    newest = {name: newest_rows(rows) for name, rows in runs.items()}
    shared = set.intersection(*({str(r["sample_id"]) for r in rows} for rows in newest.values()))
    return [
        {**row, "variant": f"{name}: {row['variant'] or ''}".rstrip(": ")}
        for name, rows in newest.items()
        for row in rows
        if str(row["sample_id"]) in shared
    ]


def cell_score(cell: Sequence[AnswerCell], scorer: str | None) -> float | None:
    """The mean score of a cell's repeats; None where none was scored."""
    scores = _scores(cell, scorer)
    return sum(scores) / len(scores) if scores else None


def summarize_sides(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One entry per model, variant and scorer: `summary.summarize` with costs and latency.

    Returns:
        Its columns, and `name`, `cost_usd` (of the answers, each counted once, None: unpriced),
        `unpriced` answers, `judge_cost_usd`, `p50_ms`, `p95_ms`, `max_ms` and `timed` (answers
        behind them; those taken from a cache or an earlier run do not count).
    """
    newest = newest_rows(rows)
    matrix = read_matrix(newest)
    facts = {side: _measure(matrix, side) for side in matrix.sides}
    entries = summarize(newest)
    if not matrix.scorers:
        nothing = {"scorer": None, "mean": None, "low": None, "high": None, "n": 0, "flicker": None,
                   "unreadable": 0}  # fmt: skip
        entries = [
            {"model": side[0], "variant": side[1], **nothing, "answers": 0, "unscored": 0,
             **{name: sum(cell.status == status for cell in _of_side(matrix, side))
                for name, status in (("failed", "error"), ("skipped", "skipped"))}}
            for side in matrix.sides
        ]  # fmt: skip
    return [
        {
            **entry,
            "name": matrix.names[entry["model"], entry["variant"] or ""],
            **facts[entry["model"], entry["variant"] or ""],
            "judge_cost_usd": _judge_cost(
                _of_side(matrix, (entry["model"], entry["variant"] or "")), entry["scorer"]
            ),
        }
        for entry in entries
    ]


def compare_within(rows: Iterable[Row], scorer: str) -> list[dict[str, Any]]:
    """Every pair of columns of one run, with the verdict in words; p corrected for their number."""
    return compare_sides(newest_rows(rows), scorer)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The exact percentile with linear interpolation, as DuckDB's `quantile_cont`."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _is_kept(sample: SampleRow, chosen: Filter, scorer: str | None) -> bool:
    if chosen == "failed":
        return any(_has_failed(cell, scorer) for cell in sample.answers)
    if chosen == "unreadable":
        found = (cell.find_judgement(scorer) for cell in sample.answers)
        return any(judged is not None and judged.is_unreadable for judged in found)
    if chosen == "different":
        return _differs(sample, scorer)
    if chosen == "skipped":
        return any(cell.status == "skipped" for cell in sample.answers)
    return chosen == "all" or any(cell.is_error for cell in sample.answers)


def _has_failed(cell: AnswerCell, scorer: str | None) -> bool:
    found = cell.find_judgement(scorer)
    if found is None or found.score is None:
        return False
    return found.is_pass is False or (found.is_pass is None and found.score == 0)


def _differs(sample: SampleRow, scorer: str | None) -> bool:
    if scorer is None:
        return len({cell.output for cell in sample.answers if cell.status == "ok"}) > 1
    return len(set(_scores(sample.answers, scorer))) > 1


def _scores(cell: Iterable[AnswerCell], scorer: str | None) -> list[float]:
    found = (answer.find_judgement(scorer) for answer in cell)
    return [judged.score for judged in found if judged is not None and judged.score is not None]


def _of_side(matrix: Matrix, side: Side) -> list[AnswerCell]:
    return [cell for sample in matrix.samples for cell in sample.cells.get(side, ())]


def _measure(matrix: Matrix, side: Side) -> dict[str, Any]:
    answers = _of_side(matrix, side)
    asked = [cell for cell in answers if not cell.is_cached]
    answered = [cell for cell in asked if cell.status == "ok"]
    times = [cell.duration_ms for cell in answered if cell.duration_ms is not None]
    costs = [cell.cost_usd for cell in asked if cell.cost_usd is not None]
    return {
        "cost_usd": sum(costs, Decimal(0)) if costs else None,
        "unpriced": sum(cell.cost_usd is None for cell in answered),
        "priced": len(costs),
        "p50_ms": percentile(times, 0.5),
        "p95_ms": percentile(times, 0.95),
        "max_ms": max(times, default=None),
        "timed": len(times),
    }


def _judge_cost(answers: Iterable[AnswerCell], scorer: str | None) -> Decimal | None:
    found = (cell.find_judgement(scorer) for cell in answers)
    spent = [j.judge_cost_usd for j in found if j is not None and j.judge_cost_usd is not None]
    return sum(spent, Decimal(0)) if spent else None
