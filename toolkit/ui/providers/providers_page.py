"""The Providers & Keys page: one list, and beside it the opened provider or the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import State
from toolkit.errors import ToolkitError
from toolkit.providers.transfer_service import ImportPlan, OnConflict
from toolkit.store.queries.app_pages import provider_calls
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import ago
from toolkit.ui.components.health_marks import states_by_provider
from toolkit.ui.components.page_head import page_head
from toolkit.ui.components.pictures import as_image, letter_tile
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import own, plain
from toolkit.ui.components.theme import is_phone
from toolkit.ui.providers.provider_actions import STORES, set_in_use, usable_stores
from toolkit.ui.providers.provider_form import draw_form
from toolkit.ui.providers.provider_keys import draw_vault_lock
from toolkit.ui.providers.provider_panel import draw_panel
from toolkit.ui.providers.provider_rows import ProviderRow, read_rows

# All providers in one table: state, key in force, models, last answer; and the presets.


_PRESET: Final = "preset"


def draw_providers(toolkit: Toolkit, rows: Sequence[ProviderRow], *, is_beside: bool) -> str | None:
    """Draw the table and return the provider that was clicked."""
    health, calls = states_by_provider(toolkit), _read_calls(toolkit)
    names = [row.provider.name for row in rows]
    of = [calls.get(name, {}) for name in names]

    def switch(index: int) -> None:
        provider = rows[index].provider
        error = set_in_use(toolkit, provider.name, not provider.is_active)
        if error is not None:
            st.session_state["provider-trouble"] = error

    letters = [(row.provider.display_name or row.provider.name)[:1] for row in rows]
    columns = {
        "Logo": Column([as_image(letter_tile(letter)) for letter in letters], 46, "image"),
        "Provider": Column(names, 120, on_phone=True),
        "State": Column([row.state(health) for row in rows], 114, "state", on_phone=True),
        "Where": Column(["local" if row.provider.is_local else "cloud" for row in rows], 60),
        "Active key": Column([row.key_words for row in rows], 250),
        "Models on": Column([row.model_words for row in rows], 92),
        "Listed": Column([ago(row.synced_at) for row in rows], 84),
        "Last answer": Column([ago(one.get("answered_at")) for one in of], 92),
        "Calls, 1 d": Column([one.get("calls_1d", 0) for one in of], 72, "number"),
        "On": Column(
            ["✓ on" if row.provider.is_active else "turn on" for row in rows],
            70, "button", on_phone=True, press=switch,
        ),
    }  # fmt: skip
    if is_beside:
        for name in ("Where", "Listed", "Calls, 1 d"):
            del columns[name]
        columns["Active key"].width = 130
    chosen = draw_table(
        columns,
        key=f"providers-{'beside' if is_beside else 'alone'}",
        opens=("Provider", "State", "Where", "Active key", "Models on", "Last answer"),
        alt="Providers with state, key, models and last answer",
        row_px=30,
        most_px=620,
    )
    return None if chosen is None else names[chosen]


def draw_presets(rows: Sequence[ProviderRow]) -> None:
    """Known providers that are not set up yet; a click opens the form filled in."""
    if not rows:
        return
    names = {row.provider.name: row.provider.display_name or row.provider.name for row in rows}
    st.pills(
        "Set up a known provider", list(names), format_func=names.__getitem__, key=_PRESET,
        on_change=_begin, width="stretch",
    )  # fmt: skip


def draw_removed(toolkit: Toolkit, rows: Sequence[ProviderRow]) -> None:
    """Removed providers, each with the button that brings it back."""
    if not rows:
        st.caption("No removed providers.")
        return

    def restore(index: int) -> None:
        try:
            toolkit.providers.restore(rows[index].provider.name)
        except ToolkitError as error:
            st.session_state["provider-trouble"] = error

    draw_table(
        {
            "Provider": Column([row.provider.name for row in rows], 180, on_phone=True),
            "Address": Column([row.provider.base_url for row in rows], 320),
            "Removed": Column([ago(row.provider.deactivated_at) for row in rows], 100),
            "Restore": Column(["Restore"] * len(rows), 100, "button", on_phone=True,
                                 press=restore),
        },
        key="removed",
        alt="Removed providers",
    )  # fmt: skip


def _begin() -> None:
    st.session_state["add-address"] = st.session_state[_PRESET]
    st.session_state[_PRESET] = None  # the choice is an action, which can be repeated
    st.query_params.clear()
    st.query_params["add"] = "yes"


def _read_calls(toolkit: Toolkit) -> Mapping[str, Mapping[str, Any]]:
    try:
        with toolkit.store.reading() as reader:
            rows = provider_calls(datetime.now(UTC)).rows(reader)
    except ToolkitError:
        return {}
    return {row["provider"]: row for row in rows}


# Export and import of providers on the page: never with keys; those go by `toolkit providers`.


_MAX_BYTES = 1_000_000
_PLANNED: Final[Mapping[str, State]] = {
    "new": State("+", "new", "green"),
    "changed": State("!", "changed", "orange"),
    "same": State("✓", "same", "gray"),
    "refused": State("✕", "refused", "red"),
}


def draw_share(toolkit: Toolkit) -> None:
    """A file to take along, and a file to read, with a look at what it would do first."""
    with st.expander("Export and import", icon=":material/swap_vert:", type="compact"):
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
        _draw_plan(plan)
        skips = bool(plan.refused) and st.checkbox(
            f"Skip the refused entries ({len(plan.refused)})", key="import-skip"
        )
        if plan.entries and st.button(
            f"Import {len(plan.entries)}",
            type="primary",
            disabled=bool(plan.refused) and not skips,
            help="Skip the refused entries, or correct the file." if plan.refused else None,
        ):
            toolkit.providers.transfer.apply(plan, skip_refused=skips)
            st.session_state["provider-notice"] = _imported(plan)
            st.rerun()
    except ToolkitError as error:
        error_card(error)


def _draw_plan(plan: ImportPlan) -> None:
    """What an import would do with each entry, the refused ones first."""
    rows = sorted(plan.rows, key=lambda row: row.finding != "refused")
    draw_table(
        {
            "Provider": Column([row.name for row in rows], 130, on_phone=True),
            "Import": Column([_PLANNED[row.finding] for row in rows], 90, "state", on_phone=True),
            "Action": Column([row.action for row in rows], 90),
            "Reason": Column(["; ".join(filter(None, (row.reason, row.warning))) for row in rows],
                             on_phone=True),
        },
        key="import-plan",
        alt="What the import would do with each provider of the file",
    )  # fmt: skip
    for row in rows:
        if row.finding == "refused":
            st.markdown(f":red[✕] {plain(row.name)} is refused: {own(row.reason)}.")
    if not plan.entries:
        st.caption("There is nothing to import.")


def _imported(plan: ImportPlan) -> str:
    number = len(plan.entries)
    done = f"Imported {number} provider{'' if number == 1 else 's'}."
    if not plan.refused:
        return done
    return f"{done} Skipped, because they were refused: {', '.join(r.name for r in plan.refused)}."


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
    draw_vault_lock(toolkit)
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
        return "No provider is set up yet: paste a base URL, or enter the name of a known provider."
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
    elif place != "all":
        st.caption(f"No {place} provider is set up.")
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
