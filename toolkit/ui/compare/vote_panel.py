"""Votes on a board: by click and by key, blind or not, with tags and a comment, and undo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from toolkit.compare.board_rows import retract_votes
from toolkit.compare.model_judge import MAX_TOKENS, judge_board, judge_prompts
from toolkit.compare.new_board import Board
from toolkit.compare.vote import Choice as Winner
from toolkit.errors import ToolkitError
from toolkit.pricing.cost_estimate import total_usd
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import CompareState
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import money
from toolkit.ui.components.model_picker import model_names
from toolkit.ui.components.text import own, plain, sentence

_SAID: Final = {"tie": "a tie", "both_bad": "all bad"}
_TAGS: Final = ("correct", "clear", "short", "style", "format", "safety")
MIN_ANSWERS: Final = 2


def draw_vote(state: CompareState, board: Board) -> None:
    """The row of buttons, or what was voted with its undo."""
    answered = [pane.index for pane in board.panes if pane.text or pane.reasoning]
    if state.voted is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Your vote: **{plain(state.voted)}**", width="content")
            st.button("Undo", shortcut="U", key="vote-undo", on_click=_undo, args=(state, board))
        return
    if len(answered) < MIN_ANSWERS:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Best answer**", width="content")
        for index in answered:
            st.button(
                "",
                key=f"vote-{index}",
                icon=":material/thumb_up:",
                shortcut=f"{index + 1}",
                help=f"Answer {index + 1} is the best",
                on_click=_cast,
                args=(state, board, index),
            )
        st.button("Tie", key="vote-tie", shortcut="T", on_click=_cast, args=(state, board, "tie"))
        st.button(
            "All bad", key="vote-bad", shortcut="B", on_click=_cast, args=(state, board, "both_bad")
        )
        with st.popover("Tags and comment", icon=":material/sell:", type="tertiary"):
            st.pills("Tags", _TAGS, selection_mode="multi", key="vote-tags")
            st.text_input("Comment", key="vote-comment")
            st.caption("They are saved with your next vote.")


def draw_judge(toolkit: Toolkit, board: Board) -> None:
    """Let a model judge the answers: the cost first, then its votes, marked as its own."""
    prompts = judge_prompts(board)
    if not prompts:
        return
    with st.popover("Ask a judge", icon=":material/gavel:", type="tertiary"):
        model = st.selectbox("Judge", model_names(toolkit), index=None, key="judge-model",
                             accept_new_options=True, placeholder="provider/model")  # fmt: skip
        st.caption(
            "Compares each pair of answers in both orders; a pair that is judged differently in "
            "the two orders is a tie. Its votes are kept apart from those of people."
        )
        if not model:
            return
        st.caption(_cost_of(toolkit, model, prompts))
        if st.button("Judge", key="judge-ask", icon=":material/play_arrow:"):
            _ask_judge(toolkit, board, model)


def _cost_of(toolkit: Toolkit, model: str, prompts: Sequence[str]) -> str:
    number = f"{len(prompts)} requests"
    try:
        each = [toolkit.estimate(model, prompt, max_tokens=MAX_TOKENS) for prompt in prompts]
    except ToolkitError as error:
        return f"{number}. {own(sentence(error.message, names=(error.provider, error.model)))}"
    most = total_usd(estimate.most_usd for estimate in each)
    if most is None:
        return f"{number}; what they cost is not known, because the model has no price."
    return f"{number}, at most {plain(money(most))}."


def _ask_judge(toolkit: Toolkit, board: Board, model: str) -> None:
    try:
        with st.spinner("Judging", show_time=True):
            done = judge_board(toolkit, board, model)
    except ToolkitError as error:
        error_card(error)
        return
    names = [f"{pane.index + 1}" for pane in board.panes]
    by_id = {pane.pane_id: names[pane.index] for pane in board.panes}
    for vote in done.votes:
        a, b = by_id[vote.pane_a], by_id[vote.pane_b]
        said = {"a": f"{a} is better", "b": f"{b} is better", "tie": "a tie",
                "both_bad": "both are bad"}[vote.outcome]  # fmt: skip
        st.markdown(f"{a} and {b}: **{said}**" + (f" ({vote.note})" if vote.note else ""))
    if done.unread:
        st.caption(f"The verdict on {done.unread} pairs could not be read.")


def _note() -> str | None:
    tags = " ".join(f"#{tag}" for tag in st.session_state.get("vote-tags") or ())
    comment = (st.session_state.get("vote-comment") or "").strip()
    return f"{tags} {comment}".strip() or None


def _cast(state: CompareState, board: Board, winner: Winner) -> None:
    try:
        votes = board.vote(winner, note=_note())
    except ToolkitError as error:
        state.trouble = error
        return
    state.votes = votes
    if isinstance(winner, str):
        state.voted = _SAID[winner]
    else:
        state.voted = f"{winner + 1} {board.panes[winner].model}"


def _undo(state: CompareState, board: Board) -> None:
    try:
        if board.store is not None:
            retract_votes(board.store, state.votes)
    except ToolkitError as error:
        state.trouble = error
        return
    state.votes, state.voted = (), None


def winner_of(state: CompareState) -> int | None:
    """The pane that was voted best, or None."""
    if not state.voted or not state.voted[0].isdigit():
        return None
    return int(state.voted.split(" ", 1)[0]) - 1
