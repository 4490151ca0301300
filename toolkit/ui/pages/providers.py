"""Providers & Keys: who can be called, with which key, and whether it works."""

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import current
from toolkit.ui.compare.panes import error_card
from toolkit.ui.components.text import own
from toolkit.ui.providers.import_export import draw_share
from toolkit.ui.providers.provider_form import draw_form
from toolkit.ui.providers.provider_panel import draw_panel
from toolkit.ui.providers.provider_rows import read_rows
from toolkit.ui.providers.provider_table import draw_removed, draw_rows

toolkit = current()


def open_panel(name: str) -> None:
    """Open one provider at the side; the address names it."""
    st.query_params["provider"] = name


def close_panel() -> None:
    """The side panel was closed."""
    st.query_params.pop("provider", None)


@st.dialog("Provider", width=640, position="right", on_dismiss=close_panel)  # type: ignore[untyped-decorator]
def provider_panel(name: str) -> None:
    """One provider, in a panel at the side."""
    try:
        provider = toolkit.providers.require(name)
        rows, _ = read_rows(toolkit, local=provider.is_local)
        row = next((row for row in rows if row.provider.name == name), None)
        if row is not None:
            draw_panel(toolkit, row)
        else:
            st.caption("It was removed. “Removed”, at the end of the page, brings it back.")
    except ToolkitError as error:
        error_card(error)


@st.dialog("Add provider", width=640, position="right")  # type: ignore[untyped-decorator]
def add_panel() -> None:
    """The form that adds one."""
    draw_form(toolkit)


def draw_page() -> None:
    """Buttons, tabs and rows; at most one panel at the side."""
    with st.container(horizontal=True):
        adds = st.button("Add provider", type="primary", icon=":material/add:")
        looks = st.button("Look for local servers and keys", icon=":material/search:")
    if looks:
        with st.spinner("Looking at the environment and the usual ports", show_time=True):
            found = toolkit.providers.discover()
        added = [one.name for one in found if one.outcome == "added"]
        st.success(f"Added {', '.join(added)}." if added else "Nothing new was found.")
    removed = []
    places = st.tabs(["Cloud", "Local"], key="place", bind="query-params")
    for tab, local in zip(places, (False, True), strict=True):
        with tab:
            rows, trouble = read_rows(toolkit, local=local)
            for error in trouble[:1]:
                error_card(error)
            draw_rows(toolkit, rows, open_panel)
            removed += read_rows(toolkit, local=local, removed=True)[0]
    if removed:
        with st.expander(f"Removed ({len(removed)})"):
            draw_removed(toolkit, removed)
    draw_share(toolkit)
    wanted = st.query_params.get("provider")
    if adds:
        add_panel()
    elif wanted:
        provider_panel(wanted)


st.title("Providers & Keys")
told = st.session_state.pop("provider-told", None)
if told:
    st.success(own(told))
if (failed := st.session_state.pop("provider-trouble", None)) is not None:
    error_card(failed)
try:
    draw_page()
except ToolkitError as error:
    error_card(error)
