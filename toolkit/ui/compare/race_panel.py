"""A board shown again at its recorded speed: the button, and the panes while they grow."""

from __future__ import annotations

from typing import Final

import streamlit as st

from toolkit.charts.numbers import duration
from toolkit.errors import ToolkitError
from toolkit.ui.compare.panes import draw_panes
from toolkit.ui.compare.session import CompareState, answer_names, compare_state

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
