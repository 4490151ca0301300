"""Compare: one question, two to eight models, side by side while they answer."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.compare.compare_page import draw_compare
from toolkit.ui.components.error_card import error_card

try:
    draw_compare(current())
except ToolkitError as error:
    st.title("Compare", anchor=False)
    error_card(error)
