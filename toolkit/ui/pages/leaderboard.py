"""Leaderboard: which answers were preferred, with intervals, beside speed and cost."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.compare.leaderboard_page import draw_leaderboard
from toolkit.ui.components.error_card import error_card

try:
    draw_leaderboard(current())
except ToolkitError as error:
    st.title("Leaderboard", anchor=False)
    error_card(error)
