"""The Compare page: one question, two to eight models, side by side while they answer."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import pane_state
from toolkit.compare.board_view import pane_footer, pane_names
from toolkit.compare.new_board import MIN_PANES, Board
from toolkit.compare.pane import Pane
from toolkit.errors import ToolkitError
from toolkit.store.queries.app_pages import calls_of_board
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.conversation_panel import (
    branch_in_address,
    draw_opened_conversation,
    draw_relatives,
    draw_shared_history,
    forget_branch,
    open_conversation,
)
from toolkit.ui.compare.panes import (
    PaneActions,
    draw_drafts,
    draw_panes,
    draw_race,
    draw_race_start,
    state_of,
)
from toolkit.ui.compare.question import PROMPT, draw_question
from toolkit.ui.compare.saved_board import draw_boards, draw_recent_boards, prompt_text
from toolkit.ui.compare.session import CompareState, answer_names, compare_state
from toolkit.ui.compare.vote_panel import draw_judge, draw_vote, winner_of
from toolkit.ui.components.chart_block import draw_figure, draw_sources, notebook_of
from toolkit.ui.components.difference import difference_markdown
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.health_marks import read_troubles
from toolkit.ui.components.model_picker import draw_add_model, draw_params
from toolkit.ui.components.page_head import empty, page_head
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain
from toolkit.ui.home.first_use import ask_two_models

# Views below a finished board: the timeline of all panes and their figures.


def draw_results(board: Board) -> None:
    """Timeline on the left, numbers on the right."""
    has_phases = any(pane.attempts or pane.ttft_ms is not None for pane in board.panes)
    left, right = st.columns((44, 56), gap="medium") if has_phases else (None, st.container())
    if left is not None:
        with left:
            figure = board.figure()
            figure.update_layout(height=60 + 34 * len(board.panes) + 60)
            draw_figure(figure, key="compare-timeline")
            query = calls_of_board(board.board_id)
            python = f"import toolkit as tk\n\ntk.calls(origin_id={board.board_id!r})"
            draw_sources(key="compare-timeline", sql=query.text, python=python)
    with right:
        _numbers(board.panes)
        st.page_link(
            "calls.py",
            label="The calls of this board",
            icon=":material/receipt_long:",
            query_params={"board": board.board_id},
        )


def _numbers(panes: tuple[Pane, ...]) -> None:
    replies = [pane.reply for pane in panes]
    given = [reply.usage.input_tokens if reply else None for reply in replies]
    draw_table(
        {
            "#": Column([pane.index + 1 for pane in panes], 34, "number", on_phone=True),
            "Model": Column(pane_names(panes), 190, on_phone=True),
            "State": Column([state_of(pane) for pane in panes], 92, "state"),
            "TTFT ms": Column([pane.ttft_ms for pane in panes], 64, "number", on_phone=True),
            "Total ms": Column([pane.duration_ms for pane in panes], 66, "number"),
            "tok/s": Column([pane.output_tps for pane in panes], 50, "number", style="%.0f"),
            "In": Column(given, 46, "number", "Input tokens"),
            "Out": Column([pane.output_tokens for pane in panes], 46, "number", "Output tokens"),
            "Cost": Column([pane.cost_usd for pane in panes], 82, "money", on_phone=True),
        },
        key="compare-numbers",
        alt="One row per pane with its numbers",
    )


POLL_EVERY_S: Final = 0.25
_EXAMPLES: Final = (
    "Why is the sky blue?",
    "Explain eventual consistency to a ten-year-old.",
    "Find the bug: for i in range(len(xs)): xs.pop(i)",
)


def draw_compare(toolkit: Toolkit) -> None:
    """The whole page; everything on it comes from the board that the address names."""
    state = compare_state()
    if "boards" in st.query_params:
        _draw_list(toolkit)
        return
    _follow_address(toolkit, state)
    # Read once, and before the panes: a board that ends while this page is drawn is still drawn
    # as running, and the fragment then draws the whole page again with the end's figures.
    is_running, board = state.is_running, state.board
    _draw_head(toolkit, state, board)
    if state.branch is not None:
        draw_shared_history(state)
    draw_question(toolkit, state)
    if state.trouble is not None:
        error_card(state.trouble)
    if board is None:
        _draw_drafts(toolkit, state)
    elif is_running:
        _panes_live()
    elif state.race is not None:
        draw_race()
    else:
        _panes_now(state, best=winner_of(state))
        _draw_end(toolkit, state, board)


def _follow_address(toolkit: Toolkit, state: CompareState) -> None:
    """Show what the address asks for: a board, or models and a prompt to start from."""
    wanted = st.query_params.get("board")
    if wanted and wanted != state.board_id:
        try:
            state.show(toolkit, wanted)
            state.next_prompt = prompt_text(state.board.prompt) if state.board else None
        except ToolkitError as error:
            state.trouble = error
            st.query_params.pop("board", None)
    if st.query_params.pop("blind", None) == "on":
        st.session_state["compare-blind"] = True
    models, prompt = st.query_params.get_all("model"), st.query_params.get("prompt")
    if models or prompt:
        state.clear()
        state.choices.clear()
        for model in models:
            state.add(model)
        state.next_prompt = prompt or state.next_prompt
        for name in ("model", "prompt", "board"):
            st.query_params.pop(name, None)
    branch = branch_in_address()
    if branch is not None and branch != state.branch:
        try:
            state.begin_branch(toolkit, branch)
        except ToolkitError as error:
            state.trouble = error
            forget_branch()
    if state.board_id:
        st.query_params["board"] = state.board_id


def _draw_head(toolkit: Toolkit, state: CompareState, board: Board | None) -> None:
    with page_head("Compare", plain(prompt_text(board.prompt), limit=110) if board else ""):
        if board is not None:
            _progress(board)
        st.toggle(
            "Blind",
            key="compare-blind",
            disabled=state.is_running,
            help="Hides the models' names and shuffles them until you have voted.",
        )
        draw_add_model(toolkit, state)
        with st.popover("All panes", icon=":material/tune:", disabled=state.is_running):
            st.caption("Parameters for every pane that does not set its own.")
            draw_params(state.shared, "all")
        _board_menu(board)
        if board is not None:
            st.button(
                "New board",
                icon=":material/add:",
                on_click=_new_board,
                args=(state,),
                disabled=state.is_running,
            )


def _progress(board: Board) -> None:
    over = [pane for pane in board.panes if pane.is_over]
    if len(over) < len(board.panes):
        st.badge(f"… {len(over)} of {len(board.panes)} done", color="blue")
        return
    good = sum(pane.state == "done" for pane in board.panes)
    colour: Any = "green" if good == len(board.panes) else "orange"
    st.badge(f"✓ {good} of {len(board.panes)} done", color=colour)


def _board_menu(board: Board | None) -> None:
    with st.popover("Board", icon=":material/dashboard:"):
        if board is not None:
            st.caption("Link")
            link = f"{(st.context.url or '').split('?')[0]}?board={board.board_id}"
            st.code(link, language=None, wrap_lines=True)
            name = f"board-{board.board_id[-8:]}"
            for label, made, ending, mime in (
                ("Markdown", as_markdown, "md", "text/markdown"),
                ("JSON", as_json, "json", "application/json"),
                ("HTML", as_html, "html", "text/html"),
                ("Notebook", _notebook, "ipynb", "application/x-ipynb+json"),
            ):
                st.download_button(
                    label,
                    data=lambda made=made: made(board),
                    file_name=f"{name}.{ending}",
                    mime=mime,
                    key=f"board-{ending}",
                    on_click="ignore",
                    icon=":material/download:",
                )
        if st.button("All boards", icon=":material/list:", key="all-boards"):
            st.query_params.clear()
            st.query_params["boards"] = "all"
            st.rerun()


def _notebook(board: Board) -> str:
    return notebook_of(board_code(board))


def _new_board(state: CompareState) -> None:
    state.clear()
    st.session_state[PROMPT] = ""
    st.query_params.clear()


def _draw_drafts(toolkit: Toolkit, state: CompareState) -> None:
    draw_drafts(state, read_troubles(toolkit))
    if len(state.choices) >= MIN_PANES:
        return
    empty("Send one question to several models and compare answers, speed and cost.")
    ask_two_models(toolkit, state)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Example questions:", width="content")
        for number, example in enumerate(_EXAMPLES):
            st.button(
                example, key=f"example-{number}", type="tertiary",
                on_click=lambda text=example: st.session_state.update({PROMPT: text}),
            )  # fmt: skip
    _open_board(draw_recent_boards(toolkit))


def _panes_now(state: CompareState, *, best: int | None = None) -> None:
    """Draw the panes as they are now."""
    board = state.board
    if board is None:
        return
    names = answer_names(board.panes, hidden=state.hides_names)
    running = state.running
    actions = PaneActions(stop=running.stop, retry=running.retry) if running is not None else None
    opens = None if state.is_running or state.hides_names else open_conversation
    draw_panes(board.panes, names, actions, best=best, opens=opens)


@st.fragment(run_every=POLL_EVERY_S)  # type: ignore[untyped-decorator]
def _panes_live() -> None:
    """The panes over and over; the whole page is drawn once when every pane is over."""
    state = compare_state()
    _panes_now(state)
    if not state.is_running:
        st.rerun(scope="app")


def _draw_end(toolkit: Toolkit, state: CompareState, board: Board) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            draw_vote(state, board)
        if len(board.panes) >= MIN_PANES and not state.hides_names:
            with st.popover("Difference", icon=":material/difference:", type="tertiary"):
                _draw_difference(board)
            draw_judge(toolkit, board)
        draw_race_start(state)
    draw_relatives(board)
    if state.hides_names:
        st.caption("The timeline and figures show the model names; they appear after you vote.")
        return
    draw_opened_conversation(board)
    draw_results(board)


def _draw_difference(board: Board) -> None:
    names = [f"{pane.index + 1} {pane.model}" for pane in board.panes]
    left = st.selectbox("From", range(len(names)), format_func=names.__getitem__, key="diff-a")
    right = st.selectbox(
        "To", range(len(names)), index=1, format_func=names.__getitem__, key="diff-b"
    )
    before, now = board.panes[left].text, board.panes[right].text
    st.markdown(
        difference_markdown(before, now) if before != now else "Both answers are identical."
    )


def _draw_list(toolkit: Toolkit) -> None:
    with page_head("Boards", "All comparisons made here."):
        if st.button("New board", icon=":material/add:", key="list-new"):
            st.query_params.clear()
            compare_state().clear()
            st.rerun()
    _open_board(draw_boards(toolkit))


def _open_board(board_id: str | None) -> None:
    """Go to a board that was clicked in a list."""
    if board_id is not None:
        st.query_params.clear()
        st.query_params["board"] = board_id
        st.rerun()


def as_markdown(board: Board) -> str:
    """The question and every answer under its model, with its numbers."""
    parts = [
        f"# {prompt_text(board.prompt)}",
        f"Board {board.board_id}, {board.created_at:%Y-%m-%d}",
    ]
    for pane, name in zip(board.panes, pane_names(board.panes), strict=True):
        parts += [f"## {pane.index + 1}. {name}", _text(pane), f"*{pane_footer(pane)}*"]
    return "\n\n".join(parts) + "\n"


def as_json(board: Board) -> str:
    """Everything of the board as JSON."""
    value = {
        "board_id": board.board_id,
        "created_at": board.created_at,
        "prompt": board.prompt,
        "panes": [_pane(pane) for pane in board.panes],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, default=_jsonable)


def as_html(board: Board) -> str:
    """A page that needs nothing else; every answer is escaped text."""
    cells = "".join(
        f"<section><h2>{pane.index + 1}. {escape(name)}</h2><pre>{escape(_text(pane))}</pre>"
        f"<p>{escape(pane_footer(pane))}</p></section>"
        for pane, name in zip(board.panes, pane_names(board.panes), strict=True)
    )
    style = (
        "body{font:15px/1.5 sans-serif;margin:2rem;max-width:90rem}"
        "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}"
        "section{border:1px solid #999;border-radius:6px;padding:1rem}"
        "pre{white-space:pre-wrap;font:inherit}"
    )
    title = escape(prompt_text(board.prompt))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style><h1>{title}</h1><main>{cells}</main></html>"
    )


def board_code(board: Board) -> str:
    """Python that asks the same board again from a notebook."""
    models = [pane.model for pane in board.panes]
    panes = [dict(pane.params) for pane in board.panes]
    own = f",\n    panes={panes!r}" if any(panes) else ""
    return (
        "import toolkit as tk\n\n"
        f"board = tk.compare(\n    {board.prompt!r},\n    {models!r}{own},\n)\n"
        "board.figure()\nboard.frame()\n\n"
        f"# the calls of the board that was shown:\ntk.calls(origin_id={board.board_id!r})"
    )


def _text(pane: Pane) -> str:
    if pane.error is not None:
        return f"{pane_state(pane.state).label}: {pane.error.message}"
    return pane.text or pane_state(pane.state).label


def _pane(pane: Pane) -> dict[str, Any]:
    return {
        "model": pane.model,
        "params": dict(pane.params),
        "state": pane.state,
        "text": pane.text,
        "reasoning": pane.reasoning,
        "error_code": pane.error.code if pane.error else None,
        "ttft_ms": pane.ttft_ms,
        "output_tps": pane.output_tps,
        "output_tokens": pane.output_tokens,
        "duration_ms": pane.duration_ms,
        "cost_usd": pane.cost_usd,
    }


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else repr(value)
