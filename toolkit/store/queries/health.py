"""Queries over calls, probes and incidents about health, to run and to show under a chart.

Statistics of calls are over live user calls. What counts against a provider is a failure that is
the provider's or the network's fault, and neither a refused key nor a limit:
`COUNTS_AGAINST_PROVIDER` in `filters`.
"""

# ruff: noqa: S608 - columns are constants, values are always bound.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.store.queries.filters import (
    COUNTS_AGAINST_PROVIDER,
    GOOD,
    LIVE,
    ROLLUP_USER_CALLS,
    USER_CALLS,
)
from toolkit.store.queries.query import Query

if TYPE_CHECKING:
    from toolkit.store.store import Store

DAYS: Final = 90
"""Days of the uptime strip, today included."""

WINDOWS: Final[Mapping[str, timedelta]] = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1d": timedelta(days=1),
}
"""Windows of the error rates."""

DURATIONS: Final = ("ttft_ms", "duration_ms")
"""Columns that `latency` and `latencies` accept."""

_MIN_P50, _MIN_P95 = 5, 20
_BUCKETS_S: Final = (10, 60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800)
_BUCKETS_WANTED: Final = 60
_INCIDENTS_SHOWN: Final = 500
_HEADROOM_KEPT: Final = timedelta(days=7)
_HEADROOM: Final = f"""
SELECT provider, started_at AS seen_at,
       ratelimit_limit_requests, ratelimit_remaining_requests, ratelimit_reset_requests_s,
       ratelimit_limit_tokens, ratelimit_remaining_tokens, ratelimit_reset_tokens_s
FROM calls
WHERE {LIVE} AND started_at >= ? AND started_at <= ?
  AND (ratelimit_remaining_requests IS NOT NULL OR ratelimit_remaining_tokens IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY provider ORDER BY started_at DESC) = 1
ORDER BY provider"""


@dataclass(frozen=True, slots=True)
class Span:
    """A time range with the width of its buckets.

    Attributes:
        since, until: its ends, UTC; `until` is excluded.
    """

    since: datetime
    until: datetime

    @property
    def bucket_s(self) -> int:
        """The bucket width, seconds, for at most about sixty buckets."""
        wanted_s = (self.until - self.since).total_seconds() / _BUCKETS_WANTED
        return next((width for width in _BUCKETS_S if width >= wanted_s), _BUCKETS_S[-1])


def day_of_calls(now: datetime) -> Query:
    """One row per provider with calls in the last day: counts by window, exact percentiles."""
    windows = ",\n".join(
        f"  count(*) FILTER (is_bad AND started_at >= ?) AS errors_{name},\n"
        f"  count(*) FILTER (says AND started_at >= ?) AS n_{name}"
        for name in WINDOWS
    )
    starts = tuple(now - width for width in WINDOWS.values() for _ in range(2))
    quantiles = ",\n".join(_quantiles(column) for column in DURATIONS)
    return Query(
        f"WITH seen AS (\n  SELECT provider, started_at, stall_count,\n"
        f"    {GOOD} AS is_good, {COUNTS_AGAINST_PROVIDER} AS is_bad, is_good OR is_bad AS says,\n"
        f"    status = 'error' AS is_error, {', '.join(DURATIONS)}\n"
        f"  FROM calls\n  WHERE {USER_CALLS} AND started_at >= ? AND started_at < ?\n)\n"
        f"SELECT provider, count(*) AS calls_1d,\n"
        f"  count(*) FILTER (is_error AND NOT is_bad) AS other_errors_1d,\n"
        f"{windows},\n"
        f"  count(*) FILTER (is_good AND stall_count > 0) AS stalled_1d,\n"
        f"  count(*) FILTER (is_good AND stall_count IS NOT NULL) AS watched_1d,\n"
        f"  max(started_at) FILTER (is_good) AS last_good_at,\n{quantiles}\n"
        "FROM seen WHERE provider IS NOT NULL GROUP BY provider ORDER BY provider",
        (now - WINDOWS["1d"], now, *starts),
    )


def _quantiles(column: str) -> str:
    name = column.removesuffix("_ms")
    known = f"FILTER (is_good AND {column} IS NOT NULL)"
    return (
        f"  count({column}) FILTER (is_good) AS {name}_n,\n"
        f"  CASE WHEN {name}_n >= {_MIN_P50} THEN quantile_cont({column}, 0.5) {known} END"
        f" AS {name}_p50_ms,\n"
        f"  CASE WHEN {name}_n >= {_MIN_P95} THEN quantile_cont({column}, 0.95) {known} END"
        f" AS {name}_p95_ms,\n"
        f"  max({column}) FILTER (is_good) AS {name}_max_ms"
    )


