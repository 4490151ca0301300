"""Saved views of the Calls page: a name for the filters in the address, kept in the home folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.settings import Settings
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.named_entries import MAX_NAME, NamedEntries
from toolkit.ui.components.text import plain

FILE: Final = "views.json"
_VIEWS: Final = NamedEntries(FILE, "view")
# The filters in the address; the opened call and the page of the list are no part of a view.
_BOUND: Final = ("text", "span")
_OWN: Final = (
    "state", "cause", "provider", "model", "origin", "tag", "board", "from", "to",
)  # fmt: skip

View = Mapping[str, Sequence[str]]


def read_views(settings: Settings) -> dict[str, View]:
    """The saved views by name, in the order of their names; damaged ones are left out."""
    return {
        name: {str(key): [str(value) for value in values] for key, values in view.items()}
        for name, view in _VIEWS.read(settings).items()
        if isinstance(view, Mapping) and all(isinstance(one, list) for one in view.values())
    }


def save_view(settings: Settings, name: str, view: View | None) -> None:
    """Save a view under a name, or delete it where `view` is None.

    Raises:
        InvalidInput: the name is empty or too long, or there are too many views.
        FileLocked: another process is saving.
    """
    _VIEWS.save(settings, name, view)


def draw_views(settings: Settings) -> None:
    """Draw the menu: each view is a link, and the present filters can be saved."""
    views = read_views(settings)
    with st.popover("Views", icon=":material/bookmark:"):
        for name, view in views.items():
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(plain(name), key=f"view-{name}", type="tertiary", width="stretch",
                          on_click=_show, args=(view,))  # fmt: skip
                st.button("Delete", key=f"view-delete-{name}", type="tertiary",
                          icon=":material/close:", on_click=_save,
                          args=(settings, name, None))  # fmt: skip
        if not views:
            st.caption("A view keeps the search, the time range and the filters under a name.")
        with st.form("save-view", border=False, clear_on_submit=True):
            name = st.text_input("Name", key="view-name", max_chars=MAX_NAME)
            saved = st.form_submit_button("Save these filters", icon=":material/bookmark_add:")
        if saved:
            _save(settings, name or "", _present())
            st.rerun()
        if (error := st.session_state.pop("view-trouble", None)) is not None:
            error_card(error)


def _present() -> View:
    names = [key for key in (*_BOUND, *_OWN) if key in st.query_params]
    return {key: st.query_params.get_all(key) for key in names}


def _save(settings: Settings, name: str, view: View | None) -> None:
    try:
        save_view(settings, name, view)
    except ToolkitError as error:
        st.session_state["view-trouble"] = error


def _show(view: View) -> None:
    """Put a view's filters into the address; the widgets start from it again."""
    for key in _BOUND:  # Streamlit writes these into the address itself
        if key in view:
            st.session_state[key] = view[key][0]
        else:
            st.session_state.pop(key, None)
    for key in (*_OWN, "days"):
        st.session_state.pop(key, None)
        if key in view:
            st.query_params[key] = list(view[key])
        else:
            st.query_params.pop(key, None)
