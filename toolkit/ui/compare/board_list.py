"""All boards: a list with search; a click opens one."""

from __future__ import annotations

from typing import Final

import streamlit as st

from toolkit.compare.board_history import list_boards
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.saved_board import prompt_of, prompt_text
from toolkit.ui.components.format import at
from toolkit.ui.components.table import Column, draw_table

MOST_BOARDS: Final = 500


def draw_boards(toolkit: Toolkit) -> str | None:
    """Draw the list and return the board that was clicked."""
    rows = list_boards(toolkit.store, MOST_BOARDS)
    text = st.text_input(
        "Search boards", key="board-text", type="search", live="200ms", width=330,
        placeholder="Text of the question, or a model", label_visibility="collapsed",
    )  # fmt: skip
    asked = [row["title"] or prompt_text(prompt_of(row["messages"])) for row in rows]
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
    zone = st.context.timezone
    chosen = draw_table(
        {
            "When": Column([at(rows[i]["created_at"], zone) for i in kept], 96, on_phone=True),
            "Question": Column(
                [" ".join(asked[i].split())[:200] for i in kept], 470, on_phone=True
            ),
            "Models": Column([models[i] for i in kept], 440),
            "panes": Column([rows[i]["panes"] for i in kept], 60, "number"),
            "votes": Column([rows[i]["votes"] for i in kept], 60, "number"),
        },
        key="boards",
        opens=("When", "Question", "Models"),
        alt="Boards, newest first",
        height=min(28 * len(kept) + 38, 640),
    )
    return None if chosen is None else str(rows[kept[chosen]]["board_id"])


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
