"""The navigation, and the page chosen in it. A new page is one line here and one in the sidebar.

It lies among the pages on purpose: beside a folder named `pages` Streamlit would build a
navigation of its own from the file names.
"""

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from toolkit.toolkit import current
from toolkit.ui.components.page_head import draw_notice
from toolkit.ui.components.sidebar import draw_sidebar
from toolkit.ui.components.theme import draw_style

SIDEBAR_PX = 212

# A file of our own: for a named icon the browser would ask a font service in the internet.
icon: Path = Path(__file__).resolve().parents[1] / "icon.svg"
st.set_page_config(
    page_title="LLM Provider Toolkit",
    page_icon=str(icon),
    layout="wide",
    initial_sidebar_state=SIDEBAR_PX,
)

pages: dict[str, StreamlitPage] = {
    "home.py": st.Page("home.py", title="Home", icon=":material/home:", default=True),
    "compare.py": st.Page("compare.py", title="Compare", icon=":material/view_column_2:"),
    "leaderboard.py": st.Page("leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    "evals.py": st.Page("evals.py", title="Evals", icon=":material/fact_check:"),
    "load.py": st.Page("load.py", title="Load tests", icon=":material/speed:"),
    "regressions.py": st.Page("regressions.py", title="Regressions", icon=":material/rule:"),
    "health.py": st.Page("health.py", title="Health", icon=":material/monitor_heart:"),
    "calls.py": st.Page("calls.py", title="Calls", icon=":material/receipt_long:"),
    "spend.py": st.Page("spend.py", title="Spend", icon=":material/payments:"),
    "providers.py": st.Page("providers.py", title="Providers & Keys", icon=":material/key:"),
    "models.py": st.Page("models.py", title="Models", icon=":material/deployed_code:"),
    "settings.py": st.Page("settings.py", title="Settings", icon=":material/tune:"),
}

# The native menu can carry no counts and has no place for a search box above it.
page: StreamlitPage = st.navigation(list(pages.values()), position="hidden")
draw_style()
draw_sidebar(current(), pages)
draw_notice()
page.run()
