"""Regressions: runs of suites, and what is different in each case, word by word."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.regressions.regressions_page import draw_regressions

try:
    draw_regressions(current())
except ToolkitError as error:
    st.title("Regressions", anchor=False)
    error_card(error)
