"""The conversation behind each pane of a board, and a branch of it on a new board."""

from __future__ import annotations

import json
from collections.abc import Sequence

from toolkit.compare.board_history import panes_of
from toolkit.compare.board_result import Board
from toolkit.compare.board_rows import Branch
from toolkit.compare.pane import Pane
from toolkit.errors import InvalidInput
from toolkit.records import Message


def conversations_of(board: Board) -> list[list[Message]]:
    """The conversation of each pane so far: what it was sent, and what it answered.

    A system prompt that is a parameter of the pane is left out, because the pane sends it again.

    Raises:
        StoreError: the database cannot be read.
    """
    sent = {
        row["position"]: json.loads(row["messages"]) if row["messages"] else []
        for row in panes_of(board.store, board.board_id)
    }
    prompt = board.prompt
    own: list[Message] = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    )
    return [_conversation(pane, sent.get(pane.index) or own) for pane in board.panes]


def branch_points(conversation: Sequence[Message]) -> list[int]:
    """How many messages a branch can keep: those before each question, and all of them."""
    before = [index for index, one in enumerate(conversation) if one.get("role") == "user"]
    is_answered = bool(conversation) and conversation[-1].get("role") == "assistant"
    return [*before, *([len(conversation)] if is_answered else [])]


def branch_history(board: Board, branch: Branch) -> tuple[list[Message], Message | None]:
    """The messages that a branch begins with, and the question that followed them, or None.

    Raises:
        InvalidInput: the board has no such pane, or its conversation cannot be left there.
        StoreError: the database cannot be read.
    """
    if not 0 <= branch.pane < len(board.panes):
        raise InvalidInput(f"the board has no pane {branch.pane}; it has {len(board.panes)}")
    conversation = conversations_of(board)[branch.pane]
    if branch.keep not in branch_points(conversation):
        raise InvalidInput(
            f"the conversation of pane {branch.pane} cannot be continued after "
            f"{branch.keep} messages",
            hint="Open the board, and choose one of the turns of its conversation.",
        )
    following = conversation[branch.keep] if branch.keep < len(conversation) else None
    return conversation[: branch.keep], following


def _conversation(pane: Pane, sent: Sequence[Message]) -> list[Message]:
    messages: list[Message] = list(sent)
    system = {"role": "system", "content": pane.params.get("system")}
    if messages and messages[0] == system:
        del messages[0]
    if pane.text:
        messages.append({"role": "assistant", "content": pane.text})
    return messages
