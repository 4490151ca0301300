"""Boards of the past, read from the store: the list, one of them, and the votes on all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from toolkit.compare.pane import Pane
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.store.store import Store

_LIST: Final = """
    SELECT b.board_id, b.created_at, b.title, b.is_blind, b.messages,
           (SELECT count(*) FROM panes p WHERE p.board_id = b.board_id) AS panes,
           (SELECT list(DISTINCT p.model ORDER BY p.model) FROM panes p
            WHERE p.board_id = b.board_id) AS models,
           (SELECT count(*) FROM votes v WHERE v.board_id = b.board_id) AS votes
    FROM boards b
    ORDER BY b.created_at DESC, b.board_id DESC
    LIMIT ?"""
_FIND: Final = """
    SELECT * FROM boards
    WHERE starts_with(board_id, ?) OR ends_with(board_id, ?)
    ORDER BY created_at DESC LIMIT 5"""
# A pane that was retried has several rows; the newest one stands on the board.
_PANES: Final = """
    SELECT p.pane_id, p.position, p.label, p.model, p.params, p.state, p.error_code, p.call_id,
           c.output_text, c.error_message, c.ttft_ms, c.output_tps, c.output_tokens, c.cost_usd
    FROM panes p LEFT JOIN calls c ON c.call_id = p.call_id
    WHERE p.board_id = ?
    QUALIFY row_number() OVER (PARTITION BY p.position ORDER BY p.ended_at DESC) = 1
    ORDER BY p.position"""


def list_boards(store: Store, limit: int) -> list[dict[str, Any]]:
    """Boards, newest first, with their models and how many panes and votes they have."""
    return [_with_messages(row) for row in store.rows(_LIST, [limit])]


def require_board(store: Store, board: str) -> dict[str, Any]:
    """The row of one board, by its id, its beginning or its end.

    Raises:
        InvalidInput: there is none, or several.
    """
    found = store.rows(_FIND, [board, board]) if board else []
    if not found:
        raise InvalidInput(
            f"there is no board {board!r}", hint="List them with `toolkit board list`."
        )
    if len(found) > 1:
        ids = ", ".join(row["board_id"] for row in found)
        raise InvalidInput(f"{board!r} stands for several boards: {ids}", hint="Write more of it.")
    return _with_messages(found[0])


def _with_messages(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its conversation as a list, empty where none is recorded."""
    return {**row, "messages": json.loads(row["messages"]) if row["messages"] else []}


def panes_of(store: Store, board_id: str) -> list[dict[str, Any]]:
    """The panes of a board in their order, with what their calls answered and measured."""
    return store.rows(_PANES, [board_id])


def as_panes(rows: list[dict[str, Any]]) -> tuple[Pane, ...]:
    """Such rows as panes to vote on.

    Raises:
        InvalidInput: the board is not complete, so that its panes' places do not count.
    """
    if [row["position"] for row in rows] != list(range(len(rows))):
        raise InvalidInput("not all panes of this board are recorded", hint="Ask it again.")
    return tuple(
        Pane(pane_id=row["pane_id"], index=row["position"], model=row["model"], state=row["state"])
        for row in rows
    )


def votes_of(store: Store) -> list[dict[str, Any]]:
    """All votes, oldest first."""
    return store.rows("SELECT * FROM votes ORDER BY voted_at, vote_id")
