"""Boards of the past on the Compare page: their list with a search, and one of them.

A board is taken from those that still run in this process, else from the database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import streamlit as st

from toolkit import errors
from toolkit.compare.board_history import list_boards, panes_of, require_board
from toolkit.compare.board_rows import read_branch
from toolkit.compare.new_board import Board, RunningBoard
from toolkit.compare.pane import Pane
from toolkit.errors import ToolkitError
from toolkit.records import Message
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import at
from toolkit.ui.components.page_head import section
from toolkit.ui.components.table import Column, draw_table

_KEPT: Final = 32


@st.cache_resource(show_spinner=False)  # type: ignore[untyped-decorator]
def _running() -> dict[str, RunningBoard]:
    """The boards of this process: a reload or a second tab finds the one that still runs."""
    return {}


def remember(board: RunningBoard) -> None:
    """Keep a board that was just asked, so that its address shows it while it runs."""
    boards = _running()
    boards[board.board_id] = board
    for board_id in list(boards)[:-_KEPT]:
        if boards[board_id].is_over:
            del boards[board_id]


def find_running(board_id: str) -> RunningBoard | None:
    """The board as it runs in this process, or None."""
    found: RunningBoard | None = _running().get(board_id)
    return found


def read_board(toolkit: Toolkit, board_id: str) -> Board:
    """A board from the database.

    Raises:
        InvalidInput: there is no such board.
        StoreError: the database cannot be read.
    """
    row = require_board(toolkit.store, board_id)
    panes = panes_of(toolkit.store, row["board_id"])
    made = tuple(replace(_pane(pane), index=index) for index, pane in enumerate(panes))
    return Board(
        board_id=row["board_id"],
        created_at=row["created_at"],
        prompt=prompt_of(row["messages"]),
        panes=made,
        is_blind=bool(row["is_blind"]),
        branch=read_branch(dict(row["tags"] or {})),
        store=toolkit.store,
    )


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> str | list[Message]:
    """One user message as text, anything else as the conversation it is."""
    if not messages:
        return "The question was not recorded."
    only = messages[0].get("content") if len(messages) == 1 else None
    return only if isinstance(only, str) else list(messages)


def prompt_text(prompt: object) -> str:
    """A prompt in text: the last message's, where it is a conversation."""
    if isinstance(prompt, str):
        return prompt
    messages = list(prompt) if isinstance(prompt, Sequence) else []
    content = messages[-1].get("content") if messages else ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or () if isinstance(part, Mapping))


def _pane(row: Mapping[str, Any]) -> Pane:
    error = None
    if row["error_code"]:
        kind = _ERRORS.get(row["error_code"], ToolkitError)
        message = row["error_message"] or "the request failed"
        error = kind(message, model=row["model"], status=row["http_status"])
    params = json.loads(row["params"]) if row["params"] else {}
    return Pane(
        pane_id=row["pane_id"],
        index=row["position"],
        model=row["model"],
        params=params,
        state=row["state"],
        text=row["output_text"] or "",
        reasoning=row["reasoning_text"] or "",
        ttft_ms=row["ttft_ms"],
        ttfo_ms=row["ttfo_ms"],
        output_tps=row["output_tps"],
        output_tokens=row["output_tokens"],
        duration_ms=row["duration_ms"],
        cost_usd=row["cost_usd"],
        error=error,
    )


_ERRORS: Final[Mapping[str, type[ToolkitError]]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ToolkitError)
}


MOST_BOARDS: Final = 500
RECENT_BOARDS: Final = 8


def draw_boards(toolkit: Toolkit) -> str | None:
    """Draw the list and return the board that was clicked."""
    rows = list_boards(toolkit.store, MOST_BOARDS)
    text = st.text_input(
        "Search boards", key="board-text", type="search", live="200ms", width=330,
        placeholder="Text of the question, or a model", label_visibility="collapsed",
    )  # fmt: skip
    asked = [_asked(row) for row in rows]
    models = [", ".join(row["models"] or ()) for row in rows]
    wanted = (text or "").lower().split()
    kept = [
        index
        for index in range(len(rows))
        if all(word in f"{asked[index]} {models[index]}".lower() for word in wanted)
    ]
    if not kept:
        st.markdown("No boards yet." if not rows else "No board matches.")
        return None
    return _draw_rows([rows[index] for index in kept], "boards")


def draw_recent_boards(toolkit: Toolkit) -> str | None:
    """The newest boards, if there are any; returns the one that was clicked."""
    rows = list_boards(toolkit.store, RECENT_BOARDS)
    if not rows:
        return None
    section("Recent boards")
    return _draw_rows(rows, "recent-boards")


def _draw_rows(rows: Sequence[Mapping[str, Any]], key: str) -> str | None:
    zone = st.context.timezone
    chosen = draw_table(
        {
            "When": Column([at(row["created_at"], zone) for row in rows], 96, on_phone=True),
            "Question": Column([_line(_asked(row)) for row in rows], 470, on_phone=True),
            "Models": Column([", ".join(row["models"] or ()) for row in rows], 440),
            "Panes": Column([row["panes"] for row in rows], 60, "number"),
            "Votes": Column([row["votes"] for row in rows], 60, "number"),
        },
        key=key,
        opens=("When", "Question", "Models"),
        alt="Boards, newest first",
        most_px=640,
    )
    return None if chosen is None else str(rows[chosen]["board_id"])


def _asked(row: Mapping[str, Any]) -> str:
    return str(row["title"] or prompt_text(prompt_of(row["messages"])))


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
