"""The navigation, and the page chosen in it. A new page is one line here."""

from pathlib import Path

import streamlit as st

_PAGES = Path(__file__).resolve().parent / "pages"

st.set_page_config(page_title="LLM Provider Toolkit", page_icon=":material/labs:", layout="wide")

page = st.navigation(
    [
        st.Page(_PAGES / "home.py", title="Home", icon=":material/home:", default=True),
        st.Page(_PAGES / "compare.py", title="Compare", icon=":material/view_column_2:"),
        st.Page(_PAGES / "calls.py", title="Calls", icon=":material/receipt_long:"),
        st.Page(_PAGES / "providers.py", title="Providers & Keys", icon=":material/key:"),
    ]
)
page.run()
