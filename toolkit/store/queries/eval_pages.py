"""Queries of the Evals page: its runs, the answers of one run, and the calls behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from toolkit.store.queries.query import Query

RECORDED_CALLS: Final = """SELECT call_id AS id, messages AS input, output_text AS target
FROM calls
WHERE status = 'ok' AND source = 'live' AND origin = 'api'
ORDER BY started_at DESC LIMIT 50"""
"""A first query over recorded calls as a dataset, to be changed by the reader."""
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
