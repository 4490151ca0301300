"""Boards, panes and votes as rows of the store.

Answers and measurements are in the calls; a row of `panes` has the position on the board, the
end, and the id of the call. A row that cannot be written is a warning in the log: the answer is
still shown to the user who waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.compare.pane import Pane
from toolkit.compare.vote import RETRACTED, Vote
from toolkit.errors import StoreError
from toolkit.records import Message

if TYPE_CHECKING:
    from toolkit.store.store import Store

_log = logging.getLogger(__name__)
_BRANCH_TAGS: Final = ("branch_of", "branch_pane", "branch_keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Where a board leaves the conversation of another one.

    Attributes:
        board_id: the other board.
        pane: index of the pane whose conversation is continued.
        keep: how many messages of that conversation the new board begins with.
    """

    board_id: str
    pane: int
    keep: int

    def as_tags(self) -> dict[str, str]:
        """The branch as labels of the new board's row."""
        return dict(zip(_BRANCH_TAGS, (self.board_id, str(self.pane), str(self.keep)), strict=True))


def read_branch(tags: Mapping[str, str] | None) -> Branch | None:
    """The branch that a board's labels name, or None."""
    found = [(tags or {}).get(name) for name in _BRANCH_TAGS]
    if found[0] is None or not all(text and text.isdigit() for text in found[1:]):
        return None
    return Branch(board_id=found[0], pane=int(found[1] or 0), keep=int(found[2] or 0))


def board_row(
    board_id: str,
    created_at: datetime,
    prompt: str | Sequence[Message],
    shared: Mapping[str, Any],
    is_blind: bool,
    branch: Branch | None = None,
) -> dict[str, Any]:
    """The row of `boards` of a board that has just been asked."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return {
        "board_id": board_id,
        "created_at": created_at,
        "messages": messages,
        "params": dict(shared),
        "is_blind": is_blind,
        "tags": branch.as_tags() if branch else None,
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
