"""Export and import of providers on the page: never with keys; those go by `toolkit providers`."""

from __future__ import annotations

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.providers.transfer_service import OnConflict
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.text import plain

_MAX_BYTES = 1_000_000


def draw_share(toolkit: Toolkit) -> None:
    """A file to take along, and a file to read, with a look at what it would do first."""
    with st.expander("Export and import", icon=":material/swap_vert:"):
        st.caption("The file holds no keys; `toolkit providers export --with-keys` encrypts them.")
        st.download_button(
            "Export providers",
            data=toolkit.providers.transfer.write(),
            file_name="providers.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        rule = st.segmented_control(
            "If a provider of that name differs",
            ["skip", "replace", "rename"],
            default="skip",
            key="import-rule",
        )
        file = st.file_uploader("Import a file", type=["json", "toml"], key="import-file")
        if file is not None:
            _draw_import(toolkit, file.read(_MAX_BYTES + 1), rule or "skip")


def _draw_import(toolkit: Toolkit, raw: bytes, rule: OnConflict) -> None:
    if len(raw) > _MAX_BYTES:
        st.error("The file is too large for a list of providers. Nothing was imported.")
        return
    try:
        plan = toolkit.providers.transfer.preview(raw, on_conflict=rule)
        for row in plan.rows:
            why = "; ".join(filter(None, (row.reason, row.warning)))
            st.markdown(plain(f"{row.name}: {row.finding}, {row.action}. {why}".strip()))
        if plan.entries and st.button(f"Import {len(plan.entries)}", type="primary"):
            toolkit.providers.transfer.apply(plan)
            st.session_state["provider-notice"] = f"Imported {len(plan.entries)} providers."
            st.rerun()
    except ToolkitError as error:
        error_card(error)
