"""Queries over calls, one row per attempt, and over their roll-ups."""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

from datetime import datetime
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.store import rollup
from toolkit.store.queries.filters import ROLLUP_USER_CALLS
from toolkit.store.queries.percentiles import percentile_from_rank_sql
from toolkit.store.queries.query import Query

_ROLLED_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


def latency_from_rollups(metric: str = "ttft_ms", *, since: datetime | None = None) -> Query:
    """Percentiles of a duration by model from the daily histograms; fast at any size.

    Columns: provider, model, n, p50_ms, p90_ms, p95_ms, p99_ms, max_ms. A percentile is within
    1 % of the value at rank ceil(q * n); `n` and the maximum are exact. Live user calls only.

    Args:
        metric: one of `rollup.METRICS`.
        since: counts from the beginning of its UTC day.

    Raises:
        InvalidInput: there is no roll-up of `metric`.
    """
    if metric not in rollup.METRICS:
        raise InvalidInput(f"there is no roll-up of {metric!r}", hint=f"Use {rollup.METRICS}.")
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
