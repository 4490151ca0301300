"""One provider opened: test, keys, settings, and what cannot be taken back so easily."""

from __future__ import annotations

import streamlit as st

from toolkit.charts.states import CHECK
from toolkit.errors import ToolkitError
from toolkit.keys.index import CURRENT
from toolkit.keys.sources import KeyLocation
from toolkit.providers.checks import QUESTIONS, ProbeResult
from toolkit.secret import Secret
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import ago
from toolkit.ui.components.text import own, plain
from toolkit.ui.providers.provider_actions import KeyStore, NewKey, save_key, usable_stores
from toolkit.ui.providers.provider_headers import draw_headers
from toolkit.ui.providers.provider_models import choices, draw_models_of
from toolkit.ui.providers.provider_rows import ProviderRow


def draw_panel(toolkit: Toolkit, row: ProviderRow) -> None:
    """Draw the panel of one provider: one tab for each thing that can be changed."""
    provider = row.provider
    usual = " · :blue-badge[default]" if provider.is_default else ""
    st.markdown(
        f"**{plain(provider.display_name or provider.name)}** · {plain(provider.type)}{usual}"
    )
    st.text(provider.base_url or "no base URL yet")
    keys, test, models, settings, headers, remove = st.tabs(
        ["Keys", "Test", "Models", "Settings", "Headers", "Remove"], key="panel-tab"
    )
    with keys:
        _keys(toolkit, row)
    with test:
        _test(toolkit, row)
    with models:
        draw_models_of(toolkit, row)
    with settings:
        _settings(toolkit, row)
    with headers:
        draw_headers(toolkit, provider)
    with remove:
        _danger(toolkit, row)


def draw_checks(result: ProbeResult) -> None:
    """The four checks, each with its reason, and what to do about one that failed."""
    for one in result.checks:
        state = CHECK[one.answer]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(state.label, color=state.colour)
            reason = own(one.reason)
            st.markdown(f"**{QUESTIONS[one.question]}** · {reason}", width="stretch")
        if one.hint:
            st.caption(own(one.hint))


def _test(toolkit: Toolkit, row: ProviderRow) -> None:
    st.caption("Requests the free model listing; no paid calls are made.")
    if not st.button("Test now", key=f"test-{row.provider.name}", icon=":material/network_check:"):
        return
    try:
        with st.spinner("Testing the provider", show_time=True):
            result = toolkit.providers.test(row.provider.name)
    except ToolkitError as error:
        error_card(error)
        return
    draw_checks(result)


def _keys(toolkit: Toolkit, row: ProviderRow) -> None:
    provider = row.provider
    if row.keys:
        st.dataframe(
            {
                "": ["active" if place.in_force else "" for place in row.keys],
                "key": [place.fingerprint for place in row.keys],
                "from": [f"{place.source} {place.name}" for place in row.keys],
                "note": [place.note or (place.shadowed_by or "") for place in row.keys],
            },
            hide_index=True,
            alt="Sources of keys for this provider",
        )
    else:
        st.caption("No key found." if provider.needs_key else "No key is set; it may not need one.")
    if provider.key_url:
        st.link_button("Get a key", provider.key_url, icon=":material/open_in_new:")
    stores = usable_stores(toolkit)
    with st.form(f"key-form-{provider.name}", clear_on_submit=True, border=False):
        value = st.text_input(
            "New key", type="password", key=f"new-key-{provider.name}", autocomplete="off"
        )
        name = st.text_input(
            "Key name",
            value=CURRENT,
            key=f"key-name-{provider.name}",
            help="For several keys; calls use the one named default if there is one.",
        )
        store = st.segmented_control(
            "Store it in", stores, default=stores[0], required=True,
            key=f"store-{provider.name}",
            format_func=lambda name: "system keyring" if name == "keyring" else "encrypted file",
        )  # fmt: skip
        opens = st.text_input(
            "Passphrase of the encrypted file",
            type="password",
            key=f"vault-{provider.name}",
            autocomplete="off",
            help="Only for the encrypted file, once per start of the app.",
        )
        sent = st.form_submit_button("Save key", icon=":material/key:")
    if sent and value:
        new = NewKey(
            name=(name or "").strip() or CURRENT,
            value=Secret(value),
            opens=Secret(opens or "") if store == "vault" else None,
        )
        _save_key(toolkit, row, new)
    for place in row.keys:
        if place.source in ("keyring", "vault"):
            st.button(
                f"Delete {place.name} {place.fingerprint} from {place.source}",
                key=f"delete-{provider.name}-{place.source}-{place.name}",
                on_click=_delete_key,
                args=(toolkit, place),
            )


def _delete_key(toolkit: Toolkit, place: KeyLocation) -> None:
    try:
        store: KeyStore = "vault" if place.source == "vault" else "keyring"
        toolkit.keys.remove(place.provider, name=place.name, store=store)
    except ToolkitError as error:
        st.session_state["provider-trouble"] = error


def _save_key(toolkit: Toolkit, row: ProviderRow, new: NewKey) -> None:
    try:
        save_key(toolkit, row.provider, new)
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"The key {new.name} of {row.provider.name} is stored."
    st.rerun()


def _settings(toolkit: Toolkit, row: ProviderRow) -> None:
    provider = row.provider
    known = choices(toolkit, provider)
    with st.form(f"settings-{provider.name}", border=False):
        base_url = st.text_input("Base URL", value=provider.base_url)
        model = st.selectbox(
            "Default model",
            known,
            index=known.index(provider.default_model) if provider.default_model else None,
            accept_new_options=True,
            placeholder="none",
        )
        rpm = st.number_input("Requests per minute", min_value=1, value=provider.rpm, step=1)
        tpm = st.number_input("Tokens per minute", min_value=1, value=provider.tpm, step=1)
        saved = st.form_submit_button("Save settings")
    if saved:
        changes = {"default_model": (model or "").strip() or None, "rpm": rpm, "tpm": tpm}
        if base_url.strip() != provider.base_url:
            changes["base_url"] = base_url.strip()
        try:
            toolkit.providers.update(provider.name, **changes)
        except ToolkitError as error:
            error_card(error)
            return
        st.session_state["provider-notice"] = f"{provider.name} is saved."
        st.rerun()
    _default(toolkit, row)
    st.caption(f"Last test {ago(provider.tested_at)}; models listed {ago(row.synced_at)}.")


def _default(toolkit: Toolkit, row: ProviderRow) -> None:
    provider = row.provider
    label = "Unset default" if provider.is_default else "Set as default"
    if not st.button(
        label,
        key=f"default-{provider.name}",
        icon=":material/star:",
        disabled=not (provider.is_active or provider.is_default),
        help="Failover starts from the default provider.",
    ):
        return
    try:
        toolkit.providers.set_default(None if provider.is_default else provider.name)
    except ToolkitError as error:
        error_card(error)
        return
    shown = "is no longer the default" if provider.is_default else "is the default now"
    st.session_state["provider-notice"] = f"{provider.name} {shown}."
    st.rerun()


def _danger(toolkit: Toolkit, row: ProviderRow) -> None:
    name = row.provider.name
    st.caption("Removes it from the list. Its calls and keys are kept, and it can be restored.")
    sure = st.checkbox(f"Remove {name}", key=f"sure-{name}")
    if st.button("Remove", key=f"remove-{name}", disabled=not sure, icon=":material/delete:"):
        try:
            toolkit.providers.remove(name)
        except ToolkitError as error:
            error_card(error)
            return
        st.query_params.pop("provider", None)
        st.session_state["provider-notice"] = (
            f"{name} is removed; “removed” in the list brings it back."
        )
        st.rerun()
