"""The first button: two answers of the built-in model, without a key and without a network."""

from __future__ import annotations

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.local.autostart import ensure_local
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.session import CompareState
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.model_picker import LOCAL_MODEL

FIRST_PROMPT = "Explain in two sentences why the sky is blue."
LABEL = "Compare two models now, no key needed"
_TWO = ({"temperature": 0.0, "max_tokens": 160}, {"temperature": 1.0, "max_tokens": 160})


def ask_two_models(toolkit: Toolkit, state: CompareState) -> None:
    """The button; pressed, it starts the built-in model and opens the Compare page on it."""
    st.button(
        LABEL,
        type="primary",
        icon=":material/bolt:",
        key="first-use",
        on_click=lambda: st.session_state.update({"first-use-wanted": True}),
    )
    if not st.session_state.pop("first-use-wanted", False):
        return
    try:
        start_local(toolkit)
    except ToolkitError as error:
        error_card(error)
        return
    begin(toolkit, state)
    st.switch_page("compare.py")


def begin(toolkit: Toolkit, state: CompareState) -> None:
    """Choose the built-in model twice, at two temperatures, and ask."""
    state.choices.clear()
    for params in _TWO:
        state.add(LOCAL_MODEL, params)
    state.next_prompt = FIRST_PROMPT
    state.ask(toolkit, FIRST_PROMPT)


def start_local(toolkit: Toolkit) -> None:
    """Make sure the built-in model runs; shows progress while it loads.

    Raises:
        LocalModelError: it cannot be started here; the hint says what to do.
    """
    with st.status("Starting the built-in model", expanded=True) as status:
        ensure_local(toolkit, lambda message: status.update(label=str(message)))
        status.update(label="The built-in model is running", state="complete")
