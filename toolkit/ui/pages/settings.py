"""Settings: everything that can be set, with its value, source and meaning."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.settings.settings_page import draw_settings

try:
    draw_settings(current())
except ToolkitError as error:
    st.title("Settings", anchor=False)
    error_card(error)
