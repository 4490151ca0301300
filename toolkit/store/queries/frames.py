"""Whole tables as DataFrames, newest first, with filters by column.

A `where` is a user's own SQL and runs on the locked-down connection.
"""

# ruff: noqa: S608 - names in SQL are the toolkit's own (`tables.py`), values are bound.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput
from toolkit.store.queries.filters import columns_where

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
    "load_tests": "started_at DESC, run_id DESC",
    "eval_samples": "scored_at DESC, result_id DESC",
    "regressions": "judged_at DESC, verdict_id DESC",
}


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
        store: the store.
        table: name of the table.
        where: the user's SQL condition over its columns; None for all.
        limit: at most so many rows; None for all.
        filters: by column: a value that it equals, None where it must be unknown, or a list,
            tuple or set of values of which it is one.

    Raises:
        InvalidInput: a filter names an unknown column, or the limit is not a whole number >= 0.
        StoreError: the condition is not readable or not allowed, or the store cannot be read.
    """
    condition, values = columns_where(table, filters or {})
    order = _NEWEST_FIRST.get(table)
    # The user's text ends on a line of its own: a comment in it must not swallow ours.
    own = f"({where}\n)" if where is not None and where.strip() else "true"
    sql = f"SELECT * FROM {table} WHERE {own} AND {condition}"
    sql += f" ORDER BY {order}" if order else ""
    sql += f" LIMIT {_checked_limit(limit)}" if limit is not None else ""
    return store.frame(sql, values) if own == "true" else store.user_frame(sql, values)


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


def _checked_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidInput(f"limit must be a whole number, 0 or more, not {limit!r}")
    return limit
