"""Models: everything that can be called, what it can do and costs, and what changed."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.models.models_page import draw_page

try:
    draw_page(current())
except ToolkitError as error:
    st.title("Models", anchor=False)
    error_card(error)
