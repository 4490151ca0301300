"""Pages of rows: what every listing of the API answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
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


def page_rows(store: Store, sql: str, values: Sequence[Any], page: tuple[int, int]) -> Page:
    """One page of a query's rows; the query is the house's own, its values bound."""
    limit, offset = page
    counted = store.rows(f"SELECT count(*) AS n FROM ({sql})", list(values))  # noqa: S608 - see above
    rows = store.rows(f"{sql} LIMIT {int(limit)} OFFSET {int(offset)}", list(values))
    return Page(data=rows, total=int(counted[0]["n"]), limit=limit, offset=offset)
