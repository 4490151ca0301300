"""The keys of one provider: where they are, which is active, a form for a new one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.keys.index import CURRENT
from toolkit.keys.sources import KeyLocation
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.providers.provider_actions import (
    STORES,
    KeyStore,
    NewKey,
    save_key,
    usable_stores,
)
from toolkit.ui.providers.provider_rows import ProviderRow


def draw_keys(toolkit: Toolkit, row: ProviderRow) -> None:
    """Draw the list of keys, the form for a new one, and a button to delete each stored one."""
    provider = row.provider
    if row.keys:
        _draw_locations(row.keys)
    else:
        st.caption("No key found." if provider.needs_key else "No key is set; it may not need one.")
    if provider.key_url:
        st.link_button("Get a key", provider.key_url, icon=":material/open_in_new:")
    _draw_new_key(toolkit, row)
    stored = [place for place in row.keys if place.source in ("keyring", "vault")]
    if stored:
        _draw_rotation(toolkit, provider, stored)
    for place in stored:
        st.button(
            f"Delete {place.name} {place.fingerprint} from {place.source}",
            key=f"delete-{provider.name}-{place.source}-{place.name}",
            on_click=_delete_key,
            args=(toolkit, place),
        )


def draw_vault_lock(toolkit: Toolkit) -> None:
    """Ask for the passphrase of the encrypted file while its keys cannot be used."""
    try:
        if not toolkit.keys.is_vault_locked():
            return
    except ToolkitError as error:
        error_card(error)
        return
    with st.form("unlock-vault", clear_on_submit=True):
        st.markdown("**The encrypted file of keys is locked**, so its keys are not used.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            passphrase = st.text_input(
                "Passphrase", type="password", key="unlock-passphrase", autocomplete="off",
                help="Needed once per start of the app.",
            )  # fmt: skip
            pressed = st.form_submit_button("Unlock", icon=":material/lock_open:")
    if not pressed or not passphrase:
        return
    try:
        toolkit.keys.unlock_vault(passphrase)
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = "The encrypted file of keys is unlocked."
    st.rerun()


def _draw_locations(keys: Sequence[KeyLocation]) -> None:
    st.dataframe(
        {
            "In use": ["active" if place.in_force else "" for place in keys],
            "Key": [place.fingerprint for place in keys],
            "From": [f"{place.source} {place.name}" for place in keys],
            "Note": [place.note or (place.shadowed_by or "") for place in keys],
        },
        hide_index=True,
        alt="Sources of keys for this provider",
    )


def _draw_new_key(toolkit: Toolkit, row: ProviderRow) -> None:
    provider, stores = row.provider, usable_stores(toolkit)
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
            key=f"store-{provider.name}", format_func=STORES.__getitem__,
        )  # fmt: skip
        opens = st.text_input(
            "Passphrase of the encrypted file",
            type="password",
            key=f"vault-{provider.name}",
            autocomplete="off",
            help="Only for the encrypted file, once per start of the app.",
        )
        with st.container(horizontal=True):
            checked = st.form_submit_button("Save key", icon=":material/key:",
                                            help="Checked first with a free request.")  # fmt: skip
            unchecked = st.form_submit_button("Save without check", type="tertiary")
    if value and (checked or unchecked):
        new = NewKey(
            name=(name or "").strip() or CURRENT,
            value=Secret(value),
            store="vault" if store == "vault" else "keyring",
            opens=Secret(opens) if opens and store == "vault" else None,
            check=checked,
        )
        _save_key(toolkit, provider, new)


def _save_key(toolkit: Toolkit, provider: Provider, new: NewKey) -> None:
    try:
        save_key(toolkit, provider, new)
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"The key {new.name} of {provider.name} is stored."
    st.rerun()


def _draw_rotation(toolkit: Toolkit, provider: Provider, stored: Sequence[KeyLocation]) -> None:
    """A form that replaces a stored key by one that the provider accepts."""
    with (
        st.expander("Rotate a stored key", icon=":material/autorenew:"),
        st.form(f"rotate-form-{provider.name}", clear_on_submit=True, border=False),
    ):
        st.caption(
            "Until the provider has accepted the new key, calls use the old one; a key that is "
            "refused is not kept."
        )
        place = st.selectbox(
            "Replace", stored, key=f"rotate-which-{provider.name}",
            format_func=lambda place: f"{place.name} {place.fingerprint} in the {place.source}",
        )  # fmt: skip
        value = st.text_input("Replacement key", type="password", autocomplete="off",
                              key=f"rotate-key-{provider.name}")  # fmt: skip
        calls = st.checkbox(
            "Check it with a call if needed", key=f"rotate-call-{provider.name}",
            help="A few providers list their models without a key, so that only a call shows "
            "whether they accept it. The call asks the default model for a few tokens.",
        )  # fmt: skip
        pressed = st.form_submit_button("Check and replace", icon=":material/autorenew:")
    if not pressed or not value or place is None:
        return
    try:
        toolkit.providers.rotate_key(provider.name, value, key_name=place.name, call=calls)
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"The key {place.name} of {provider.name} is replaced."
    st.rerun()


def _delete_key(toolkit: Toolkit, place: KeyLocation) -> None:
    try:
        store: KeyStore = "vault" if place.source == "vault" else "keyring"
        toolkit.keys.remove(place.provider, name=place.name, store=store)
        left = toolkit.keys.active(place.provider)
    except ToolkitError as error:
        st.session_state["provider-trouble"] = error
        return
    now = (
        "no key is left"
        if left is None
        else f"calls now use {left.fingerprint} from {left.source} {left.name}"
    )
    st.session_state["provider-notice"] = (
        f"The key {place.name} of {place.provider} is deleted; {now}."
    )
