"""Queries over load tests and the calls that they made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from toolkit.store.store import Store

Row = dict[str, Any]

_RUNS: Final = "SELECT * FROM load_tests ORDER BY started_at DESC, run_id DESC LIMIT ?"
_RUNS_NAMED: Final = """
    SELECT * FROM load_tests WHERE name = ? OR starts_with(run_id, ?) ORDER BY started_at DESC"""
# The last attempt is the one that ended the request; retries are off unless the user wants them.
_REQUESTS: Final = """
    SELECT call_id, request_id, attempt, started_at, model, status, error_code, error_message,
           http_status, finish_reason, input_tokens, output_tokens, usage_source, cost_usd,
           queue_ms, connect_ms, headers_ms, ttft_ms, ttfo_ms, duration_ms, tpot_ms, output_tps,
           overhead_ms, loop_lag_ms, connection_reused, chunk_offsets_us, stream, tags
    FROM calls WHERE origin = 'load_test' AND origin_id = ?
    QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY attempt DESC, seq DESC) = 1
    ORDER BY started_at, call_id"""

_STEPS: Final = """SELECT tags['step'] AS step, status, count(*) AS requests,
       median(ttft_ms) AS ttft_p50_ms, median(duration_ms) AS duration_p50_ms
FROM calls
WHERE origin = 'load_test' AND origin_id = '{run_id}' AND tags['phase'] <> 'warmup'
GROUP BY ALL ORDER BY ALL"""


def steps_sql(run_id: str) -> str:
    """SQL for people: the requests of a run by step, to copy from a page."""
    return _STEPS.format(run_id=run_id.replace("'", "''"))


def load_test_rows(store: Store, limit: int) -> list[Row]:
    """The runs, newest first."""
    return store.rows(_RUNS, [limit])


def find_load_tests(store: Store, name_or_id: str) -> list[Row]:
    """Runs of this name, or whose id begins so, newest first."""
    return store.rows(_RUNS_NAMED, [name_or_id, name_or_id])


def request_rows(store: Store, run_id: str) -> list[Row]:
    """The last attempt of every request of a run, in the order in which they were sent."""
    return store.rows(_REQUESTS, [run_id])
