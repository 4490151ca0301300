"""What the Evals page reads: the runs, and the answers of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.evals.results.summary import Row
from toolkit.store.queries import Query

RUNS_SHOWN: Final = 200
_RUNS: Final = """
SELECT r.*, s.newest_at
FROM eval_runs r LEFT JOIN (
  SELECT run_id, max(scored_at) AS newest_at FROM eval_samples GROUP BY run_id
) s USING (run_id)
"""
_NEWEST_FIRST: Final = f"ORDER BY r.started_at DESC, r.run_id DESC LIMIT {RUNS_SHOWN}"
_CALLS: Final = """
SELECT request_id, attempt, attempt_kind, model, status, error_code, source, started_at, ttft_ms,
  duration_ms, input_tokens, output_tokens, cost_usd
FROM calls WHERE list_contains(?, request_id) ORDER BY request_id, attempt, seq
"""


def list_runs() -> Query:
    """The newest runs, with the time of the newest score of each (`newest_at`)."""
    return Query(f"{_RUNS}{_NEWEST_FIRST}")


def one_run(run_id: str) -> Query:
    """One run as `list_runs` has it."""
    return Query(f"{_RUNS}WHERE r.run_id = ?", (run_id,))


def rows_of(run_id: str) -> Query:
    """All rows of one run, older ones too."""
    return Query("SELECT * FROM eval_samples WHERE run_id = ?", (run_id,))


def calls_of(request_ids: Sequence[str]) -> Query:
    """Every attempt behind some answers."""
    return Query(_CALLS, (list(request_ids),))


def scored_by(rows: Sequence[Row]) -> list[str]:
    """The scorers of some rows, in the order of the alphabet."""
    return sorted({row["scorer"] for row in rows if row["scorer"] is not None})


def run_name(run: Mapping[str, Any]) -> str:
    """What to call a run."""
    return str(run["name"] or run["dataset"] or run["run_id"])
