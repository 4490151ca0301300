"""Named questions to the ledger, each answered with a DataFrame.

Filters are columns' names checked against the table, their values are bound. A `where` is a
person's own SQL and runs on the locked-down connection. Statistics count only calls whose
`source` is `live`.
"""

# ruff: noqa: S608 - names in SQL are the house's own (`tables.py`), values are bound.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from toolkit.errors import InvalidInput
from toolkit.store import rollup
from toolkit.store.rollup import whole_sum_sql
from toolkit.store.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store

_NEWEST_FIRST: Final = {
    "calls": "started_at DESC, seq DESC",
    "probes": "probed_at DESC, probe_id DESC",
    "models": "provider, model_id",
    "model_changes": "changed_at DESC, change_id DESC",
    "incidents": "opened_at DESC, incident_id DESC",
    "boards": "created_at DESC, board_id DESC",
    "votes": "voted_at DESC, vote_id DESC",
    "eval_runs": "started_at DESC, run_id DESC",
    "eval_samples": "scored_at DESC, result_id DESC",
    "regressions": "judged_at DESC, verdict_id DESC",
}
_DURATIONS: Final = frozenset(
    {"ttft_ms", "ttfo_ms", "tpot_ms", "duration_ms", "headers_ms", "connect_ms", "queue_ms"}
    | {"first_byte_ms", "last_token_ms", "overhead_ms", "loop_lag_ms"}
)
_BUCKETS: Final = frozenset({"minute", "hour", "day", "week", "month"})

_ASKED: Final = "origin <> 'health'"
_SINCE_HOUR: Final = "hour_at >= date_trunc('hour', coalesce(?, '-infinity'::TIMESTAMPTZ))"


