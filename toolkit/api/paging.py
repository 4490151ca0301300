"""Pages of rows: what every listing of the API answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from toolkit.store.queries import Query
    from toolkit.store.store import Store


class Page(BaseModel):
    """Some of many rows.

    Attributes:
        data: the rows from `offset` on, at most `limit`.
        total: how many there are.
    """

    data: list[dict[str, Any]]
    total: int
    limit: int
    offset: int


def page_of(rows: Sequence[dict[str, Any]], limit: int, offset: int) -> Page:
    """One page of rows that are all at hand."""
    return Page(
        data=list(rows[offset : offset + limit]), total=len(rows), limit=limit, offset=offset
    )


def page_rows(store: Store, query: Query, page: tuple[int, int]) -> Page:
    """One page of a query's rows."""
    limit, offset = page
    counted = store.rows(f"SELECT count(*) AS n FROM ({query.sql})", query.params)  # noqa: S608 - the toolkit's own SQL, values bound
    rows = store.rows(f"{query.sql} LIMIT {int(limit)} OFFSET {int(offset)}", query.params)
    return Page(data=rows, total=int(counted[0]["n"]), limit=limit, offset=offset)
