"""The sidebar: logo, search, and the pages in three groups with what is new on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import TROUBLE, provider_state
from toolkit.errors import ToolkitError
from toolkit.store.queries.app_pages import newest_verdicts
from toolkit.toolkit import Toolkit
from toolkit.ui.components.health_marks import read_troubles
from toolkit.ui.components.pictures import logo
from toolkit.ui.components.search import search_dialog

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Work": ("compare.py", "leaderboard.py", "evals.py", "regressions.py"),
    "Watch": ("health.py", "calls.py", "spend.py"),
    "Set up": ("providers.py", "models.py", "settings.py"),
}
_FRESH_S: Final = 15.0


def draw_sidebar(toolkit: Toolkit, pages: Mapping[str, Any]) -> None:
    """Draw it; `pages` are the navigation's pages by file name."""
    st.logo(logo(), size="large")
    titles = {file: page.title for file, page in pages.items()}
    with st.sidebar:
        searches = st.button(
            "Search", key="search", icon=":material/search:", shortcut="Ctrl+K", width="stretch"
        )
        st.page_link(pages["home.py"])
        for group, files in GROUPS.items():
            with st.container(gap=8):
                st.caption(group)
                for file in files:
                    news = _news_of(toolkit, file)
                    st.page_link(pages[file], label=f"{pages[file].title}{news}")
    if searches:
        search_dialog(toolkit, titles)


def _news_of(toolkit: Toolkit, file: str) -> str:
    """What stands behind a page's name: states and counts of what needs somebody."""
    if file == "health.py":
        troubles = [row["state"] for row in read_troubles(toolkit).values()]
        counted = {name: troubles.count(name) for name in TROUBLE if name in troubles}
        marks = [(provider_state(name), n) for name, n in counted.items()]
        return "".join(f" :{state.colour}[**{state.symbol} {n}**]" for state, n in marks)
    if file == "regressions.py" and (failed := _failed_cases(toolkit)):
        return f" :red[**✕ {failed}**]"
    return ""


def _failed_cases(toolkit: Toolkit) -> int:
    try:
        return int(_read_failed(toolkit, str(toolkit.settings.home)))
    except ToolkitError:
        return 0  # the page that is asked for says what is wrong with the database


@st.cache_resource(ttl=_FRESH_S, show_spinner=False, max_entries=4)  # type: ignore[untyped-decorator]
def _read_failed(_toolkit: Toolkit, home: str) -> int:
    with _toolkit.store.reading() as reader:
        return sum(int(row["failed"]) for row in newest_verdicts().rows(reader))
