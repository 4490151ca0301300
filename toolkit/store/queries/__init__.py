"""The only SQL over the tables of the store, as named queries.

`query.Query` is one query with its values; `filters` says which calls count, `percentiles` with
how many of them a percentile is given. Each of the other modules has the queries of one subject.
Pages, commands and services name a query and run it on a `Store` or a `Reader`.
"""

from __future__ import annotations

from toolkit.store.queries.filters import (
    COUNTS_AGAINST_PROVIDER,
    GOOD,
    LIVE,
    ROLLUP_USER_CALLS,
    USER_CALLS,
    CallFilter,
    columns_where,
)
from toolkit.store.queries.frames import calls_df, models_df, probes_df, table_df
from toolkit.store.queries.percentiles import min_calls, percentile_sql, percentiles_sql
from toolkit.store.queries.query import Query, Source

__all__ = [
    "COUNTS_AGAINST_PROVIDER",
    "GOOD",
    "LIVE",
    "ROLLUP_USER_CALLS",
    "USER_CALLS",
    "CallFilter",
    "Query",
    "Source",
    "calls_df",
    "columns_where",
    "min_calls",
    "models_df",
    "percentile_sql",
    "percentiles_sql",
    "probes_df",
    "table_df",
]
