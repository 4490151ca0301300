"""Queries over calls and probes that health is judged by: evidence, objectives, probe budget."""

# ruff: noqa: S608 - columns and windows are constants, values are always bound.

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from toolkit.store.queries.filters import COUNTS_AGAINST_PROVIDER, GOOD, LIVE, USER_CALLS
from toolkit.store.queries.query import Query

# Probes are in both tables when a model was called; the row of `probes` is the one that counts.
_OUTCOMES: Final = f"""
    SELECT * FROM (
        SELECT provider, model, call_id AS id, false AS is_probe, status, error_code,
               error_cause, blame, ttft_ms, duration_ms, retry_after_s,
               started_at + to_microseconds(CAST(coalesce(duration_ms, 0) * 1000 AS BIGINT))
                   AS seen_at
        FROM calls
        WHERE {USER_CALLS}
              AND started_at >= ? AND started_at <= ?
        UNION ALL
        SELECT provider, model, probe_id, true, status, error_code, error_cause, blame,
               ttft_ms, latency_ms, retry_after_s, probed_at
        FROM probes WHERE probed_at >= ? AND probed_at <= ?
    )
    WHERE provider IS NOT NULL AND (? IS NULL OR list_contains(?, provider))
    QUALIFY row_number() OVER (PARTITION BY provider ORDER BY seen_at DESC, id DESC) <= ?
    ORDER BY seen_at, id"""

_CONCLUSIVE_CALLS: Final = f"""
    SELECT provider, count(*) AS n FROM calls
    WHERE {USER_CALLS}
        AND started_at >= ? AND started_at <= ?
        AND ({GOOD} OR (status = 'error' AND blame IN ('provider', 'network')))
    GROUP BY provider"""

# Calls have the cost; a probe without a known cost counts with its reserved amount.
_PROBE_SPEND: Final = f"""
    SELECT (
        SELECT coalesce(sum(coalesce(cost_reported_usd, cost_usd)), 0) FROM calls
        WHERE {LIVE} AND origin = 'health' AND started_at >= ? AND started_at < ?
    ) + (
        SELECT coalesce(sum(CAST(details ->> 'reserved_usd' AS DECIMAL(24, 12))), 0) FROM probes
        WHERE kind IN ('call', 'stream') AND cost_usd IS NULL AND probed_at >= ? AND probed_at < ?
    ) AS usd"""

_LAST_PAID_PROBES: Final = """
    SELECT provider, max(probed_at) AS probed_at FROM probes
    WHERE kind IN ('call', 'stream') AND probed_at >= ? AND probed_at <= ? GROUP BY provider"""

_OBJECTIVE_COUNTS: Final[Mapping[str, str]] = {
    "good": "is_good",
    "total": "is_good OR is_bad",
    "ttft_good": "is_good AND ttft_ms <= ?",
    "ttft_total": "is_good AND ttft_ms IS NOT NULL",
    "duration_good": "is_good AND duration_ms <= ?",
    "duration_total": "is_good AND duration_ms IS NOT NULL",
    "in_time": "is_good AND coalesce(ttft_ms, 0) <= ? AND coalesce(duration_ms, 0) <= ?",
}
"""Conditions counted in every window; `objective_counts` has the values of each."""


def outcomes(
    since: datetime, until: datetime, providers: Collection[str] | None, most_per_provider: int
) -> Query:
    """The newest outcomes of live user calls and of probes by provider, oldest first.

    Args:
        since, until: the time range; both ends are included.
        providers: only these; None: all.
        most_per_provider: how many of each provider.
    """
    wanted = None if providers is None else list(providers)
    return Query(_OUTCOMES, (*(since, until) * 2, wanted, wanted, most_per_provider))


def conclusive_calls(since: datetime, until: datetime) -> Query:
    """How many live user calls of each provider show whether it works; both ends are included."""
    return Query(_CONCLUSIVE_CALLS, (since, until))


def probe_spend(since: datetime, until: datetime) -> Query:
    """One row with the `usd` that probes cost; `until` is excluded."""
    return Query(_PROBE_SPEND, (since, until) * 2)


def last_paid_probes(since: datetime, until: datetime) -> Query:
    """The last paid probe of each provider in a time range; both ends are included."""
    return Query(_LAST_PAID_PROBES, (since, until))


def objective_counts(
    provider: str,
    now: datetime,
    windows: Mapping[str, timedelta],
    *,
    ttft_ms: float,
    duration_ms: float,
) -> Query:
    """One row with the counts that the objectives of a provider are judged by.

    Args:
        provider: its name.
        now: the end of every window, included.
        windows: lengths by name; names become part of the columns, so they must be constants.
        ttft_ms, duration_ms: the thresholds of the objectives.

    Returns:
        By window, with its name appended: `good_...` and `total_...` of the calls that count,
        `ttft_good_...`, `ttft_total_...`, `duration_good_...` and `duration_total_...` of those
        answered, and `in_time_...`, answered within both thresholds.
    """
    thresholds: Mapping[str, tuple[float, ...]] = {
        "ttft_good": (ttft_ms,),
        "duration_good": (duration_ms,),
        "in_time": (ttft_ms, duration_ms),
    }
    columns, values = list[str](), list[float | datetime]()
    for window, width in windows.items():
        for name, condition in _OBJECTIVE_COUNTS.items():
            columns.append(
                f"count(*) FILTER (({condition}) AND started_at >= ?) AS {name}_{window}"
            )
            values += [*thresholds.get(name, ()), now - width]
    sql = (
        f"WITH seen AS (SELECT started_at, ttft_ms, duration_ms, {GOOD} AS is_good, "
        f"{COUNTS_AGAINST_PROVIDER} AS is_bad FROM calls WHERE {USER_CALLS} AND provider = ? "
        "AND started_at >= ? AND started_at <= ?) "
        f"SELECT {', '.join(columns)} FROM seen"
    )
    since = now - max(windows.values())
    # The parameters of a common table expression come first in the text, and so in the list.
    return Query(sql, (provider, since, now, *values))
