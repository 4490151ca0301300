"""Queries over calls, one row per attempt, and over their roll-ups."""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.store import rollup
from toolkit.store.queries.filters import GOOD, ROLLUP_USER_CALLS, USER_CALLS, CallFilter
from toolkit.store.queries.percentiles import percentile_from_rank_sql, percentile_sql
from toolkit.store.queries.query import Query, Source

Row = dict[str, Any]

_JSON_COLUMNS: Final = ("params", "messages", "tool_calls", "choices", "parts")
_SUMMARY_COLUMNS: Final = (
    "call_id, request_id, attempt, attempt_kind, origin, started_at, provider, model, "
    "response_model, stream, source, status, error_code, error_cause, blame, http_status, "
    "error_message, finish_reason, input_tokens, output_tokens, cost_usd, ttft_ms, ttfo_ms, "
    "duration_ms, tpot_ms, output_tps, flags"
)

_ROLLED_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


def latency_from_rollups(metric: str = "ttft_ms", *, since: datetime | None = None) -> Query:
    """Percentiles of a duration by model from the daily histograms; fast at any size.

    Columns: provider, model, n, p50_ms, p90_ms, p95_ms, p99_ms, max_ms. A percentile is within
    1 % of the value at rank ceil(q * n); `n` and the maximum are exact. Live user calls only.

    Args:
        metric: one of `rollup.METRICS`.
        since: counts from the beginning of its UTC day.

    Raises:
        InvalidInput: `metric` is not rolled up.
    """
    if metric not in rollup.METRICS:
        raise InvalidInput(f"{metric!r} is not rolled up", hint=f"Use {rollup.METRICS}.")
    value = f"least({rollup.value_sql('bucket')}, max_ms)"
    percentiles = ",\n               ".join(
        f"{percentile_from_rank_sql(value, 'below', 'total', q)} AS p{q * 100:g}_ms"
        for q in _ROLLED_QUANTILES
    )
    return Query(
        f"""
        WITH merged AS (
            SELECT provider, model, bucket, sum(n) AS n, max(highest) AS highest
            FROM rollup_daily_histogram
            WHERE metric = ? AND {ROLLUP_USER_CALLS}
                AND day_at >= date_trunc('day', coalesce(?, '-infinity'::TIMESTAMPTZ))
            GROUP BY ALL
        ), ranked AS (
            SELECT *, sum(n) OVER (PARTITION BY provider, model ORDER BY bucket) AS below,
                   sum(n) OVER (PARTITION BY provider, model) AS total,
                   max(highest) OVER (PARTITION BY provider, model) AS max_ms
            FROM merged
        )
        SELECT provider, model, CAST(max(total) AS BIGINT) AS n,
               {percentiles},
               max(max_ms) AS max_ms
        FROM ranked GROUP BY provider, model ORDER BY provider, model
        """,
        (metric, since),
    )


def list_calls(source: Source, which: CallFilter, limit: int) -> list[Row]:
    """The newest calls first, every column, JSON columns as values."""
    where, values = which.where()
    sql = f"SELECT * FROM calls WHERE {where} ORDER BY started_at DESC, seq DESC LIMIT ?"
    return [_parsed(row) for row in source.rows(sql, [*values, limit])]


def find_calls(source: Source, part: str) -> list[Row]:
    """Calls whose id begins or ends with `part`, or whose request's id is `part`; at most ten."""
    sql = """
        SELECT * FROM calls
        WHERE starts_with(call_id, ?) OR suffix(call_id, ?) OR request_id = ?
        ORDER BY started_at, seq LIMIT 10
    """
    return [_parsed(row) for row in source.rows(sql, [part, part, part])]


def count_calls(source: Source) -> int:
    """How many calls there are, of any source."""
    return int(source.rows("SELECT count(*) AS n FROM calls")[0]["n"])


def imported_ids(source: Source, ids: Sequence[str]) -> frozenset[str]:
    """Those of the ids that belong to imported calls."""
    sql = "SELECT call_id FROM calls WHERE source = 'import' AND list_contains(?, call_id)"
    return (
        frozenset(row["call_id"] for row in source.rows(sql, [list(ids)])) if ids else frozenset()
    )


def call_summaries(which: CallFilter) -> Query:
    """The newest calls first, without prompts and answers."""
    where, values = which.where()
    return Query(
        f"SELECT {_SUMMARY_COLUMNS} FROM calls WHERE {where} ORDER BY started_at DESC, seq DESC",
        values,
    )


def policy_attempts(models: Sequence[str]) -> Query:
    """What a policy backtest needs of the recorded attempts of some models. Live user calls only.

    Columns: model, source, status, error_code, blame, duration_ms, cost_usd.
    """
    return Query(
        f"""
        SELECT model, source, status, error_code, blame, duration_ms, cost_usd FROM calls
        WHERE {USER_CALLS} AND list_contains(?, model)
        """,
        (list(models),),
    )


def recorded_turn(call_id: str, token: str) -> Query:
    """An answered call of a token: its conversation, its answer, and what was asked for.

    Columns: call_id, started_at, model, params, messages, output_text, reasoning_text, tool_calls,
    finish_reason, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, tags.
    """
    return Query(
        """
        SELECT call_id, started_at, model, params, messages, output_text, reasoning_text,
               tool_calls, finish_reason, input_tokens, output_tokens, cached_input_tokens,
               reasoning_tokens, tags
        FROM calls WHERE call_id = ? AND status = 'ok' AND tags['token'] = ?
        """,
        (call_id, token),
    )


def call_statistics(source: Source, which: CallFilter) -> list[Row]:
    """One row per model, the most used first; durations are of answered calls only."""
    where, values = which.where()
    return source.rows(
        f"""
        SELECT model,
               count(*) AS calls,
               count(*) FILTER ({GOOD}) AS answers,
               count(*) FILTER (status = 'error') AS errors,
               count(*) FILTER (status = 'cancelled') AS cancelled,
               {percentile_sql("ttft_ms", 0.5, GOOD)} AS ttft_p50_ms,
               {percentile_sql("ttft_ms", 0.95, GOOD)} AS ttft_p95_ms,
               max(ttft_ms) FILTER ({GOOD}) AS ttft_max_ms,
               {percentile_sql("tpot_ms", 0.5, GOOD)} AS tpot_p50_ms,
               {percentile_sql("output_tps", 0.5, GOOD)} AS output_tps_p50,
               sum(input_tokens)::BIGINT AS input_tokens,
               sum(output_tokens)::BIGINT AS output_tokens,
               sum(cost_usd) AS cost_usd,
               count(*) FILTER ({GOOD} AND cost_usd IS NULL) AS unpriced,
               max(started_at) AS last_at
        FROM calls WHERE {where}
        GROUP BY model ORDER BY calls DESC, model
        """,
        values,
    )


def last_use_of_keys(source: Source) -> dict[str, datetime]:
    """When each key was last used, by its fingerprint."""
    rows = source.rows(
        "SELECT key_fingerprint, max(started_at) AS last_used_at FROM calls "
        "WHERE key_fingerprint IS NOT NULL GROUP BY key_fingerprint"
    )
    return {row["key_fingerprint"]: row["last_used_at"] for row in rows}


def _parsed(row: Row) -> Row:
    held = {name: json.loads(row[name]) for name in _JSON_COLUMNS if isinstance(row[name], str)}
    return {**row, **held}
