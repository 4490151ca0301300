"""What the Calls page reads: each question once, as SQL that runs and as SQL to show.

A filter's values are always bound when it runs; the text shown under a chart has them quoted,
so that it can be pasted anywhere.
"""

# ruff: noqa: S608 - conditions are assembled from fixed parts, values are always bound.

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from toolkit.store.queries.filters import LIVE, NO_MEASUREMENT, CallFilter
from toolkit.store.queries.query import Query

SPANS: Final[Mapping[str, timedelta]] = {
    "1 h": timedelta(hours=1),
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
}
EVER: Final = "all"
CHOSEN: Final = "…"
STATUSES: Final = ("ok", "error", "cancelled")
PER_PAGE: Final = 60
MOST_PAGES: Final = 200
TEXT_SHOWN: Final = 160
_ATTEMPTS_PER_REQUEST: Final = 4
_LONGEST_REQUEST: Final = "1 day"  # between the first attempt and the last
MANY_CALLS: Final = 200_000
USUAL_SPAN: Final = "24 h"
SAMPLE_SHOWN: Final = 20_000
_LAST_OF_REQUEST: Final = (
    *("provider", "model", "origin", "source", "status", "error_code"),
    *("ttft_ms", "output_tps", "input_tokens", "output_tokens"),
)
_BUCKETS_S: Final = (10, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)
_BUCKETS_WANTED: Final = 60


def everything_of(chosen: CallFilter) -> CallFilter:
    """The same stretch of time and board without any other condition."""
    return CallFilter(since=chosen.since, until=chosen.until, origin_id=chosen.origin_id)


def requests(chosen: CallFilter, page: int = 1) -> Query:
    """One row per request, newest first: its last attempt, and what all attempts cost together."""
    where, values = chosen.where()
    last = ", ".join(f"last({column} ORDER BY attempt) AS {column}" for column in _LAST_OF_REQUEST)
    return Query(
        f"WITH shown AS (\n  FROM calls SELECT request_id, started_at WHERE {where}\n"
        "  ORDER BY started_at DESC "
        f"LIMIT {page * PER_PAGE * _ATTEMPTS_PER_REQUEST}\n)\n"
        f"SELECT request_id, min(started_at) AS started_at, count(*) AS attempts, {last},\n"
        "  last(coalesce(json_extract_string(messages, '$[#-1].content'), '') ORDER BY attempt)"
        f"[:{TEXT_SHOWN}] AS prompt,\n"
        f"  last(coalesce(output_text, '') ORDER BY attempt)[:{TEXT_SHOWN}] AS answer,\n"
        "  sum(duration_ms) AS duration_ms, sum(cost_usd) AS cost_usd\n"
        "FROM calls\nWHERE request_id IN (FROM shown SELECT request_id)\n"
        "  AND started_at >= "
        f"(FROM shown SELECT min(started_at) - INTERVAL '{_LONGEST_REQUEST}')\n"
        "GROUP BY request_id\nORDER BY started_at DESC, request_id DESC\n"
        f"LIMIT {PER_PAGE} OFFSET {(page - 1) * PER_PAGE}",
        values,
    )


def summary(chosen: CallFilter) -> Query:
    """Counts, spend, errors and TTFT of what is shown; of live calls unless a source is chosen."""
    where, values = chosen.where()
    return Query(
        "SELECT count(*) AS attempts, count(*) FILTER (attempt = 1) AS requests,\n"
        "  count(*) FILTER (status = 'error') AS errors,\n"
        "  count(*) FILTER (status = 'cancelled') AS cancelled,\n"
        "  sum(cost_usd) AS cost_usd,\n"
        "  count(*) FILTER (status = 'ok' AND cost_usd IS NULL) AS unpriced,\n"
        "  sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,\n"
        "  quantile_cont(ttft_ms, 0.5) FILTER (status = 'ok') AS ttft_p50_ms,\n"
        "  quantile_cont(ttft_ms, 0.95) FILTER (status = 'ok') AS ttft_p95_ms,\n"
        "  count(ttft_ms) FILTER (status = 'ok') AS ttft_n,\n"
        "  min(started_at) AS first_at, max(started_at) AS last_at\n"
        f"FROM calls\nWHERE {_counted(chosen)} AND {where}",
        values,
    )


def facets(chosen: CallFilter) -> Query:
    """How many calls of this stretch of time each value of each filter has."""
    where, values = everything_of(chosen).where()
    return Query(
        "SELECT provider, model, origin, source, status, error_code, count(*) AS n\nFROM calls\n"
        f"WHERE {where}\nGROUP BY GROUPING SETS (\n"
        "  (provider), (model), (origin), (source), (status), (error_code)\n)\nORDER BY n DESC",
        values,
    )


