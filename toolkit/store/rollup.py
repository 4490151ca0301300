"""Roll-ups of live calls: counts and sums by hour, and histograms by day that can be merged.

Dashboards over millions of calls read these few rows. A duration x falls into bucket
ceil(ln x / ln 1.02); the middle of a bucket, 2 * 1.02^b / 2.02, is within 1 % of every value in
it (the log histogram of DDSketch, Masson, Rim and Lee, VLDB 2019, with alpha = 0.0099).
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

GAMMA: Final = 1.02
METRICS: Final = ("ttft_ms", "ttfo_ms", "duration_ms", "tpot_ms")
# One microsecond; shorter durations are not distinguished.
_SMALLEST_MS: Final = 0.001

_KEYS: Final = (
    "hour_at",
    "provider",
    "model",
    "operation",
    "origin",
    "status",
    "error_code",
    "blame",
)
_COUNTS: Final = (
    *("calls", "requests", "unpriced", "input_tokens", "output_tokens"),
    *("cached_input_tokens", "reasoning_tokens", "unpriced_answers", "partial", "mismatched"),
)
_AMOUNTS: Final = ("cost_usd", "reported_usd", "computed_usd")

# Rows of the first version hold the computed figure in `cost_usd`, even where one was reported.
CHARGED: Final = "coalesce(cost_reported_usd, cost_usd)"
"""SQL for what a call was charged: the provider's own figure wherever it gave one."""
COMPUTED: Final = "coalesce(cost_computed_usd, CASE WHEN cost_source IS NULL THEN cost_usd END)"
"""SQL for the sum of a call's receipt."""
# A call that failed before it was answered is billed nothing, so it is not missing a price.
COST_SUMS: Final[Mapping[str, str]] = {
    "reported_usd": "sum(cost_reported_usd)",
    "computed_usd": f"sum({COMPUTED})",
    "unpriced_answers": f"count(*) FILTER ({CHARGED} IS NULL "
    "AND (status = 'ok' OR output_tokens IS NOT NULL))",
    "partial": "count(*) FILTER (len(unpriced_classes) > 0 AND cost_reported_usd IS NULL)",
    "mismatched": f"count(*) FILTER (abs(cost_reported_usd - {COMPUTED}) "
    f"> 0.01 * greatest(abs(cost_reported_usd), abs({COMPUTED})))",
}
"""SQL for what is summed of costs, in the roll-up and in spend alike."""
_HISTOGRAM_KEYS: Final = ("day_at", "provider", "model", "operation", "origin", "metric", "bucket")


def bucket_sql(value: str) -> str:
    """SQL for the bucket of a duration in milliseconds."""
    return f"CAST(ceil(ln(greatest({value}, {_SMALLEST_MS})) / ln({GAMMA})) AS INTEGER)"


def value_sql(bucket: str) -> str:
    """SQL for the middle of a bucket, milliseconds."""
    return f"2 * pow({GAMMA}, {bucket}) / ({GAMMA} + 1)"


def whole_sum_sql(column: str, condition: str = "true") -> str:
    """SQL for the sum of whole numbers; one beyond 64 bits ends there instead of failing."""
    total = f"coalesce(sum({column}) FILTER ({condition}), 0)"
    return f"CAST(greatest(least({total}, {2**63 - 1}), {-(2**63) + 1}) AS BIGINT)"


def counts_sql(source: str) -> str:
    """SQL for the rows of `rollup_hourly` that the calls of `source` make."""
    costs = ", ".join(f"{sql} AS {name}" for name, sql in COST_SUMS.items())
    return f"""
        SELECT date_trunc('hour', started_at) AS hour_at, coalesce(provider, '') AS provider,
               coalesce(model, '') AS model, coalesce(operation, '') AS operation,
               coalesce(origin, '') AS origin, coalesce(status, '') AS status,
               coalesce(error_code, '') AS error_code, coalesce(blame, '') AS blame,
               count(*) AS calls, count(*) FILTER (attempt = 1) AS requests,
               count(*) FILTER ({CHARGED} IS NULL) AS unpriced,
               {whole_sum_sql("input_tokens")} AS input_tokens,
               {whole_sum_sql("output_tokens")} AS output_tokens,
               {whole_sum_sql("cached_input_tokens")} AS cached_input_tokens,
               {whole_sum_sql("reasoning_tokens")} AS reasoning_tokens,
               coalesce(sum({CHARGED}), 0) AS cost_usd, {costs}
        FROM {source} WHERE source = 'live' AND started_at IS NOT NULL
        GROUP BY ALL
    """


