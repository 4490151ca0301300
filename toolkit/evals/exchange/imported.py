"""A run read from a file: one row of `eval_runs`, and its rows of `eval_samples`.

Its ids are made of the file's own, so that the same file gives the same run. Imported answers are
no calls of ours: they enter no latency, health or cost statistics but those of their own run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from toolkit.errors import InvalidInput
from toolkit.evals.dataset import stable_id
from toolkit.evals.results.summary import (
    compare_sides,
    count_codes,
    count_status,
    newest_rows,
    scorers_of,
    summarize,
)
from toolkit.store.tables import TABLES

COLUMNS = TABLES["eval_samples"].columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A run from a file, ready to be kept."""

    run: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def build_import(
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str,
    name: str,
    source: str,
    dataset: str | None = None,
    started_at: datetime | None = None,
) -> Imported:
    """Put the run's own row together from its answers.

    Args:
        rows: rows of `eval_samples`; columns that are missing are unknown.
        run_id: id of the run; the rows get it.
        name: for people.
        source: where it is from, kept as a tag.
        dataset: name of the data.
        started_at: when it began, UTC; None: the first score's time.

    Raises:
        InvalidInput: the file has no rows.
    """
    if not rows:
        raise InvalidInput(f"{name} holds no answer")
    whole = [complete_row({**row, "run_id": run_id}) for row in rows]
    newest = newest_rows(whole)
    answers = {(r["model"], r["variant"], r["sample_id"], r["epoch"]): r for r in newest}
    failed, skipped = (count_status(answers.values(), s) for s in ("error", "skipped"))
    costs = [r["cost_usd"] for r in answers.values() if r["cost_usd"] is not None]
    begun = started_at or min(row["scored_at"] for row in whole)
    sentence = f"{len(answers) - failed - skipped:,} of {len(answers):,} answers"
    sentence += f", {skipped:,} left out by a cap" if skipped else ""
    sentence += f", imported from {source}"
    run = {
        "run_id": run_id,
        "name": name,
        "dataset": dataset,
        "models": list(dict.fromkeys(row["model"] for row in whole)),
        "scorers": scorers_of(newest),
        "epochs": max(int(row["epoch"]) for row in whole),
        "status": "stopped" if skipped else "done",
        "samples": len(answers),
        "done": len(answers) - skipped,
        "errors": failed,
        "cost_usd": sum(costs, Decimal(0)) if costs else None,
        "started_at": begun,
        "ended_at": max(row["scored_at"] for row in whole),
        "summary": _summarize(newest, len(answers), sentence),
        "tags": {"source": source},
    }
    return Imported(run=run, rows=whole)


def complete_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every column; an id made of its place where it has none."""
    whole = dict.fromkeys(COLUMNS) | dict(row)
    whole["variant"] = whole["variant"] or ""
    whole["epoch"] = whole["epoch"] or 1
    whole["scored_at"] = whole["scored_at"] or datetime.now(UTC)
    whole["status"] = whole["status"] or "ok"
    if not whole["result_id"]:
        place = ("run_id", "sample_id", "model", "variant", "epoch", "scorer")
        whole["result_id"] = stable_id([whole[column] for column in place])
    return whole


def _summarize(rows: Sequence[Mapping[str, Any]], planned: int, sentence: str) -> dict[str, Any]:
    failed, skipped = (count_status(rows, status) for status in ("error", "skipped"))
    sides = {(row["model"], row["variant"]) for row in rows}
    compared = {name: compare_sides(rows, name) for name in scorers_of(rows)}
    return {
        "sentence": f"{sentence}.",
        "planned": planned,
        "answers": planned - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "not_asked": 0,
        "errors": count_codes(rows),
        "scores": summarize(rows),
        "comparisons": compared if len(sides) > 1 else {},
        "thresholds": [],
        "stopped_by": None,
    }


def describe_defect(error: Exception) -> str:
    """What is wrong with a file, in words. Python itself names only the missing key."""
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    if isinstance(error, AttributeError | TypeError):
        return "a field holds a value of another type than expected"
    return str(error)
