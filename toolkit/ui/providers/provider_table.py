"""The rows of one tab of the Providers page: name, state, key, models, switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.components.text import plain
from toolkit.ui.providers.provider_actions import set_in_use
from toolkit.ui.providers.provider_rows import ProviderRow

Open = Callable[[str], None]


def draw_rows(toolkit: Toolkit, rows: Sequence[ProviderRow], open_panel: Open) -> None:
    """Draw providers in use as rows, and presets that nobody set up as short lines below."""
    ready = [row for row in rows if row.is_set_up]
    waiting = [row for row in rows if not row.is_set_up]
    for row in ready:
        _row(toolkit, row, open_panel)
    if not ready:
        st.caption("None is set up yet. Set up a preset below, or add your own.")
    if waiting:
        st.subheader("Presets", divider="gray")
        with st.grid(3, min_column_width=240):
            for row in waiting:
                _preset(row, open_panel)


def draw_removed(toolkit: Toolkit, rows: Sequence[ProviderRow]) -> None:
    """Removed providers, each with the button that brings it back."""
    for row in rows:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(row.provider.name)
            st.button(
                "Restore",
                key=f"restore-{row.provider.name}",
                icon=":material/undo:",
                on_click=_restore,
                args=(toolkit, row.provider.name),
            )


def _restore(toolkit: Toolkit, name: str) -> None:
    try:
        toolkit.providers.restore(name)
    except ToolkitError as error:
        st.session_state["provider-trouble"] = error


def _row(toolkit: Toolkit, row: ProviderRow, open_panel: Open) -> None:
    provider = row.provider
    with st.container(border=True, key=f"row-{provider.name}"):
        about, facts, acts = st.columns([3, 4, 2], vertical_alignment="center")
        with about:
            letter = (provider.display_name or provider.name)[:1].upper()
            usual = " :blue-badge[default]" if provider.is_default else ""
            st.markdown(f":gray-badge[{plain(letter)}] **{plain(_title(row))}**{usual}")
            word, colour = row.state
            st.badge(word, color=colour)
        with facts:
            st.caption(plain(row.key_words))
            st.caption(plain(f"{row.model_words} · {provider.type} · {provider.origin}"))
        with acts, st.container(horizontal=True, vertical_alignment="center"):
            st.toggle(
                f"Use {plain(provider.name)}",
                value=provider.is_active,
                key=f"use-{provider.name}-{provider.is_active}",
                label_visibility="collapsed",
                on_change=_switch,
                args=(toolkit, provider.name, not provider.is_active),
            )
            st.button(
                "Open",
                key=f"open-{provider.name}",
                icon=":material/tune:",
                on_click=open_panel,
                args=(provider.name,),
            )


def _preset(row: ProviderRow, open_panel: Open) -> None:
    provider = row.provider
    with st.container(
        border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"**{plain(_title(row))}**", width="content")
        st.button(
            "Set up",
            key=f"open-{provider.name}",
            type="tertiary",
            icon=":material/add:",
            on_click=open_panel,
            args=(provider.name,),
        )


def _title(row: ProviderRow) -> str:
    return row.provider.display_name or row.provider.name


def _switch(toolkit: Toolkit, name: str, in_use: bool) -> None:
    error = set_in_use(toolkit, name, in_use)
    if error is not None:
        st.session_state["provider-trouble"] = error