def last_successes(now: datetime, since: datetime | None = None) -> Query:
    """The newest good call or probe of each provider since then (the begin of the strip)."""
    since = since or now - timedelta(days=DAYS)
    return Query(
        "SELECT provider, max(seen_at) AS last_success_at FROM (\n"
        f"  SELECT provider, started_at AS seen_at FROM calls\n"
        f"  WHERE {USER_CALLS} AND {GOOD} AND started_at >= ? AND started_at < ?\n"
        "  UNION ALL\n"
        f"  SELECT provider, probed_at FROM probes\n"
        f"  WHERE {GOOD} AND probed_at >= ? AND probed_at < ?\n"
        ") WHERE provider IS NOT NULL GROUP BY provider",
        (since, now) * 2,
    )


def uptime(now: datetime, days: int = DAYS) -> Query:
    """One row per provider and UTC day with evidence: how much was good, and how much there was.

    Includes calls (from the hourly roll-up) and probes; a day without any has no row.
    """
    since = first_day(now, days)
    return Query(
        "SELECT provider, day, CAST(sum(good) AS BIGINT) AS good, CAST(sum(n) AS BIGINT) AS n,\n"
        "  sum(good) / sum(n) AS share\nFROM (\n"
        "  SELECT provider, CAST(hour_at AS DATE) AS day,\n"
        f"    coalesce(sum(calls) FILTER ({GOOD}), 0) AS good,\n"
        f"    coalesce(sum(calls) FILTER (({GOOD}) OR ({COUNTS_AGAINST_PROVIDER})), 0) AS n\n"
        f"  FROM rollup_hourly WHERE {ROLLUP_USER_CALLS} AND hour_at >= ? AND hour_at < ?\n"
        "  GROUP BY ALL\n  UNION ALL\n"
        "  SELECT provider, CAST(probed_at AS DATE),\n"
        f"    count(*) FILTER ({GOOD}), count(*) FILTER (({GOOD}) OR ({COUNTS_AGAINST_PROVIDER}))\n"
        "  FROM probes WHERE probed_at >= ? AND probed_at < ?\n  GROUP BY ALL\n)\n"
        "WHERE provider <> '' GROUP BY ALL HAVING sum(n) > 0 ORDER BY provider, day",
        (since, now) * 2,
    )


