"""The conversation of a pane turn by turn, and the branch that leaves it at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from toolkit.compare.board_history import list_branches
from toolkit.compare.board_rows import Branch
from toolkit.compare.board_view import pane_names
from toolkit.compare.conversation import branch_points, conversations_of
from toolkit.compare.new_board import Board
from toolkit.errors import ToolkitError
from toolkit.records import Message
from toolkit.ui.compare.saved_board import prompt_of, prompt_text
from toolkit.ui.compare.session import CompareState
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.text import plain, show_text

_OPENED: Final = "conversation"
_ADDRESS: Final = ("branch", "pane", "keep")
_SPEAKERS: Final = {"user": "Question", "assistant": "Answer", "system": "System prompt"}
_MOST_BRANCHES: Final = 8


def open_conversation(index: int) -> None:
    """Open the conversation of this pane; the address names it."""
    st.query_params[_OPENED] = str(index + 1)


def close_conversation() -> None:
    """Close the conversation that is open."""
    st.query_params.pop(_OPENED, None)


def draw_opened_conversation(board: Board) -> None:
    """Draw the conversation that the address names, if it names one."""
    number = st.query_params.get(_OPENED, "")
    if number.isdigit() and 1 <= int(number) <= len(board.panes):
        _draw_conversation(board, int(number) - 1)


@st.dialog("Conversation", width="medium", on_dismiss=close_conversation)  # type: ignore[untyped-decorator]
def _draw_conversation(board: Board, index: int) -> None:
    st.markdown(f"**{index + 1} {plain(pane_names(board.panes)[index])}**")
    st.caption(
        "“Branch here” begins a new board with the conversation up to that point. Its models can "
        "be changed before you send the next question; this board stays as it is."
    )
    try:
        conversation = conversations_of(board)[index]
    except ToolkitError as error:
        error_card(error)
        return
    points = branch_points(conversation)
    for number, message in enumerate(conversation):
        if number in points:
            _branch_button(board, index, number)
        _draw_message(message)
    if len(conversation) in points:
        _branch_button(board, index, len(conversation))


def _draw_message(message: Message) -> None:
    role = str(message.get("role"))
    with st.container(border=True):
        st.caption(_SPEAKERS.get(role, plain(role)))
        show_text(prompt_text([message]) or "No text.")


def _branch_button(board: Board, index: int, keep: int) -> None:
    if st.button("Branch here", key=f"branch-{keep}", icon=":material/call_split:",
                 type="tertiary"):  # fmt: skip
        st.query_params.clear()
        st.query_params.update(
            {"branch": board.board_id, "pane": str(index + 1), "keep": str(keep)}
        )
        st.rerun()


def branch_in_address() -> Branch | None:
    """The branch that the address asks for, or None."""
    board_id, pane, keep = (st.query_params.get(name, "") for name in _ADDRESS)
    if not board_id or not pane.isdigit() or not keep.isdigit():
        return None
    return Branch(board_id=board_id, pane=int(pane) - 1, keep=int(keep))


def forget_branch() -> None:
    """Take the branch out of the address."""
    for name in _ADDRESS:
        st.query_params.pop(name, None)


def draw_shared_history(state: CompareState) -> None:
    """Draw what the next question follows, with a button that drops it."""
    if state.branch is None:
        return
    number = len(state.history)
    messages = "1 message" if number == 1 else f"{number} messages"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Branch: every model gets the same **{messages}** before your question.",
                    width="content")  # fmt: skip
        st.page_link("compare.py", label="Original board", icon=":material/dashboard:",
                     query_params={"board": state.branch.board_id}, width="content")  # fmt: skip
        st.button("Drop the history", icon=":material/close:", type="tertiary",
                  on_click=_drop, args=(state,))  # fmt: skip
    if state.history:
        with st.expander("Shared history"):
            _draw_messages(state.history)


def _draw_messages(messages: Sequence[Message]) -> None:
    for message in messages:
        _draw_message(message)


def _drop(state: CompareState) -> None:
    state.branch, state.history = None, ()
    forget_branch()


def draw_relatives(board: Board) -> None:
    """Links to the board that this one continues, and to the boards that continue this one."""
    branches = list_branches(board.store, board.board_id, _MOST_BRANCHES)
    if board.branch is None and not branches:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if board.branch is not None:
            st.page_link("compare.py", label="Branched from another board",
                         icon=":material/call_split:", width="content",
                         query_params={"board": board.branch.board_id})  # fmt: skip
        if branches:
            st.caption("Branches:", width="content")
        for row in branches:
            question = " ".join(prompt_text(prompt_of(row["messages"])).split())
            st.page_link("compare.py", label=plain(question, limit=40) or "no text",
                         query_params={"board": row["board_id"]}, width="content")  # fmt: skip
