"""Rows of `eval_samples`: an answer as a scorer sees it, a failed call, one that a cap left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.evals.running.plan import Task, hash_id
from toolkit.evals.scoring.score import UNREADABLE, Score
from toolkit.evals.solvers import Solved
from toolkit.records import Reply

Row = dict[str, Any]


def build_row(
    run_id: str, task: Task, solved: Solved, scorer: str | None, found: Score | None
) -> Row:
    """One row of `eval_samples`: an answer as one scorer sees it."""
    reply = solved.replies[-1] if solved.replies else None
    sample, is_cached = task.sample, any("cached" in r.flags for r in solved.replies)
    details = found.details if found else {}
    code = details.get("code") or ("SCORER_ERROR" if found and found.error else None)
    is_unreadable = found is not None and found.is_unreadable
    value = found.value if found else None
    return {
        "result_id": hash_id(run_id, task.key, scorer, 0),
        "run_id": run_id,
        "sample_id": sample.sample_id,
        "epoch": task.epoch,
        "provider": task.model.partition("/")[0],
        "model": task.model,
        "variant": task.solver.name,
        "params": dict(task.solver.params),
        "scorer": scorer,
        "input": sample.input,
        "target": list(sample.target) if isinstance(sample.target, tuple) else sample.target,
        "output": solved.text,
        "score": value,
        "is_pass": None,
        "explanation": (found.error or found.reason or None) if found else None,
        "metadata": dict(sample.metadata),
        "status": "error" if code else "ok",
        # An unreadable answer has been judged: its status is ok, its score 0, its code says why.
        "error_code": code or (UNREADABLE if is_unreadable else None),
        "error_message": found.error if found else None,
        "call_id": reply.call_id if reply else None,
        "request_id": reply.request_id if reply else None,
        "input_tokens": _total(r.usage.input_tokens for r in solved.replies),
        "output_tokens": _total(r.usage.output_tokens for r in solved.replies),
        "cost_usd": None if is_cached else _total(r.cost_usd for r in solved.replies),
        "duration_ms": _total(r.timing.duration_ms for r in solved.replies),
        "ttft_ms": solved.replies[0].timing.ttft_ms if solved.replies else None,
        "is_cached": is_cached,
        "judge_model": details.get("judge_model"),
        "judge_call_id": details.get("judge_call_id"),
        "judge_cost_usd": details.get("judge_cost_usd"),
        "scored_at": datetime.now(UTC),
    }


def build_error_row(
    run_id: str,
    task: Task,
    code: str,
    message: str,
    seen: Sequence[Reply],
    error: ToolkitError | None = None,
) -> Row:
    """The row of a call that failed, with what came of it; `seen` are the replies before it."""
    row = build_row(run_id, task, Solved("", tuple(seen)), None, None)
    attempts = getattr(error, "attempts", ())
    call_id = attempts[-1].call_id if attempts else row["call_id"]
    return row | {
        "result_id": hash_id(run_id, task.key, None, call_id),
        "output": getattr(error, "partial_text", None) or None,
        "status": "error",
        "error_code": code,
        "error_message": message,
        "call_id": call_id,
    }


def build_skipped_row(run_id: str, task: Task, error: ToolkitError, seen: Sequence[Reply]) -> Row:
    """The row of an answer that a cap left out; `seen` are replies of its turns before that."""
    message = (
        f"left out when a cap ended the run: {error.message}. Resume the run with a higher cap "
        f"to ask for it: `toolkit eval resume {run_id} --cap USD`"
    )
    return build_row(run_id, task, Solved("", tuple(seen)), None, None) | {
        "result_id": hash_id(run_id, task.key, None, message),
        "output": None,
        "status": "skipped",
        "error_code": error.code,
        "error_message": message,
    }


def _total(values: Iterator[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
