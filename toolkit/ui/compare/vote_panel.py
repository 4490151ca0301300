"""What stands under a board that is over: the timeline, the table, the vote, the way out."""

from __future__ import annotations

import streamlit as st

from toolkit.compare.board import Board
from toolkit.compare.pane import Pane
from toolkit.compare.view import pane_names
from toolkit.compare.vote import Choice as Winner
from toolkit.errors import ToolkitError
from toolkit.ui.compare.session import CompareState, answer_names
from toolkit.ui.components.chart_block import draw_figure
from toolkit.ui.components.format import UNKNOWN, count, duration_column, money, rate
from toolkit.ui.components.text import plain


def draw_verdict(state: CompareState) -> None:
    """Draw it for the board of this session."""
    assert state.running is not None
    board = state.running.board()
    names = answer_names(board.panes, hidden=state.hides_names)
    _vote(state, board, names)
    if state.hides_names:
        st.caption("Timeline, table and code name the models: they appear once you have voted.")
        return
    draw_figure(board.figure(), key="compare-timeline")
    st.dataframe(_table(board.panes), hide_index=True, alt="One row per pane, with its numbers")
    _ways_out(board)


def board_code(board: Board) -> str:
    """Python that asks the same board again from a notebook."""
    models = [pane.model for pane in board.panes]
    panes = [dict(pane.params) for pane in board.panes]
    own = f",\n    panes={panes!r}" if any(panes) else ""
    return (
        "import toolkit as tk\n\n"
        f"board = tk.compare(\n    {board.prompt!r},\n    {models!r}{own},\n)\n"
        "board.figure()\nboard.frame()\n\n"
        f"# what this board measured:\ntk.calls(origin_id={board.board_id!r})"
    )


def _vote(state: CompareState, board: Board, names: list[str]) -> None:
    answered = [pane.index for pane in board.panes if pane.text or pane.reasoning]
    if state.voted is not None:
        st.success(f"Recorded: {plain(state.voted)}", icon=":material/how_to_vote:")
        return
    if len(answered) < 2:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Which answer is better?**", width="content")
        for index in answered:
            label = f"{index + 1}: {plain(names[index])}"
            st.button(label, key=f"vote-{index}", on_click=_cast, args=(state, board, index))
        st.button("Tie", key="vote-tie", on_click=_cast, args=(state, board, "tie"))
        st.button("Both bad", key="vote-bad", on_click=_cast, args=(state, board, "both_bad"))


def _cast(state: CompareState, board: Board, winner: Winner) -> None:
    try:
        board.vote(winner)
    except ToolkitError as error:
        state.trouble = error
        return
    said = {"tie": "a tie", "both_bad": "both bad"}
    state.voted = said[winner] if isinstance(winner, str) else f"{board.panes[winner].model} won"


def _table(panes: tuple[Pane, ...]) -> dict[str, list[str]]:
    replies = [pane.reply for pane in panes]
    tpot = [reply.timing.tpot_ms if reply else None for reply in replies]
    usage = [reply.usage if reply else None for reply in replies]
    return {
        "model": pane_names(panes),
        "state": [pane.error.code if pane.error else pane.state for pane in panes],
        "TTFT": duration_column(pane.ttft_ms for pane in panes),
        "TPOT": duration_column(tpot),
        "speed": [rate(pane.output_tps) for pane in panes],
        "input tokens": [count(used.input_tokens) if used else UNKNOWN for used in usage],
        "output tokens": [count(used.output_tokens) if used else UNKNOWN for used in usage],
        "cost": [money(pane.cost_usd) for pane in panes],
        "finish": [(reply.finish_reason if reply else None) or UNKNOWN for reply in replies],
        "attempts": [count(len(pane.attempts)) for pane in panes],
    }


def _ways_out(board: Board) -> None:
    with st.container(horizontal=True):
        st.page_link(
            "calls.py",
            label="The calls of this board",
            icon=":material/receipt_long:",
            query_params={"board": board.board_id},
        )
    with st.expander("Open in a notebook", icon=":material/data_object:"):
        st.code(board_code(board), language="python")
