"""The Settings page: every setting with its value, where it is from, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.page_head import leave_notice, page_head
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain
from toolkit.ui.settings.settings_file import FILE, Setting, change_setting, list_settings

_PANEL: Final = (62, 38)


def draw_settings(toolkit: Toolkit) -> None:
    """The whole page."""
    settings = list_settings(toolkit.settings)
    changed = sum(one.source != "default" for one in settings)
    sentence = f"{len(settings)} settings, **{changed} changed**; stored in `{FILE}` of the home."
    with page_head("Settings", sentence):
        pass
    opened = st.query_params.get("setting")
    one = next((one for one in settings if one.name == opened), None)
    if one is None:
        _draw_list(settings, is_beside=False)
    else:
        left, right = st.columns(_PANEL, gap="medium")
        with left:
            _draw_list(settings, is_beside=True)
        with right:
            _draw_editor(toolkit, one)
    st.caption(
        f"Home folder: {plain(toolkit.settings.home)} · Light or dark follows the system. An "
        "environment variable `TOOLKIT_` plus the name in capitals overrides the file."
    )


def _draw_list(settings: Sequence[Setting], *, is_beside: bool) -> None:
    columns = {
        "Name": Column([one.name for one in settings], 190, on_phone=True),
        "Value": Column([one.value for one in settings], 170, on_phone=True),
        "Default": Column([one.default for one in settings], 120),
        "From": Column([one.source for one in settings], 100),
        "Meaning": Column([one.meaning for one in settings], 560),
    }
    if is_beside:
        columns["Meaning"].width = 300
        del columns["Default"]
    chosen = draw_table(
        columns,
        key=f"settings-{'beside' if is_beside else 'alone'}",
        opens=("Name", "Value", "Default", "From", "Meaning"),
        alt="Settings with value, default, source and meaning",
        height=min(28 * len(settings) + 38, 720),
    )
    name = None if chosen is None else settings[chosen].name
    if name and name not in (
        st.query_params.get("setting"),
        st.session_state.get("closed-setting"),
    ):
        st.query_params["setting"] = name
        st.rerun()


def _draw_editor(toolkit: Toolkit, one: Setting) -> None:
    with st.container(border=True, key="setting-panel"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.header(one.name, anchor=False, width="stretch")
            st.button("Close", icon=":material/close:", type="tertiary", key="close-setting",
                      on_click=_close)  # fmt: skip
        st.markdown(plain(one.meaning))
        st.caption(
            f"Current value: {plain(one.value)} (from {one.source}). Default: {plain(one.default)}."
        )
        if one.name == "home":
            st.caption("The home folder is set by the environment variable `TOOLKIT_HOME`.")
            return
        start = "" if one.is_secret or one.value == "not set" else one.value
        with st.form(f"setting-{one.name}", border=False, clear_on_submit=one.is_secret):
            text = st.text_input(
                "New value", value=start, type="password" if one.is_secret else "default",
                help="As in TOML: 30, true, [\"a\", \"b\"]. Empty removes the setting.",
            )  # fmt: skip
            saved = st.form_submit_button("Save", type="primary")
        st.caption("Takes effect after the app is restarted.")
        if saved:
            try:
                change_setting(toolkit.settings, one.name, text or "")
            except ToolkitError as error:
                error_card(error)
                return
            leave_notice(f"{one.name} is saved. Restart the app to use it.")
            st.rerun()


def _close() -> None:
    st.session_state["closed-setting"] = st.query_params.pop("setting", None)