def first_day(now: datetime, days: int = DAYS) -> datetime:
    """The begin of the first UTC day of a strip that ends today."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)


def latency(providers: Sequence[str], span: Span, column: str = "ttft_ms") -> Query:
    """Exact p50 and p95, the maximum and n of a duration, by provider and bucket.

    A bucket without an answered call has no row.
    """
    name, width_s = _checked(column), span.bucket_s
    return Query(
        f"SELECT provider, time_bucket(INTERVAL '{width_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {width_s:d} AS bucket_s, count(*) AS n, quantile_cont({name}, 0.5) AS p50_ms,\n"
        f"  quantile_cont({name}, 0.95) AS p95_ms, max({name}) AS max_ms\n"
        f"FROM calls\nWHERE {USER_CALLS} AND {GOOD} AND {name} IS NOT NULL\n"
        "  AND list_contains(?, provider) AND started_at >= ? AND started_at < ?\n"
        "GROUP BY ALL ORDER BY provider, bucket_at",
        (list(providers), span.since, span.until),
    )


def latencies(providers: Sequence[str], span: Span, column: str = "ttft_ms") -> Query:
    """The newest known values of a duration with their provider, for a distribution."""
    name = _checked(column)
    return Query(
        f"SELECT provider, {name}\nFROM calls\n"
        f"WHERE {USER_CALLS} AND {GOOD} AND {name} IS NOT NULL\n"
        "  AND list_contains(?, provider) AND started_at >= ? AND started_at < ?\n"
        "QUALIFY row_number() OVER (PARTITION BY provider ORDER BY started_at DESC) <= 10000",
        (list(providers), span.since, span.until),
    )


def errors(providers: Sequence[str], span: Span) -> Query:
    """Failed attempts by bucket and error class, whatever the cause."""
    width_s = span.bucket_s
    return Query(
        f"SELECT time_bucket(INTERVAL '{width_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {width_s:d} AS bucket_s, coalesce(error_code, 'unknown') AS error_code,\n"
        f"  count(*) AS n\nFROM calls\nWHERE {USER_CALLS} AND status = 'error'\n"
        "  AND list_contains(?, provider) AND started_at >= ? AND started_at < ?\n"
        "GROUP BY ALL ORDER BY bucket_at, error_code",
        (list(providers), span.since, span.until),
    )


def incidents(span: Span, providers: Sequence[str] | None = None) -> Query:
    """Incidents that overlap this time range, newest first."""
    mine = "" if providers is None else "AND list_contains(?, provider) "
    return Query(
        "SELECT incident_id, provider, model, scope, state, opened_at, closed_at, reason,\n"
        "  error_code, probes, failures\nFROM incidents\n"
        f"WHERE opened_at < ? AND coalesce(closed_at >= ?, true) {mine}\n"
        f"ORDER BY opened_at DESC, incident_id LIMIT {_INCIDENTS_SHOWN}",
        (span.until, span.since, *([] if providers is None else [list(providers)])),
    )


def incidents_between(since: datetime, until: datetime) -> Query:
    """Incidents that overlap this time range, newest first, with their evidence and alerts."""
    return Query(
        """
        SELECT incident_id, provider, model, scope, state, opened_at, closed_at, reason, error_code,
               probes, failures, evidence, alerted_at, end_alerted_at
        FROM incidents WHERE opened_at <= ? AND coalesce(closed_at >= ?, true)
        ORDER BY opened_at DESC, incident_id
        """,
        (until, since),
    )


def incidents_not_closed_before(moment: datetime) -> Query:
    """Every column of the incidents that are ongoing, or were closed at this moment or later."""
    return Query("SELECT * FROM incidents WHERE closed_at IS NULL OR closed_at >= ?", (moment,))


def catalog_changes(providers: Sequence[str], span: Span, kinds: Sequence[str]) -> Query:
    """Changes of the catalog of these kinds, one row per sync that found any."""
    return Query(
        "SELECT provider, min(changed_at) AS changed_at, count(*) AS n,\n"
        "  string_agg(DISTINCT kind, ', ' ORDER BY kind) AS kinds,\n"
        "  list_sort(list(DISTINCT model))[1:3] AS models\n"
        "FROM model_changes\nWHERE list_contains(?, kind)\n"
        "  AND list_contains(?, provider) AND changed_at >= ? AND changed_at < ?\n"
        "GROUP BY provider, coalesce(sync_id, change_id) ORDER BY changed_at",
        (list(kinds), list(providers), span.since, span.until),
    )


def losses(now: datetime) -> Query:
    """Failed attempts of the last day, and how their requests ended.

    Only failures that count against a provider; `rescued` are those of requests that were
    answered in the end, by a later attempt.
    """
    return Query(
        f"WITH seen AS (\n  SELECT request_id,\n"
        f"    {COUNTS_AGAINST_PROVIDER} AS is_bad, {GOOD} AS is_good\n"
        f"  FROM calls WHERE {USER_CALLS} AND started_at >= ? AND started_at < ?\n"
        "), asked AS (\n  SELECT request_id, count(*) AS attempts,\n"
        "    count(*) FILTER (is_bad) AS failed, bool_or(is_good) AS is_answered\n"
        "  FROM seen GROUP BY request_id\n)\n"
        "SELECT coalesce(sum(attempts), 0) AS attempts, coalesce(sum(failed), 0) AS failed,\n"
        "  coalesce(sum(failed) FILTER (is_answered), 0) AS rescued,\n"
        "  count(*) FILTER (failed > 0 AND NOT is_answered) AS lost\nFROM asked",
        (now - WINDOWS["1d"], now),
    )


def read_headroom(store: Store, now: datetime) -> dict[str, dict[str, Any]]:
    """Limits, what remains and when it resets, by provider, from its newest answer of a week.

    Args:
        store: the database.
        now: the end of the week, UTC.

    Returns:
        The columns `seen_at` and `ratelimit_...` by provider.

    `..._reset_..._s` counts seconds from `seen_at`, UTC; providers that never said are left out.
    """
    return {row.pop("provider"): row for row in store.rows(_HEADROOM, [now - _HEADROOM_KEPT, now])}


def _checked(column: str) -> str:
    """Check that a column is a known duration before it is used in SQL."""
    if column not in DURATIONS:
        raise ValueError(f"no such duration: {column!r}")
    return column
