"""Health: which provider is up, how fast and how reliable each is, and what happened when."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.health.health_page import draw_health

try:
    draw_health(current())
except ToolkitError as error:
    st.title("Health", anchor=False)
    error_card(error)
