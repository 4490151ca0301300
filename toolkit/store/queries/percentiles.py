"""The one rule for percentiles: exact, never averaged, and only with enough calls.

A percentile q is given when at least one call can be expected beyond it: n >= 1 / (1 - q), so p90
from 10, p95 from 20 and p99 from 100 calls. The median is given from the first call: of one call
it is that call, and n is always shown beside it. Below the minimum it is NULL, and the maximum and
n are what a page or table shows instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


def min_calls(quantile: float) -> int:
    """The fewest values of which this quantile is given."""
    tail = min(quantile, 1 - quantile)
    return 1 if quantile == 0.5 else math.ceil(round(1 / tail, 6))


def percentile_name(column: str, quantile: float) -> str:
    """The name of the result: `ttft_ms` at 0.95 is `ttft_p95_ms`, `output_tps` `output_tps_p95`."""
    rank = f"p{quantile * 100:g}".replace(".", "_")
    stem, _, unit = column.rpartition("_")
    return f"{stem}_{rank}_{unit}" if unit in ("ms", "s", "us") else f"{column}_{rank}"


def percentile_sql(column: str, quantile: float, condition: str | None = None) -> str:
    """SQL for one percentile of a column in a grouped SELECT; NULL with too few values.

    Args:
        column: a column or expression; its unknown values do not count.
        quantile: between 0 and 1.
        condition: which rows count; None for all of the group.
    """
    only = f" FILTER ({condition})" if condition else ""
    exact = f"quantile_cont({column}, {quantile:g}){only}"
    fewest = min_calls(quantile)
    if fewest == 1:
        return exact  # of no values at all it is NULL by itself
    return f"CASE WHEN count({column}){only} >= {fewest} THEN {exact} END"


def percentiles_sql(
    column: str, quantiles: Iterable[float] = QUANTILES, condition: str | None = None
) -> str:
    """SQL for several percentiles, each named by `percentile_name`, with maximum and n.

    The last two are `max` and `n` in the place of the rank: `ttft_max_ms`, `ttft_n`.
    """
    only = f" FILTER ({condition})" if condition else ""
    terms = [
        f"{percentile_sql(column, q, condition)} AS {percentile_name(column, q)}" for q in quantiles
    ]
    median = percentile_name(column, 0.5)
    terms.append(f"max({column}){only} AS {median.replace('p50', 'max')}")
    terms.append(f"count({column}){only} AS {column.rpartition('_')[0] or column}_n")
    return ",\n       ".join(terms)


def percentile_from_rank_sql(value: str, below: str, total: str, quantile: float) -> str:
    """SQL for a percentile from a cumulated histogram, under the same rule.

    Args:
        value: the value of a bucket.
        below: how many values lie in this bucket and those below it.
        total: how many values there are.
        quantile: between 0 and 1.
    """
    found = f"min({value}) FILTER ({below} >= ceil({quantile:g} * {total}))"
    return f"CASE WHEN max({total}) >= {min_calls(quantile)} THEN {found} END"
