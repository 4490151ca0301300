"""Home: items that need attention since the last visit; at first start, one button."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.store.queries.app_pages import any_call
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.home.home_page import draw_first_start, draw_home

toolkit = current()
try:
    with toolkit.store.reading() as reader:
        is_used = bool(any_call().rows(reader))
    if is_used:
        draw_home(toolkit)
    else:
        draw_first_start(toolkit)
except ToolkitError as error:
    st.title("Home", anchor=False)
    error_card(error)