def tags(chosen: CallFilter) -> Query:
    """How many calls of this stretch of time carry each tag, of the newest that are looked at."""
    where, values = everything_of(chosen).where()
    return Query(
        "SELECT entry.key || '=' || entry.value AS value, count(*) AS n FROM (\n"
        "  SELECT unnest(map_entries(tags)) AS entry FROM (\n"
        f"    FROM calls SELECT tags WHERE {where} ORDER BY started_at DESC LIMIT {SAMPLE_SHOWN}\n"
        "  )\n)\nGROUP BY ALL ORDER BY n DESC LIMIT 50",
        values,
    )


def by_time(chosen: CallFilter, bucket_s: int) -> Query:
    """Calls by time: how many, and how many of them failed."""
    where, values = chosen.where()
    return Query(
        f"SELECT time_bucket(INTERVAL '{bucket_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {bucket_s:d} AS bucket_s, count(*) AS n,\n"
        "  count(*) FILTER (status = 'error') AS failed\n"
        f"FROM calls\nWHERE {_counted(chosen)} AND {where}\nGROUP BY 1 ORDER BY 1",
        values,
    )


def exported(chosen: CallFilter, most: int) -> Query:
    """The newest calls of a filter with every column, for a file."""
    where, values = chosen.where()
    return Query(
        f"SELECT * FROM calls WHERE {where} ORDER BY started_at DESC LIMIT {most:d}", values
    )


def attempts_of(request_id: str) -> Query:
    """Every attempt of one request, first attempt first."""
    return Query("SELECT * FROM calls WHERE request_id = ? ORDER BY attempt, seq", (request_id,))


def latencies(chosen: CallFilter, column: str = "ttft_ms") -> Query:
    """The newest known values of a duration with their model, for a distribution."""
    where, values = chosen.where()
    name = _checked(column)
    return Query(
        f"SELECT model, {name}\nFROM calls\n"
        f"WHERE {_counted(chosen)} AND {name} IS NOT NULL AND {_asked(chosen)} AND {where}\n"
        f"ORDER BY started_at DESC LIMIT {SAMPLE_SHOWN}",
        values,
    )


def percentiles(chosen: CallFilter, bucket_s: int, column: str = "ttft_ms") -> Query:
    """p50, p95 and maximum of a duration by time; a time without calls has no row."""
    where, values = chosen.where()
    name = _checked(column)
    return Query(
        f"SELECT time_bucket(INTERVAL '{bucket_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {bucket_s:d} AS bucket_s, count(*) AS n,\n"
        f"  quantile_cont({name}, 0.5) AS p50_ms, quantile_cont({name}, 0.95) AS p95_ms,\n"
        f"  max({name}) AS max_ms\nFROM calls\n"
        f"WHERE {_counted(chosen)} AND {name} IS NOT NULL AND {_asked(chosen)} AND {where}\n"
        "GROUP BY 1\nORDER BY 1",
        values,
    )


def errors(chosen: CallFilter, bucket_s: int) -> Query:
    """Failed attempts by time and error class."""
    where, values = chosen.where()
    return Query(
        f"SELECT time_bucket(INTERVAL '{bucket_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {bucket_s:d} AS bucket_s, coalesce(error_code, 'unknown') AS error_code,\n"
        f"  count(*) AS n\nFROM calls\n"
        f"WHERE {_counted(chosen)} AND status = 'error' AND {_asked(chosen)} AND {where}\n"
        "GROUP BY 1, 2, 3\nORDER BY 1, 3",
        values,
    )


def _asked(chosen: CallFilter) -> str:
    """Health probes and load tests are in no statistics but their own."""
    return "true" if chosen.origin or chosen.origin_id else NO_MEASUREMENT


def _counted(chosen: CallFilter) -> str:
    """Live calls are counted; others only where their source is asked for, and then alone."""
    return "true" if chosen.source else LIVE


def how_many() -> Query:
    """All calls, counted without reading one."""
    return Query("SELECT count(*) AS n FROM calls")


def bucket_of(first_at: datetime | None, last_at: datetime | None) -> int:
    """The width of a time bucket, seconds, that gives at most about sixty of them."""
    if first_at is None or last_at is None:
        return 3_600
    wanted_s = (last_at - first_at).total_seconds() / _BUCKETS_WANTED
    return next((width for width in _BUCKETS_S if width >= wanted_s), _BUCKETS_S[-1])


_COLUMNS: Final = frozenset(
    {"provider", "model", "origin", "ttft_ms", "ttfo_ms", "tpot_ms", "duration_ms"}
)


def _checked(column: str) -> str:
    """Check that a column is known before it is used in SQL."""
    if column not in _COLUMNS:
        raise ValueError(f"no such column: {column!r}")
    return column
