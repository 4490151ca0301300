"""Rows of `eval_samples` and a row of `eval_runs` as a run leaves them, for tests that read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from uuid_utils import uuid7

from toolkit.store.tables import TABLES

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
COLUMNS = TABLES["eval_samples"].columns


def row(number: int, model: str = "mock/a", score: float | None = 1.0, **fields: Any) -> Any:
    """One answer as one scorer saw it; `number` is its sample."""
    made = dict.fromkeys(COLUMNS) | {
        "result_id": str(uuid7()),
        "run_id": "run-1",
        "sample_id": f"q{number}",
        "epoch": 1,
        "provider": model.partition("/")[0],
        "model": model,
        "variant": "plain",
        "scorer": "exact",
        "input": f"Question {number}?",
        "target": "yes",
        "output": "yes" if score else "no",
        "score": score,
        "is_pass": None if score is None else score >= 0.5,
        "metadata": {"topic": "first"},
        "status": "ok",
        "call_id": f"call-{model}-{number}",
        "request_id": f"request-{model}-{number}",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.001"),
        "duration_ms": 100.0 + number,
        "ttft_ms": 50.0,
        "scored_at": AT + timedelta(seconds=number),
        "is_cached": False,
    }
    return made | fields


def failed(number: int, model: str = "mock/a", **fields: Any) -> Any:
    """One call that failed."""
    told = {"status": "error", "error_code": "TIMEOUT", "error_message": "no answer in time"}
    nothing = {"output": None, "is_pass": None, "cost_usd": None, "duration_ms": None}
    return row(number, model, None, scorer=None, **(told | nothing | fields))


def skipped(number: int, model: str = "mock/a", **fields: Any) -> Any:
    """One answer that a cap left out."""
    told = {"status": "skipped", "error_code": "BUDGET_EXCEEDED", "error_message": "raise the cap"}
    nothing = {"call_id": None, "request_id": None, "input_tokens": None, "output_tokens": None}
    return failed(number, model, **(told | nothing | {"ttft_ms": None} | fields))


def run(run_id: str = "run-1", **fields: Any) -> dict[str, Any]:
    """The row of a run that is over."""
    made: dict[str, Any] = {
        "run_id": run_id,
        "name": "first",
        "dataset_id": "d1",
        "dataset": "questions",
        "dataset_sha256": "d1",
        "models": ["mock/a", "mock/b"],
        "scorers": ["exact"],
        "epochs": 1,
        "status": "done",
        "samples": 40,
        "done": 40,
        "errors": 1,
        "cost_usd": Decimal("0.04"),
        "started_at": AT,
        "ended_at": AT + timedelta(minutes=1),
        "summary": {"sentence": "39 of 40 answers, 1 failed (TIMEOUT 1)."},
    }
    return made | fields


def two_models() -> list[dict[str, Any]]:
    """Twenty samples: `mock/a` is right on all but four, `mock/b` on half; one call failed."""
    rows = [row(n, "mock/a", float(n > 4)) for n in range(1, 21)]
    rows += [row(n, "mock/b", float(n % 2)) for n in range(1, 20)]
    return [*rows, failed(20, "mock/b")]
