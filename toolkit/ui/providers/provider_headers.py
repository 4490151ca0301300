"""Extra headers of one provider: seen without their secrets, set one at a time, taken away."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.providers.provider import Provider, public_headers
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.text import plain
from toolkit.ui.providers.provider_actions import KeyStore


def draw_headers(toolkit: Toolkit, provider: Provider) -> None:
    """The headers that go with every request, and a form that sets one."""
    st.subheader("Headers", divider="gray")
    shown = public_headers(provider.headers)
    secret = {name.lower() for name in provider.secret_headers}
    if not shown:
        st.caption("No additional headers.")
    for name, value in shown.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            summary = "…, stored like a key" if name.lower() in secret else plain(value, limit=200)
            st.markdown(f"`{name}`: {summary}", width="stretch")
            st.button(
                f"Delete {name}",
                key=f"header-off-{provider.name}-{name}",
                type="tertiary",
                icon=":material/close:",
                on_click=_change,
                args=(toolkit, provider.name, {name: None}),
            )
    _form(toolkit, provider)


def _form(toolkit: Toolkit, provider: Provider) -> None:
    with st.form(f"header-form-{provider.name}", clear_on_submit=True, border=False):
        name = st.text_input("Header", key=f"header-name-{provider.name}", placeholder="X-Project")
        value = st.text_input(
            "Value", type="password", key=f"header-value-{provider.name}", autocomplete="off",
            help="A value that looks like a secret is kept in the key store and never shown again.",
        )  # fmt: skip
        store: KeyStore = st.segmented_control(
            "Store a secret value in",
            ["keyring", "vault"],
            default="keyring",
            key=f"header-store-{provider.name}",
        )
        sent = st.form_submit_button("Set header", icon=":material/add:")
    if not sent:
        return
    if not (name or "").strip() or not value:
        st.caption("Enter a name and a value. Nothing was changed.")
        return
    try:
        toolkit.providers.update(
            provider.name, header_changes={name.strip(): value}, key_store=store or "keyring"
        )
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"A header of {provider.name} is set."
    st.rerun()


def _change(toolkit: Toolkit, name: str, changes: Mapping[str, str | None]) -> None:
    try:
        toolkit.providers.update(name, header_changes=changes)
    except ToolkitError as error:
        st.session_state["provider-trouble"] = error
