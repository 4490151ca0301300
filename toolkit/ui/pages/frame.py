"""The navigation, and the page chosen in it. A new page is one line here.

It lies among the pages on purpose: beside a folder named `pages` Streamlit would build a
navigation of its own from the file names.
"""

from pathlib import Path

import streamlit as st

# A file of our own: for a named icon the browser would ask a font service in the internet.
icon = Path(__file__).resolve().parents[1] / "icon.svg"
st.set_page_config(page_title="LLM Provider Toolkit", page_icon=str(icon), layout="wide")

page = st.navigation(
    [
        st.Page("home.py", title="Home", icon=":material/home:", default=True),
        st.Page("compare.py", title="Compare", icon=":material/view_column_2:"),
        st.Page("health.py", title="Health", icon=":material/monitor_heart:"),
        st.Page("calls.py", title="Calls", icon=":material/receipt_long:"),
        st.Page("models.py", title="Models", icon=":material/deployed_code:"),
        st.Page("evals.py", title="Evals", icon=":material/fact_check:"),
        st.Page("regressions.py", title="Regressions", icon=":material/rule:"),
        st.Page("providers.py", title="Providers & Keys", icon=":material/key:"),
    ]
)
page.run()
