"""Providers & Keys: who can be called, with which key, and whether it works."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.providers.providers_page import draw_page

try:
    draw_page(current())
except ToolkitError as error:
    st.title("Providers & Keys", anchor=False)
    error_card(error)
