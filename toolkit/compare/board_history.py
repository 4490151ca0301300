"""Boards of the past, read from the store: the list, one of them, and the votes on all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolkit.compare.pane import Pane
from toolkit.errors import InvalidInput
from toolkit.store.queries import boards as queries

if TYPE_CHECKING:
    from toolkit.store.store import Store


def list_boards(store: Store, limit: int) -> list[dict[str, Any]]:
    """Boards, newest first, with their models and how many panes and votes they have."""
    return [_with_messages(row) for row in queries.board_rows(store, limit)]


def require_board(store: Store, board: str) -> dict[str, Any]:
    """The row of one board, by its id, its beginning or its end.

    Raises:
        InvalidInput: there is none, or several.
    """
    found = queries.find_boards(store, board) if board else []
    if not found:
        raise InvalidInput(
            f"there is no board {board!r}", hint="List them with `toolkit board list`."
        )
    if len(found) > 1:
        ids = ", ".join(row["board_id"] for row in found)
        raise InvalidInput(f"{board!r} matches several boards: {ids}", hint="Give a longer prefix.")
    return _with_messages(found[0])


def _with_messages(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its conversation as a list, empty where none is recorded."""
    return {**row, "messages": json.loads(row["messages"]) if row["messages"] else []}


def panes_of(store: Store, board_id: str) -> list[dict[str, Any]]:
    """The panes of a board in their order, with what their calls answered and measured."""
    return queries.pane_rows(store, board_id)


def list_branches(store: Store, board_id: str, limit: int) -> list[dict[str, Any]]:
    """The boards that continue a conversation of this one, oldest first."""
    return [_with_messages(row) for row in queries.branch_rows(store, board_id, limit)]


def as_panes(rows: list[dict[str, Any]]) -> tuple[Pane, ...]:
    """Such rows as panes to vote on.

    Raises:
        InvalidInput: the board is not complete, so the positions of its panes do not count.
    """
    if [row["position"] for row in rows] != list(range(len(rows))):
        raise InvalidInput(
            "not all panes of this board are recorded", hint="Run the comparison again."
        )
    return tuple(
        Pane(pane_id=row["pane_id"], index=row["position"], model=row["model"], state=row["state"])
        for row in rows
    )


def votes_of(store: Store) -> list[dict[str, Any]]:
    """All votes, oldest first."""
    return queries.vote_rows(store)
