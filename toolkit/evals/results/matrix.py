"""A run as a matrix: samples by model and variant, each answer once, with all its scores.

Read from rows of `eval_samples`; nothing here opens a store or asks a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from toolkit.evals.results.cell_values import as_value, in_order
from toolkit.evals.results.summary import PEOPLE, Row, Side, newest_rows, scorers_of, short_names
from toolkit.evals.scoring.score import UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The score of one scorer for one answer; `score` is None where it could not be scored.

    `is_unreadable`: the answer gave nothing to compare, or the judge no verdict.
    """

    scorer: str
    score: float | None
    is_pass: bool | None
    explanation: str | None
    error_code: str | None
    judge_model: str | None
    judge_call_id: str | None
    judge_cost_usd: Decimal | None
    is_unreadable: bool = False

    @property
    def mark(self) -> str:
        """A shape for it, so that colour is never the only sign."""
        if self.scorer == PEOPLE and self.score is None:
            return "·"  # a comment without a verdict
        if self.is_unreadable:
            return "?"
        if self.error_code is not None or self.score is None:
            return "!"
        if self.is_pass is None:
            return "·"
        return "✓" if self.is_pass else "✕"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCell:
    """One answer with everything said of it; money in USD, durations in ms, None is unknown.

    `status` is that of the asking: `ok`, `error` (the call failed) or `skipped` (a cap left it
    out); `error_code` and `error_message` say why an answer is missing.
    """

    sample_id: str
    model: str
    variant: str
    epoch: int
    output: str | None
    status: Literal["ok", "error", "skipped"]
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
        return self.status == "error" or any(j.error_code for j in self.judgements)

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
    cells: Mapping[Side, tuple[AnswerCell, ...]]

    @property
    def answers(self) -> list[AnswerCell]:
        """All answers to this sample."""
        return [cell for cells in self.cells.values() for cell in cells]


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
    def answers(self) -> list[AnswerCell]:
        """All answers of the run."""
        return [cell for sample in self.samples for cell in sample.answers]


def read_matrix(rows: Iterable[Row]) -> Matrix:
    """The matrix of a run from its rows; older rows of the same answer and scorer do not count."""
    newest = newest_rows(rows)
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in newest:
        key = str(row["sample_id"]), row["model"], row["variant"] or "", int(row["epoch"])
        grouped.setdefault(key, []).append(row)
    cells: dict[str, dict[Side, list[AnswerCell]]] = {}
    for key in sorted(grouped, key=lambda key: (in_order(key[0]), *key[1:])):
        cell = _read_answer(grouped[key])
        cells.setdefault(cell.sample_id, {}).setdefault(cell.side, []).append(cell)
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


def find_sample(matrix: Matrix, sample_id: str) -> SampleRow | None:
    """One sample with all its answers, or None."""
    return next((sample for sample in matrix.samples if sample.sample_id == sample_id), None)


def _read_answer(rows: Sequence[Row]) -> AnswerCell:
    row = max(rows, key=lambda row: row["scored_at"])
    is_answered = row["scorer"] is not None or row["status"] not in ("error", "skipped")
    return AnswerCell(
        sample_id=str(row["sample_id"]),
        model=row["model"],
        variant=row["variant"] or "",
        epoch=int(row["epoch"]),
        output=row["output"],
        status="ok" if is_answered else row["status"],
        error_code=None if is_answered else row["error_code"],
        error_message=None if is_answered else row["error_message"],
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
        is_unreadable=row["error_code"] == UNREADABLE,
    )
