"""Calls: every request with its prompt, answer, times and cost; a click opens it."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.calls.calls_page import draw_calls
from toolkit.ui.components.error_card import error_card

try:
    draw_calls(current())
except ToolkitError as error:
    st.title("Calls", anchor=False)
    error_card(error)