def histogram_sql(source: str) -> str:
    """SQL for the rows of `rollup_daily_histogram` that the calls of `source` make."""
    metrics = ", ".join(METRICS)
    return f"""
        SELECT date_trunc('day', started_at) AS day_at, coalesce(provider, '') AS provider,
               coalesce(model, '') AS model, coalesce(operation, '') AS operation,
               coalesce(origin, '') AS origin, metric, {bucket_sql("value")} AS bucket,
               count(*) AS n, max(value) AS highest
        FROM (SELECT started_at, provider, model, operation, origin, {metrics} FROM {source}
              WHERE source = 'live' AND status = 'ok' AND started_at IS NOT NULL)
        UNPIVOT (value FOR metric IN ({metrics}))
        WHERE isfinite(value) AND value >= 0
        GROUP BY ALL
    """


def add(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Merge the calls of `source` (rows that are new to the database) into the roll-ups."""
    sums = ", ".join(f"{whole_sum_sql(name)} AS {name}" for name in _COUNTS)
    sums += "".join(f", sum({name}) AS {name}" for name in _AMOUNTS)
    _merge(connection, "rollup_hourly", counts_sql(source), _KEYS, sums)
    totals = "sum(n) AS n, max(highest) AS highest"
    _merge(connection, "rollup_daily_histogram", histogram_sql(source), _HISTOGRAM_KEYS, totals)


def append(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Add the rows that the calls of `source` make beside those that are there.

    Every query over a roll-up sums its rows, so several with one key say the same as one.
    """
    connection.execute(f"INSERT INTO rollup_hourly BY NAME {counts_sql(source)}")
    connection.execute(f"INSERT INTO rollup_daily_histogram BY NAME {histogram_sql(source)}")


def merge_all(connection: duckdb.DuckDBPyConnection) -> None:
    """Replace rows with one key by their sum, in both roll-ups."""
    sums = ", ".join(f"{whole_sum_sql(name)} AS {name}" for name in _COUNTS)
    sums += "".join(f", sum({name}) AS {name}" for name in _AMOUNTS)
    for table, keys, totals in (
        ("rollup_hourly", _KEYS, sums),
        ("rollup_daily_histogram", _HISTOGRAM_KEYS, "sum(n) AS n, max(highest) AS highest"),
    ):
        names = ", ".join(keys)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT {names}, {totals} FROM {table} "
            f"GROUP BY ALL"
        )
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh")
        connection.execute("DROP TABLE fresh")


def _merge(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    fresh_sql: str,
    keys: tuple[str, ...],
    totals: str,
) -> None:
    """Replace the rows of the keys that are touched by their sums, within the open transaction."""
    key_list = ", ".join(keys)
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    # Bounds on the time, which is the first key, let DuckDB skip the row groups of other days.
    first, last = f"(SELECT min({keys[0]}) FROM fresh)", f"(SELECT max({keys[0]}) FROM fresh)"
    recent = f"old.{keys[0]} BETWEEN {first} AND {last}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS {fresh_sql}")
    connection.execute(
        f"INSERT INTO fresh SELECT * FROM {table} AS old WHERE {recent} "
        f"AND EXISTS (FROM fresh AS new WHERE {same})"
    )
    connection.execute(
        f"DELETE FROM {table} AS old WHERE {recent} AND EXISTS (FROM fresh AS new WHERE {same})"
    )
    connection.execute(
        f"INSERT INTO {table} BY NAME SELECT {key_list}, {totals} FROM fresh GROUP BY ALL"
    )
    connection.execute("DROP TABLE fresh")


def rebuild(connection: duckdb.DuckDBPyConnection) -> None:
    """Recompute all roll-ups from the calls."""
    for table in ("rollup_hourly", "rollup_daily_histogram"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute(f"INSERT INTO rollup_hourly BY NAME {counts_sql('calls')}")
    connection.execute(f"INSERT INTO rollup_daily_histogram BY NAME {histogram_sql('calls')}")