class Asked(Protocol):
    """A `Store`, or a `Reader` where several questions should see the same rows."""

    def frame(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """The house's own SQL as a DataFrame."""


def table_df(
    store: Store,
    table: str,
    where: str | None = None,
    *,
    limit: int | None = None,
    filters: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Rows of one table, newest first.

    Args:
        store: the ledger.
        table: name of the table.
        where: a person's SQL condition over its columns; None for all.
        limit: at most so many rows; None for all.
        filters: by column: a value that it equals, None where it must be unknown, or a list,
            tuple or set of values of which it is one.

    Raises:
        InvalidInput: a filter names no column, or the limit is no whole number >= 0.
        StoreError: the condition is not readable or not allowed, or the store cannot be read.
    """
    condition, values = filter_sql(table, filters or {})
    order = _NEWEST_FIRST.get(table)
    # The person's own words end on a line of their own: a comment in them must not swallow ours.
    own = f"({where}\n)" if where is not None and where.strip() else "true"
    sql = f"SELECT * FROM {table} WHERE {own} AND {condition}"
    sql += f" ORDER BY {order}" if order else ""
    sql += f" LIMIT {_checked_limit(limit)}" if limit is not None else ""
    return store.frame(sql, values) if own == "true" else store.user_frame(sql, values)


def filter_sql(table: str, filters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A condition over the columns of `table` and the values it binds (`true` for none).

    Raises:
        InvalidInput: there is no such table or column.
    """
    if table not in TABLES:
        raise InvalidInput(f"there is no table {table!r}")
    terms: list[str] = []
    values: list[Any] = []
    for name, value in filters.items():
        if name not in TABLES[table].columns:
            raise InvalidInput(
                f"{table} has no column {name!r}",
                hint=f"Columns are {', '.join(TABLES[table].columns)}.",
            )
        if value is None:
            terms.append(f"{name} IS NULL")
        elif isinstance(value, list | tuple | set | frozenset):
            terms.append(f"list_contains(?, {name})" if value else "false")
            values += [list(value)] if value else []
        else:
            terms.append(f"{name} = ?")
            values.append(value)
    return " AND ".join(terms) or "true", values


def calls_df(
    store: Store,
    where: str | None = None,
    *,
    limit: int | None = None,
    filters: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The recorded calls, newest first, one row per attempt. See `table_df`."""
    return table_df(store, "calls", where, limit=limit, filters=filters)


def models_df(store: Store, *, filters: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The catalog, one row per model, by provider and id. See `table_df`."""
    return table_df(store, "models", filters=filters)


def probes_df(
    store: Store, *, limit: int | None = None, filters: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The health probes, newest first. See `table_df`."""
    return table_df(store, "probes", limit=limit, filters=filters)


def call_detail(store: Store, call_id: str) -> dict[str, Any] | None:
    """One attempt by its id with JSON columns as values, or None where there is none."""
    import json

    rows = store.rows("SELECT * FROM calls WHERE call_id = ?", [call_id])
    if not rows:
        return None
    row = rows[0]
    for name in ("params", "messages", "tool_calls"):
        if isinstance(row[name], str):
            row[name] = json.loads(row[name])
    return row


def attempts_df(store: Asked, request_id: str) -> pd.DataFrame:
    """Every attempt of one request, first attempt first."""
    return store.frame(
        "SELECT * FROM calls WHERE request_id = ? ORDER BY attempt, seq", [request_id]
    )


def requests_df(store: Asked, *, since: datetime | None = None, limit: int = 200) -> pd.DataFrame:
    """One row per request, newest first: how it ended, how many attempts it took, what it cost.

    `cost_usd` and `duration_ms` are sums over all attempts, everything else is the last one's.
    """
    last = ", ".join(
        f"arg_max({name}, (attempt, seq)) AS {name}"
        for name in ("call_id", "provider", "model", "origin", "status", "error_code")
    )
    return store.frame(
        f"""
        SELECT request_id, min(started_at) AS started_at, count(*) AS attempts, {last},
               arg_max(finish_reason, (attempt, seq)) AS finish_reason,
               arg_max(ttft_ms, (attempt, seq)) AS ttft_ms, sum(duration_ms) AS duration_ms,
               arg_max(output_tokens, (attempt, seq)) AS output_tokens,
               sum(cost_usd) AS cost_usd
        FROM calls WHERE started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
        GROUP BY request_id ORDER BY started_at DESC, request_id DESC LIMIT {_checked_limit(limit)}
        """,
        [since],
    )


def latency_df(
    store: Asked, metric: str = "ttft_ms", *, since: datetime | None = None
) -> pd.DataFrame:
    """Exact quantiles of a duration by model, milliseconds, over successful live calls.

    Health probes are left out, here and in all statistics; sums of money hold them.
    Columns: provider, model, n, p50_ms, p90_ms, p95_ms, p99_ms, max_ms. A quantile is NULL
    where n is too small to tell it (n < 1 / (1 - q)); n and the maximum are always there.

    Raises:
        InvalidInput: `metric` is no duration.
    """
    name = _checked_duration(metric)
    return store.frame(
        f"""
        SELECT provider, model, count(*) AS n, quantile_cont({name}, 0.5) AS p50_ms,
               CASE WHEN n >= 10 THEN quantile_cont({name}, 0.9) END AS p90_ms,
               CASE WHEN n >= 20 THEN quantile_cont({name}, 0.95) END AS p95_ms,
               CASE WHEN n >= 100 THEN quantile_cont({name}, 0.99) END AS p99_ms,
               max({name}) AS max_ms
        FROM calls
        WHERE source = 'live' AND status = 'ok' AND {name} IS NOT NULL
          AND origin IS DISTINCT FROM 'health'
          AND started_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)
        GROUP BY ALL ORDER BY provider, model
        """,
        [since],
    )


def latency_rollup_df(
    store: Asked, metric: str = "ttft_ms", *, since: datetime | None = None
) -> pd.DataFrame:
    """The same columns as `latency_df` from the daily histograms; fast at any size.

    A quantile is within 1 % of the value at rank ceil(q * n); `n` and the maximum are exact.
    `since` counts from the begin of its UTC day: for shorter spans `latency_df` is right.
    """
    if metric not in rollup.METRICS:
        raise InvalidInput(f"no roll-up of {metric!r}", hint=f"There are {rollup.METRICS}.")
    value = rollup.value_sql("bucket")
    quantile = f"min(least({value}, max_ms)) FILTER (below >= ceil({{q}} * total))"
    return store.frame(
        f"""
        WITH merged AS (
            SELECT provider, model, bucket, sum(n) AS n, max(highest) AS highest
            FROM rollup_daily_histogram
            WHERE metric = ? AND origin <> 'health'
                AND day_at >= date_trunc('day', coalesce(?, '-infinity'::TIMESTAMPTZ))
            GROUP BY ALL
        ), ranked AS (
            SELECT *, sum(n) OVER (PARTITION BY provider, model ORDER BY bucket) AS below,
                   sum(n) OVER (PARTITION BY provider, model) AS total,
                   max(highest) OVER (PARTITION BY provider, model) AS max_ms
            FROM merged
        )
        SELECT provider, model, CAST(max(total) AS BIGINT) AS n,
               {quantile.format(q=0.5)} AS p50_ms,
               CASE WHEN max(total) >= 10 THEN {quantile.format(q=0.9)} END AS p90_ms,
               CASE WHEN max(total) >= 20 THEN {quantile.format(q=0.95)} END AS p95_ms,
               CASE WHEN max(total) >= 100 THEN {quantile.format(q=0.99)} END AS p99_ms,
               max(max_ms) AS max_ms
        FROM ranked GROUP BY provider, model ORDER BY provider, model
        """,
        [metric, since],
    )


def errors_over_time_df(
    store: Asked, bucket: str = "hour", *, since: datetime | None = None
) -> pd.DataFrame:
    """Failed live attempts by time, provider and error code, from the roll-ups.

    Columns: bucket_at, provider, error_code, blame, n. `bucket` is hour, day, week or month.
    """
    width = _checked_bucket(bucket)
    return store.frame(
        f"""
        SELECT date_trunc('{width}', hour_at) AS bucket_at, provider, error_code, blame,
               {whole_sum_sql("calls")} AS n
        FROM rollup_hourly
        WHERE status = 'error' AND origin <> 'health' AND {_SINCE_HOUR}
        GROUP BY ALL ORDER BY bucket_at, provider, error_code
        """,
        [since],
    )


def overview_df(store: Asked, *, since: datetime | None = None) -> pd.DataFrame:
    """Live calls by model since the begin of an hour, from the roll-ups; fast at any size.

    Columns: provider, model, calls, requests, ok, errors, cancelled, unpriced, input_tokens,
    output_tokens, cost_usd, last_hour_at.
    """
    return store.frame(
        f"""
        SELECT provider, model, {whole_sum_sql("calls", _ASKED)} AS calls,
               {whole_sum_sql("requests", _ASKED)} AS requests,
               {whole_sum_sql("calls", f"{_ASKED} AND status = 'ok'")} AS ok,
               {whole_sum_sql("calls", f"{_ASKED} AND status = 'error'")} AS errors,
               {whole_sum_sql("calls", f"{_ASKED} AND status = 'cancelled'")} AS cancelled,
               {whole_sum_sql("unpriced", _ASKED)} AS unpriced,
               {whole_sum_sql("input_tokens")} AS input_tokens,
               {whole_sum_sql("output_tokens")} AS output_tokens,
               sum(cost_usd) AS cost_usd, max(hour_at) AS last_hour_at
        FROM rollup_hourly
        WHERE {_SINCE_HOUR}
        GROUP BY ALL ORDER BY calls DESC, provider, model
        """,
        [since],
    )


def traffic_df(
    store: Asked, bucket: str = "hour", *, since: datetime | None = None
) -> pd.DataFrame:
    """Live attempts, tokens and spend by time and model, from the roll-ups.

    Columns: bucket_at, provider, model, status, calls, input_tokens, output_tokens, cost_usd.
    """
    width = _checked_bucket(bucket)
    return store.frame(
        f"""
        SELECT date_trunc('{width}', hour_at) AS bucket_at, provider, model, status,
               {whole_sum_sql("calls", _ASKED)} AS calls,
               {whole_sum_sql("input_tokens")} AS input_tokens,
               {whole_sum_sql("output_tokens")} AS output_tokens, sum(cost_usd) AS cost_usd
        FROM rollup_hourly
        WHERE {_SINCE_HOUR}
        GROUP BY ALL ORDER BY bucket_at, provider, model, status
        """,
        [since],
    )


def _checked_duration(name: str) -> str:
    if name not in _DURATIONS:
        raise InvalidInput(f"{name!r} is no duration", hint=f"There are {sorted(_DURATIONS)}.")
    return name


def _checked_bucket(name: str) -> str:
    if name not in _BUCKETS - {"minute"}:
        raise InvalidInput(f"{name!r} is no width of time", hint="Use hour, day, week or month.")
    return name


def _checked_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidInput(f"a limit is a whole number, 0 or more, not {limit!r}")
    return limit
