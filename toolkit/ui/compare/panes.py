"""The panes of a board: numbered, side by side, with streaming text and a footer that counts.

A board that is over can be shown again at its recorded speed (`draw_race`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from toolkit.charts.numbers import duration
from toolkit.charts.states import State, pane_state
from toolkit.compare.board_view import pane_footer
from toolkit.compare.pane import Pane
from toolkit.errors import ToolkitError
from toolkit.secret import current_matcher
from toolkit.ui.compare.session import CompareState, answer_names, compare_state
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.health_marks import Troubles
from toolkit.ui.components.model_picker import draw_parameters
from toolkit.ui.components.text import plain, show_text
from toolkit.ui.components.theme import is_phone

PER_ROW: Final = 4
_BODY_PX: Final = {1: 430, 2: 196}  # by rows: eight panes fit 900 pixels
_BEST: Final = State("▲", "best", "green")


@dataclass(frozen=True, slots=True)
class PaneActions:
    """What a person can do to a pane; each is called with the pane's index."""

    stop: Callable[[int], None]
    retry: Callable[[int], None]


def draw_panes(
    panes: Sequence[Pane],
    names: Sequence[str],
    actions: PaneActions | None,
    *,
    best: int | None = None,
    opens: Callable[[int], None] | None = None,
) -> None:
    """All panes; the rows keep their height, so nothing jumps. One pane at a time on a phone.

    Args:
        panes: in the order of the board.
        names: what to call each.
        actions: what can be done to a pane that runs; None: the board is not running here.
        best: index of the pane that was voted best.
        opens: called with the index of the pane whose conversation is to be shown.
    """
    if is_phone() and len(panes) > 1:
        number = st.segmented_control(
            "Pane", range(len(panes)), default=0, required=True, key="pane-shown",
            format_func=lambda index: f"{index + 1} {pane_state(panes[index].state).symbol}",
            label_visibility="collapsed", width="stretch",
        )  # fmt: skip
        _card(panes[number], names[number], actions, _BODY_PX[1], number == best, opens)
        return
    per_row = PER_ROW if len(panes) > PER_ROW else len(panes)
    rows = -(-len(panes) // per_row)
    for first in range(0, len(panes), per_row):
        columns = st.columns(per_row, gap="small")
        for column, pane in zip(columns, panes[first : first + per_row], strict=False):
            with column:
                name = names[pane.index]
                _card(pane, name, actions, _BODY_PX[rows], pane.index == best, opens)


def draw_drafts(state: CompareState, troubles: Troubles) -> None:
    """The chosen models before they are asked, each with its parameters."""
    per_row = PER_ROW if len(state.choices) > PER_ROW else max(len(state.choices), 2)
    for first in range(0, max(len(state.choices), 2), per_row):
        columns = st.columns(per_row, gap="small")
        for offset, column in enumerate(columns):
            index = first + offset
            with column:
                if index < len(state.choices):
                    choice = state.choices[index]
                    with st.container(border=True, key=f"draft-{choice.uid}"):
                        draw_parameters(index, choice, state, troubles)
                elif index < 2:
                    with st.container(border=True, key=f"draft-empty-{index}"):
                        st.caption(f"{index + 1} · choose a model with “Add model”")


def _card(
    pane: Pane,
    name: str,
    actions: PaneActions | None,
    height: int,
    is_best: bool,
    opens: Callable[[int], None] | None,
) -> None:
    with st.container(border=True, key=f"pane-{pane.index}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", wrap=False):
            shown = name.rpartition("/")[2] if "/" in name else name
            st.markdown(f"**{pane.index + 1} {plain(shown)}**", width="stretch", help=plain(name))
            badge = _BEST if is_best else state_of(pane)
            st.badge(badge.label, color=badge.colour)
            _button(pane, actions)
        body = "content" if is_phone() else height
        with st.container(height=body, border=False, autoscroll=not pane.is_over):
            _body(pane, opens)
        st.caption(plain(pane_footer(pane)).replace("$", "\\$"), help=_help(pane))


def state_of(pane: Pane) -> State:
    """The state of a pane, and what a stream does while it is silent."""
    state = pane_state(pane.state)
    if pane.state == "streaming" and pane.is_stalled and pane.silent_s is not None:
        return State("…", f"no token for {pane.silent_s:.0f} s", "orange")
    if pane.state == "streaming" and pane.reasoning and not pane.text:
        return State("…", "reasoning", "blue")
    return state


def _button(pane: Pane, actions: PaneActions | None) -> None:
    if actions is None:
        return
    if not pane.is_over:
        st.button(
            "Stop",
            key=f"stop-{pane.pane_id}",
            on_click=actions.stop,
            args=(pane.index,),
            type="tertiary",
            icon=":material/stop_circle:",
        )
    elif pane.state in ("failed", "stopped"):
        st.button(
            "Send again",
            key=f"retry-{pane.pane_id}",
            on_click=actions.retry,
            args=(pane.index,),
            type="tertiary",
            icon=":material/replay:",
        )


def _body(pane: Pane, opens: Callable[[int], None] | None) -> None:
    if pane.reasoning:
        with st.expander("Reasoning", expanded=not pane.text and not pane.is_over, type="compact"):
            show_text(pane.reasoning)
    if pane.text:
        show_text(pane.text)
    if pane.tool_calls and pane.reply is not None:
        for call in pane.reply.tool_calls:
            shown = current_matcher().redact(f"{call.name}({call.arguments})")
            st.code(shown, language=None, wrap_lines=True)
    if pane.error is not None:
        error_card(pane.error)
    elif pane.state == "waiting":
        st.skeleton(height=80)
    elif pane.is_over and not (pane.text or pane.reasoning or pane.tool_calls):
        empty = "Empty response." if pane.state == "done" else "Stopped before any text."
        st.caption(empty)
    if pane.is_over:
        with st.container(horizontal=True, vertical_alignment="center"):
            _links(pane, opens)


def _links(pane: Pane, opens: Callable[[int], None] | None) -> None:
    if pane.text:
        with st.popover("Copy", type="tertiary", icon=":material/content_copy:",
                        key=f"copy-{pane.pane_id}"):  # fmt: skip
            st.code(pane.text, language=None, wrap_lines=True)
    if opens is not None:
        st.button("Branch", type="tertiary", icon=":material/call_split:",
                  key=f"conversation-{pane.index}", on_click=opens, args=(pane.index,),
                  help="Shows the conversation and continues it from any turn.")  # fmt: skip
    if pane.call_id:
        query = {"text": pane.call_id}
    else:  # a pane read from the database knows its board only
        query = {"board": st.query_params.get("board", ""), "model": pane.model}
    icon = ":material/arrow_forward:"
    st.page_link("calls.py", label="Call", icon=icon, query_params=query)


def _help(pane: Pane) -> str:
    lines = ["TTFT: from the request sent to the first token, measured on the wire."]
    if pane.is_estimate:
        lines.append("~ counts stream chunks; the provider has not reported tokens.")
    if pane.is_over and pane.cost_usd is None:
        note = pane.reply.receipt.note if pane.reply is not None else None
        lines.append(plain(note or "This call has no known price."))
    return " ".join(lines)


# A run that is slower than this is interrupted by the next, and its last panes stay behind.
RACE_EVERY_S: Final = 0.5
RACE_SPEEDS: Final = (0.5, 1.0, 2.0, 5.0)


@st.fragment(run_every=RACE_EVERY_S)  # type: ignore[untyped-decorator]
def draw_race() -> None:
    """Draw the panes as they streamed; the whole page is drawn once when the race is over."""
    state = compare_state()
    race, elapsed_ms = state.race, state.race_ms()
    if race is None or elapsed_ms is None:
        state.race = None
        st.rerun(scope="app")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(
            min(elapsed_ms / race.length_ms, 1.0),
            text=f"{duration(elapsed_ms)} of {duration(race.length_ms)}, at "
            f"{state.race_speed:g}× the recorded speed",
        )
        if st.button("End replay", icon=":material/stop:", key="race-end"):
            state.race = None
            st.rerun(scope="app")
    draw_panes(race.at(elapsed_ms), answer_names(race.panes, hidden=state.hides_names), None)


def draw_race_start(state: CompareState) -> None:
    """Draw the button that begins it, with the speed."""
    with st.popover("Replay", icon=":material/sprint:", type="tertiary"):
        st.caption(
            "Shows the answers as they streamed. Times of chunks are as recorded; the text is "
            "spread evenly over them."
        )
        speed = st.segmented_control("Speed", RACE_SPEEDS, default=1.0, required=True,
                                     key="race-speed", format_func=lambda x: f"{x:g}×")  # fmt: skip
        st.button("Start", icon=":material/play_arrow:", key="race-start", on_click=_start_race,
                  args=(state, float(speed or 1.0)))  # fmt: skip


def _start_race(state: CompareState, speed: float) -> None:
    try:
        state.start_race(speed)
    except ToolkitError as error:
        state.trouble = error
