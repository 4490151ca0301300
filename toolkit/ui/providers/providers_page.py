"""The Providers & Keys page: one list, and beside it the opened provider or the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.page_head import page_head
from toolkit.ui.components.text import own, plain
from toolkit.ui.components.theme import is_phone
from toolkit.ui.providers.import_export import draw_share
from toolkit.ui.providers.provider_actions import usable_stores
from toolkit.ui.providers.provider_form import STORES, draw_form
from toolkit.ui.providers.provider_panel import draw_panel
from toolkit.ui.providers.provider_rows import ProviderRow, read_rows
from toolkit.ui.providers.provider_table import draw_presets, draw_providers, draw_removed

_PANEL: Final = (58, 42)


def draw_page(toolkit: Toolkit) -> None:
    """The whole page."""
    rows, trouble = read_rows(toolkit)
    removed, _ = read_rows(toolkit, removed=True)
    used = [row for row in rows if row.is_set_up]
    with page_head("Providers & Keys", _sentence(toolkit, used)):
        shown = _choose_place(used, removed)
        if st.button("Find on this machine", icon=":material/search:",
                     help="Looks for keys in the environment and for local servers on their "
                     "default ports."):  # fmt: skip
            _discover(toolkit)
        if st.button("Add provider", type="primary", icon=":material/add:"):
            st.query_params["add"] = "yes"
            st.query_params.pop("provider", None)
    _draw_messages(trouble)
    opened, adds = st.query_params.get("provider"), "add" in st.query_params or not used
    if not opened and not adds:
        _draw_list(toolkit, rows, shown, removed, is_beside=False)
        return
    if is_phone():
        _draw_side(toolkit, rows, opened)
        return
    left, right = st.columns(_PANEL, gap="medium")
    with left:
        _draw_list(toolkit, rows, shown, removed, is_beside=True)
    with right:
        _draw_side(toolkit, rows, opened)


def _sentence(toolkit: Toolkit, used: Sequence[ProviderRow]) -> str:
    if not used:
        return "No provider is set up yet: paste a base URL, or enter the name of a known "
        "provider."
    on = sum(row.provider.is_active for row in used)
    store = STORES[usable_stores(toolkit)[0]]
    return f"{len(used)} set up, **{on} switched on**; new keys are kept in the {store}."


def _choose_place(used: Sequence[ProviderRow], removed: Sequence[ProviderRow]) -> str:
    counts: Mapping[str, int] = {
        "all": len(used),
        "cloud": sum(not row.provider.is_local for row in used),
        "local": sum(row.provider.is_local for row in used),
        "removed": len(removed),
    }
    # The labels carry counts, so the address is kept by hand.
    if "place" not in st.session_state:
        asked = st.query_params.get("place", "all")
        st.session_state["place"] = asked if asked in counts else "all"
    place = st.segmented_control(
        "Which", list(counts), required=True, key="place", label_visibility="collapsed",
        format_func=lambda name: f"{name} {counts[name]}",
    )  # fmt: skip
    if place == "all":
        st.query_params.pop("place", None)
    else:
        st.query_params["place"] = place
    return str(place)


def _draw_messages(trouble: Sequence[ToolkitError]) -> None:
    if message := st.session_state.pop("provider-notice", None):
        st.success(own(message))
    if (failed := st.session_state.pop("provider-trouble", None)) is not None:
        error_card(failed)
    for error in trouble[:1]:
        error_card(error)


def _draw_list(
    toolkit: Toolkit,
    rows: Sequence[ProviderRow],
    place: str,
    removed: Sequence[ProviderRow],
    *,
    is_beside: bool,
) -> None:
    if place == "removed":
        draw_removed(toolkit, removed)
        return
    used = [
        row
        for row in rows
        if row.is_set_up and (place == "all" or row.provider.is_local == (place == "local"))
    ]
    if used:
        chosen = draw_providers(toolkit, used, is_beside=is_beside)
        closed = st.session_state.get("closed-provider")
        if chosen and chosen not in (st.query_params.get("provider"), closed):
            st.query_params.pop("add", None)
            st.query_params["provider"] = chosen
            st.rerun()
    else:
        st.caption("No provider matches.")
    draw_presets([row for row in rows if not row.is_set_up])
    draw_share(toolkit)


def _draw_side(toolkit: Toolkit, rows: Sequence[ProviderRow], opened: str | None) -> None:
    with st.container(border=True, key="provider-side"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.header(opened or "Add provider", anchor=False, width="stretch")
            st.button("Close", icon=":material/close:", type="tertiary", key="close-provider",
                      on_click=_close)  # fmt: skip
        if not opened:
            draw_form(toolkit)
            return
        row = next((row for row in rows if row.provider.name == opened), None)
        if row is not None:
            draw_panel(toolkit, row)
        else:
            st.markdown(f"There is no provider {plain(opened)}; it may have been removed.")


def _close() -> None:
    st.session_state["closed-provider"] = st.query_params.pop("provider", None)
    st.query_params.pop("add", None)


def _discover(toolkit: Toolkit) -> None:
    with st.spinner("Searching the environment and the default ports", show_time=True):
        found = toolkit.providers.discover()
    added = [one.name for one in found if one.outcome == "added"]
    message = f"Added {', '.join(added)}." if added else "No new providers were found."
    st.session_state["provider-notice"] = message
    st.rerun()
