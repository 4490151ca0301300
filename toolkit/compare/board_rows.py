"""Boards, panes and votes as rows of the store.

Answers and measurements are in the calls; a row of `panes` has the position on the board, the
end, and the id of the call. A row that cannot be written is a warning in the log: the answer is
still shown to the user who waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from toolkit.compare.pane import Pane
from toolkit.compare.vote import RETRACTED, Vote
from toolkit.errors import StoreError
from toolkit.records import Message

if TYPE_CHECKING:
    from toolkit.store.store import Store

_log = logging.getLogger(__name__)


def board_row(
    board_id: str,
    created_at: datetime,
    prompt: str | Sequence[Message],
    shared: Mapping[str, Any],
    is_blind: bool,
) -> dict[str, Any]:
    """The row of `boards` of a board that has just been asked."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return {
        "board_id": board_id,
        "created_at": created_at,
        "messages": messages,
        "params": dict(shared),
        "is_blind": is_blind,
    }


def pane_row(board_id: str, pane: Pane) -> dict[str, Any]:
    """The row of `panes` of a pane that is over."""
    return {
        "pane_id": pane.pane_id,
        "board_id": board_id,
        "ended_at": datetime.now(UTC),
        "position": pane.index,
        "model": pane.model,
        "params": dict(pane.params),
        "state": pane.state,
        "call_id": pane.call_id,
        "error_code": pane.error.code if pane.error else None,
    }


def append_row(store: Store, table: str, row: Mapping[str, Any]) -> None:
    """Acknowledge one row; a failure is logged."""
    try:
        store.append(table, dict(row))
    except StoreError as error:
        _log.warning("a row of %s was not recorded: %s", table, error)


def append_votes(store: Store, votes: Sequence[Vote]) -> None:
    """Acknowledge votes; here the row is the point, so a store that cannot take it raises.

    Raises:
        StoreError: nothing was recorded.
    """
    store.append_many("votes", [asdict(vote) for vote in votes])


def retract_votes(store: Store, votes: Sequence[Vote]) -> None:
    """Undo votes: each is named in the note of a second row, since rows are never changed.

    Raises:
        StoreError: the rows could not be written.
    """
    now = datetime.now(UTC)
    rows = [
        {
            **asdict(vote),
            "vote_id": str(uuid7()),
            "voted_at": now,
            "outcome": RETRACTED,
            "note": vote.vote_id,
        }
        for vote in votes
    ]
    store.append_many("votes", rows)
