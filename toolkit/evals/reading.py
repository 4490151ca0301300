"""A run as people read it: a matrix of samples by model and variant, with filters and summaries.

Pure functions over rows of `eval_samples`; nothing here opens a store or asks a model. An answer
is told once, however many scorers judged it, and so are its cost and its latency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from toolkit.evals.read_values import as_value, in_order
from toolkit.evals.summary import (
    Row,
    Side,
    compare_sides,
    newest_rows,
    scorers_of,
    short_names,
    summarize,
)

Filter = Literal["all", "failed", "different", "errors"]
FILTERS: Final[tuple[Filter, ...]] = ("all", "failed", "different", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one scorer said of one answer; `score` is None where it could not tell."""

    scorer: str
    score: float | None
    is_pass: bool | None
    explanation: str | None
    error_code: str | None
    judge_model: str | None
    judge_call_id: str | None
    judge_cost_usd: Decimal | None

    @property
    def mark(self) -> str:
        """A shape for it, so that colour is never the only sign."""
        if self.error_code is not None or self.score is None:
            return "!"
        if self.is_pass is None:
            return "·"
        return "✓" if self.is_pass else "✕"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer with everything said of it; money in USD, durations in ms, None is unknown."""

    sample_id: str
    model: str
    variant: str
    epoch: int
    output: str | None
    error_code: str | None
    error_message: str | None
    call_id: str | None
    request_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    duration_ms: float | None
    ttft_ms: float | None
    is_cached: bool
    judgements: tuple[Judgement, ...]

    @property
    def side(self) -> Side:
        """Model and variant."""
        return self.model, self.variant

    @property
    def is_error(self) -> bool:
        """The call failed, or a scorer could not judge the answer."""
        return self.error_code is not None or any(j.error_code for j in self.judgements)

    def find_judgement(self, scorer: str | None) -> Judgement | None:
        """What this scorer said, or None."""
        return next((j for j in self.judgements if j.scorer == scorer), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """One line of the matrix: a sample, and its answers (one per repeat) by side."""

    sample_id: str
    input: Any
    target: Any
    metadata: Mapping[str, Any]
    cells: Mapping[Side, tuple[Told, ...]]

    @property
    def answers(self) -> list[Told]:
        """All answers to this sample."""
        return [told for cell in self.cells.values() for told in cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Samples by model and variant.

    Attributes:
        samples: in the order of their ids.
        sides: the columns.
        names: what to call each column.
        scorers: who judged.
    """

    samples: tuple[SampleRow, ...]
    sides: tuple[Side, ...]
    names: Mapping[Side, str]
    scorers: tuple[str, ...]

    @property
    def answers(self) -> list[Told]:
        """All answers of the run."""
        return [told for sample in self.samples for told in sample.answers]


def read_matrix(rows: Iterable[Row]) -> Matrix:
    """The matrix of a run from its rows; older rows of the same answer and scorer do not count."""
    newest = newest_rows(rows)
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in newest:
        key = str(row["sample_id"]), row["model"], row["variant"] or "", int(row["epoch"])
        grouped.setdefault(key, []).append(row)
    cells: dict[str, dict[Side, list[Told]]] = {}
    for key in sorted(grouped, key=lambda key: (in_order(key[0]), *key[1:])):
        told = _read_answer(grouped[key])
        cells.setdefault(told.sample_id, {}).setdefault(told.side, []).append(told)
    firsts = {str(row["sample_id"]): row for row in newest}
    sides = tuple(sorted({(key[1], key[2]) for key in grouped}))
    samples = tuple(
        SampleRow(
            sample_id=sample_id,
            input=as_value(firsts[sample_id]["input"]),
            target=as_value(firsts[sample_id]["target"]),
            metadata=as_value(firsts[sample_id]["metadata"]) or {},
            cells={side: tuple(answers) for side, answers in by_side.items()},
        )
        for sample_id, by_side in cells.items()
    )
    return Matrix(
        samples=samples, sides=sides, names=short_names(sides), scorers=tuple(scorers_of(newest))
    )


