"""The form that adds a provider: paste a URL or choose a preset, the type is seen while typing."""

from __future__ import annotations

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.providers.presets import presets
from toolkit.providers.provider import Provider
from toolkit.providers.type_detection import TYPES, detect_type, find_preset
from toolkit.toolkit import Toolkit
from toolkit.ui.compare.panes import error_card
from toolkit.ui.components.text import plain
from toolkit.ui.providers.provider_actions import NewProvider, add_provider
from toolkit.ui.providers.provider_panel import draw_checks
from toolkit.ui.providers.provider_rows import suggest_name

OWN = "my own URL"
AS_SEEN = "as recognised"


def draw_form(toolkit: Toolkit) -> None:
    """Draw the form, and what its test said."""
    known = presets()
    chosen = st.selectbox("Preset", [OWN, *known], key="add-preset")
    preset = known.get(chosen or "")
    url = st.text_input(
        "Base URL",
        value=preset.base_url if preset else "",
        key=f"add-url-{chosen}",
        placeholder="https://api.example.com/v1",
        live=True,
    )
    seen = preset or (find_preset(url) if url else None)
    kind = detect_type(url) if url else None
    if kind:
        like = f", looks like {plain(seen.display_name)}" if seen else ""
        st.caption(f"Type: **{kind}**{like}")
    if seen and seen.key_url:
        st.link_button("Get a key", seen.key_url, icon=":material/open_in_new:")
    _send(toolkit, url or "", kind, seen)


def _send(toolkit: Toolkit, url: str, kind: str | None, seen: Provider | None) -> None:
    registry = toolkit.providers.registry
    taken = [p.name for p in registry.list() if p.created_at is not None]
    taken += [p.name for p in registry.list(removed=True)]
    wanted = seen.name if seen else (url.split("//")[-1].split("/")[0].split(":")[0] or "")
    with st.form("add-provider", border=False, clear_on_submit=False):
        name = st.text_input(
            "Name", value=suggest_name(wanted, taken) if wanted else "", key=f"add-name-{wanted}"
        )
        as_type = st.selectbox("Type", [AS_SEEN, *TYPES], key="add-type")
        local = st.checkbox(
            "It runs on this machine or network",
            value=bool(seen and seen.is_local) or _looks_local(url),
            key=f"add-local-{wanted}",
        )
        model = st.text_input("Default model", key="add-model", placeholder="optional")
        insist = st.checkbox("Save it untested", key="add-insist")
        sent = st.form_submit_button("Test and save", type="primary", icon=":material/check:")
    st.caption("Its key is set in its own panel, or with `toolkit keys set`.")
    if sent:
        new = NewProvider(
            name=name or "",
            base_url=url,
            type=None if as_type == AS_SEEN else as_type,
            is_local=bool(local),
            default_model=model,
            insist=bool(insist),
        )
        _test_and_save(toolkit, new)


def _test_and_save(toolkit: Toolkit, new: NewProvider) -> None:
    try:
        with st.spinner("Testing", show_time=True):
            came = add_provider(toolkit, new)
    except ToolkitError as error:
        error_card(error)
        return
    if isinstance(came, Provider):
        st.session_state["provider-told"] = f"{came.name} is saved."
        st.rerun()
    else:
        st.caption("Nothing was saved: a test said no.")
        draw_checks(came)


def _looks_local(url: str) -> bool:
    return "://localhost" in url or "://127." in url or "://[::1]" in url
