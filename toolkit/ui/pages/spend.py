"""Spend: what calls have cost, by day, provider, model, tag and key."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.components.error_card import error_card
from toolkit.ui.spend.spend_page import draw_spend

try:
    draw_spend(current())
except ToolkitError as error:
    st.title("Spend", anchor=False)
    error_card(error)