def keep_samples(matrix: Matrix, chosen: Filter, scorer: str | None) -> list[SampleRow]:
    """The samples that a filter keeps.

    `failed`: an answer did not pass this scorer. `different`: the columns, or the repeats within
    one, do not agree (by score; by text where there is no scorer). `errors`: a call failed or a
    scorer could not judge.
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


def cell_score(cell: Sequence[Told], scorer: str | None) -> float | None:
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
        nothing = {"scorer": None, "mean": None, "low": None, "high": None, "n": 0, "flicker": None}
        entries = [
            {"model": side[0], "variant": side[1], **nothing, "answers": 0, "unscored": 0,
             "failed": sum(told.error_code is not None for told in _of_side(matrix, side))}
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


def find_sample(matrix: Matrix, sample_id: str) -> SampleRow | None:
    """One sample with all its answers, or None."""
    return next((sample for sample in matrix.samples if sample.sample_id == sample_id), None)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The exact percentile with linear interpolation, as DuckDB's `quantile_cont`."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _read_answer(rows: Sequence[Row]) -> Told:
    row = max(rows, key=lambda row: row["scored_at"])
    failed = row["scorer"] is None and row["status"] == "error"
    return Told(
        sample_id=str(row["sample_id"]),
        model=row["model"],
        variant=row["variant"] or "",
        epoch=int(row["epoch"]),
        output=row["output"],
        error_code=row["error_code"] if failed else None,
        error_message=row["error_message"] if failed else None,
        call_id=row["call_id"],
        request_id=row["request_id"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_usd=row["cost_usd"],
        duration_ms=row["duration_ms"],
        ttft_ms=row["ttft_ms"],
        is_cached=bool(row["is_cached"]),
        judgements=tuple(_read_judgement(row) for row in rows if row["scorer"] is not None),
    )


def _read_judgement(row: Row) -> Judgement:
    return Judgement(
        scorer=row["scorer"],
        score=row["score"],
        is_pass=row["is_pass"],
        explanation=row["explanation"] or row["error_message"],
        error_code=row["error_code"] if row["status"] == "error" else None,
        judge_model=row["judge_model"],
        judge_call_id=row["judge_call_id"],
        judge_cost_usd=row["judge_cost_usd"],
    )


def _is_kept(sample: SampleRow, chosen: Filter, scorer: str | None) -> bool:
    if chosen == "failed":
        return any(_has_failed(told, scorer) for told in sample.answers)
    if chosen == "different":
        return _differs(sample, scorer)
    return chosen == "all" or any(told.is_error for told in sample.answers)


def _has_failed(told: Told, scorer: str | None) -> bool:
    found = told.find_judgement(scorer)
    if found is None or found.score is None:
        return False
    return found.is_pass is False or (found.is_pass is None and found.score == 0)


def _differs(sample: SampleRow, scorer: str | None) -> bool:
    if scorer is None:
        return len({told.output for told in sample.answers if told.error_code is None}) > 1
    return len(set(_scores(sample.answers, scorer))) > 1


def _scores(cell: Iterable[Told], scorer: str | None) -> list[float]:
    found = (told.find_judgement(scorer) for told in cell)
    return [judged.score for judged in found if judged is not None and judged.score is not None]


def _of_side(matrix: Matrix, side: Side) -> list[Told]:
    return [told for sample in matrix.samples for told in sample.cells.get(side, ())]


def _measure(matrix: Matrix, side: Side) -> dict[str, Any]:
    answers = _of_side(matrix, side)
    asked = [told for told in answers if not told.is_cached]
    answered = [told for told in asked if told.error_code is None]
    times = [told.duration_ms for told in answered if told.duration_ms is not None]
    costs = [told.cost_usd for told in asked if told.cost_usd is not None]
    return {
        "cost_usd": sum(costs, Decimal(0)) if costs else None,
        "unpriced": sum(told.cost_usd is None for told in answered),
        "priced": len(costs),
        "p50_ms": percentile(times, 0.5),
        "p95_ms": percentile(times, 0.95),
        "max_ms": max(times, default=None),
        "timed": len(times),
    }


def _judge_cost(answers: Iterable[Told], scorer: str | None) -> Decimal | None:
    found = (told.find_judgement(scorer) for told in answers)
    spent = [j.judge_cost_usd for j in found if j is not None and j.judge_cost_usd is not None]
    return sum(spent, Decimal(0)) if spent else None
