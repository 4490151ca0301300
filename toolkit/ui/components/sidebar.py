"""The sidebar: logo, search, and the pages in three groups with what is new on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import TROUBLE, provider_state
from toolkit.errors import ToolkitError
from toolkit.store.queries import app_pages as queries
from toolkit.store.queries.app_pages import newest_verdicts
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import ago
from toolkit.ui.components.health_marks import read_troubles
from toolkit.ui.components.pictures import logo
from toolkit.ui.components.table import Column, draw_table

# Search on every page: models, calls, boards, runs, providers and pages in one list.


_SHORTEST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One thing that was found.

    Attributes:
        kind: what it is, in words.
        name: its name.
        where: what distinguishes it from others.
        page: the page's file.
        query: the address's query on that page.
    """

    kind: str
    name: str
    where: str = ""
    page: str
    query: Mapping[str, str] = field(default_factory=dict)


def find_matches(toolkit: Toolkit, text: str, pages: Mapping[str, str]) -> list[Match]:
    """Everything whose name or content holds the text.

    Args:
        toolkit: where to look.
        text: what to look for.
        pages: titles by file.

    Raises:
        StoreError: the database cannot be read.
    """
    wanted = text.strip().lower()
    if len(wanted) < _SHORTEST:
        return []
    found = [
        Match(kind="Page", name=title, page=file)
        for file, title in pages.items()
        if wanted in title.lower()
    ]
    found += [
        Match(kind="Provider", name=one.name, page="providers.py", query={"provider": one.name})
        for one in toolkit.providers.list()
        if wanted in f"{one.name} {one.display_name or ''}".lower()
    ][:6]
    with toolkit.store.reading() as reader:
        for row in queries.find_models(wanted).rows(reader):
            where = "on" if row["is_enabled"] else "off"
            found.append(_match("Model", row, where, "models.py", "model"))
        for row in queries.find_boards(wanted).rows(reader):
            row["name"] = row["name"] or row["text"]
            found.append(_match("Board", row, ago(row["seen_at"]), "compare.py", "board"))
        for row in queries.find_runs(wanted).rows(reader):
            is_eval = row["kind"] == "eval"
            kind, page = ("Eval", "evals.py") if is_eval else ("Suite", "regressions.py")
            found.append(_match(kind, row, ago(row["seen_at"]), page, "run"))
        for row in queries.find_calls(wanted).rows(reader):
            where = f"{row['name']}, {ago(row['seen_at'])}"
            row["name"] = row["text"] or row["id"]
            found.append(_match("Call", row, where, "calls.py", "call"))
    return found


def _match(kind: str, row: Mapping[str, Any], where: str, page: str, key: str) -> Match:
    return Match(
        kind=kind, name=str(row["name"]), where=where, page=page, query={key: str(row["id"])}
    )


@st.dialog("Search", width="medium")  # type: ignore[untyped-decorator]
def search_dialog(toolkit: Toolkit, pages: Mapping[str, str]) -> None:
    """The box and its matches; a click goes there."""
    text = st.text_input(
        "Search models, calls, boards, runs and pages",
        key="search-text",
        type="search",
        live="200ms",
        placeholder="A name, text of a prompt or answer, or an id",
        label_visibility="collapsed",
    )
    try:
        found = find_matches(toolkit, text or "", pages)
    except ToolkitError as error:
        error_card(error)
        return
    if not found:
        short = len((text or "").strip()) < _SHORTEST
        st.caption("Type at least two characters." if short else "No results.")
        return
    chosen = draw_table(
        {
            "Kind": Column([one.kind for one in found], 76, on_phone=True),
            "Name": Column([one.name[:120] for one in found], 380, on_phone=True),
            "Where": Column([one.where for one in found], 190),
        },
        key=f"search-{abs(hash(text))}",
        opens=("Kind", "Name", "Where"),
        alt="Search results",
        most_px=480,
    )
    if chosen is not None:
        match = found[chosen]
        st.switch_page(match.page, query_params=dict(match.query))


GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Work": ("compare.py", "leaderboard.py", "evals.py", "load.py", "regressions.py"),
    "Watch": ("health.py", "calls.py", "spend.py"),
    "Set up": ("providers.py", "models.py", "settings.py"),
}
_FRESH_S: Final = 15.0
_PANELS: Final = ("new", "sample", "conversation")
"""What opens a dialog of a page, in the address."""


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
        for panel in _PANELS:  # only one dialog can be open
            st.query_params.pop(panel, None)
        search_dialog(toolkit, titles)


def _news_of(toolkit: Toolkit, file: str) -> str:
    """The suffix of a page's name: states and counts that need attention."""
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
