"""The form that adds a provider: one address or name, its key, one test, four answers."""

from __future__ import annotations

from typing import Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.providers.checks import ProbeResult
from toolkit.providers.provider import Provider, presets
from toolkit.providers.type_detection import TYPES, detect_type, find_preset
from toolkit.secret import Secret
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.page_head import leave_notice
from toolkit.ui.components.text import plain
from toolkit.ui.providers.provider_actions import STORES, NewProvider, add_provider, usable_stores
from toolkit.ui.providers.provider_panel import draw_checks
from toolkit.ui.providers.provider_rows import suggest_name

RECOGNISED: Final = "as recognised"


def draw_form(toolkit: Toolkit) -> None:
    """Draw the form, and what its test answered."""
    typed = st.text_input(
        "Address, or the name of a known provider",
        key="add-address",
        placeholder="https://api.example.com/v1, or groq",
        live=True,
        help="Known providers: " + ", ".join(sorted(presets())) + ".",
    )
    address = (typed or "").strip()
    preset = _preset_of(address)
    url = preset.base_url if preset and "://" not in address else address
    kind = detect_type(url) if "://" in url else None
    _draw_recognised(address, url, kind, preset)
    if preset and preset.key_url:
        st.link_button("Get a key", preset.key_url, icon=":material/open_in_new:")
    _draw_fields(toolkit, url, kind, preset)


def _preset_of(address: str) -> Provider | None:
    """The known provider that was named, or whose address this is."""
    if not address:
        return None
    if "://" in address:
        return find_preset(address)
    known = presets()
    wanted = address.lower()
    if wanted in known:
        return known[wanted]
    found = [one for one in known.values() if wanted in (one.display_name or "").lower()]
    return found[0] if len(found) == 1 else None


def _draw_recognised(address: str, url: str, kind: str | None, preset: Provider | None) -> None:
    if preset is not None:
        st.markdown(f":green[✓ {plain(preset.display_name or preset.name)}] · {plain(preset.type)}")
    elif kind:
        where = "on this machine or network" if _looks_local(url) else "cloud"
        st.markdown(f":green[✓ {plain(kind)}], {where}")
    elif address:
        st.caption("Not recognised yet: enter a full URL, or the name of a known provider.")


def _draw_fields(toolkit: Toolkit, url: str, kind: str | None, preset: Provider | None) -> None:
    registry = toolkit.providers.registry
    taken = [p.name for p in registry.list() if p.created_at is not None]
    taken += [p.name for p in registry.list(removed=True)]
    host = url.split("//")[-1].split("/")[0].split(":")[0]
    wanted = preset.name if preset else host
    stores = usable_stores(toolkit)
    with st.form("add-provider", border=False, clear_on_submit=False):
        left, right = st.columns(2)
        name = left.text_input(
            "Name", value=suggest_name(wanted, taken) if wanted else "", key=f"add-name-{wanted}"
        )
        model = right.text_input("Default model", key="add-model", placeholder="first listed model")
        key = st.text_input("Key", type="password", key="add-key", autocomplete="off",
                            placeholder="leave empty if none is needed")  # fmt: skip
        store = st.segmented_control(
            "Store the key in", stores, default=stores[0], required=True, key="add-store",
            format_func=STORES.__getitem__,
            help="Stores available here. Keys in environment variables are found automatically.",
        )  # fmt: skip
        opens = None
        if "vault" in stores:
            opens = st.text_input(
                "Passphrase of the encrypted file", type="password", key="add-opens",
                autocomplete="off", help="Only for the encrypted file; you choose it on first use.",
            )  # fmt: skip
        with st.expander("More", type="compact"):
            as_type = st.selectbox("Type", [RECOGNISED, *TYPES], key="add-type")
            local = st.checkbox(
                "Runs on this machine or network",
                value=bool(preset and preset.is_local) or _looks_local(url),
                key=f"add-local-{wanted}",
            )
        with st.container(horizontal=True):
            tests = st.form_submit_button("Test and save", type="primary", icon=":material/check:")
            insists = st.form_submit_button("Save without test", type="tertiary")
    if not tests and not insists:
        return
    new = NewProvider(
        name=name or "",
        base_url=url,
        type=None if as_type == RECOGNISED else as_type,
        is_local=bool(local),
        default_model=model,
        key=Secret(key) if key else None,
        store="vault" if store == "vault" else "keyring",
        opens=Secret(opens) if key and opens else None,
        insist=insists,
    )
    _test_and_save(toolkit, new)


def _test_and_save(toolkit: Toolkit, new: NewProvider) -> None:
    try:
        with st.spinner("Testing", show_time=True):
            came = add_provider(toolkit, new)
    except ToolkitError as error:
        error_card(error)
        return
    if isinstance(came, ProbeResult):
        draw_checks(came)
        st.markdown("**Not saved yet.** Fix what the checks report, or save it without the test.")
        return
    leave_notice(f"{came.name} is saved.")
    for field in ("add-key", "add-opens", "add-address"):
        st.session_state.pop(field, None)
    st.query_params.clear()
    st.query_params["provider"] = came.name
    st.rerun()


def _looks_local(url: str) -> bool:
    return "://localhost" in url or "://127." in url or "://[::1]" in url
