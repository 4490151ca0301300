"""All providers in one table: state, key in force, models, last answer; and the presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.store.queries.app_pages import provider_calls
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import ago
from toolkit.ui.components.health_marks import states_by_provider
from toolkit.ui.components.pictures import as_image, letter_tile
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.providers.provider_actions import set_in_use
from toolkit.ui.providers.provider_rows import ProviderRow

_PRESETS_SHOWN: Final = 40


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
        "·": Column([as_image(letter_tile(letter)) for letter in letters], 38, "image"),
        "Provider": Column(names, 120, on_phone=True),
        "State": Column([row.state(health) for row in rows], 114, "state", on_phone=True),
        "Where": Column(["local" if row.provider.is_local else "cloud" for row in rows], 60),
        "Active key": Column([row.key_words for row in rows], 250),
        "Enabled models": Column([row.model_words for row in rows], 100),
        "Listed": Column([ago(row.synced_at) for row in rows], 84),
        "Last answer": Column([ago(one.get("answered_at")) for one in of], 92),
        "calls, 1 d": Column([one.get("calls_1d", 0) for one in of], 72, "number"),
        "On": Column(
            ["✓ on" if row.provider.is_active else "turn on" for row in rows],
            70, "button", on_phone=True, press=switch,
        ),
    }  # fmt: skip
    if is_beside:
        for name in ("Where", "Listed", "calls, 1 d"):
            del columns[name]
        columns["Active key"].width = 130
    chosen = draw_table(
        columns,
        key=f"providers-{'beside' if is_beside else 'alone'}",
        opens=("Provider", "State", "Where", "Active key", "Enabled models", "Last answer"),
        alt="Providers with state, key, models and last answer",
        row_px=30,
        height=min(30 * len(rows) + 38, 620),
    )
    return None if chosen is None else names[chosen]


def draw_presets(rows: Sequence[ProviderRow]) -> None:
    """Known providers that nobody set up yet, in one line."""
    if not rows:
        return
    st.caption("Known providers, one click to set up:")
    with st.container(horizontal=True, gap="small"):
        for row in rows[:_PRESETS_SHOWN]:
            name = row.provider.name
            st.button(
                row.provider.display_name or name,
                key=f"preset-{name}",
                type="tertiary",
                on_click=_begin,
                args=(name,),
            )


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


def _begin(name: str) -> None:
    st.session_state["add-address"] = name
    st.query_params.clear()
    st.query_params["add"] = "yes"


def _read_calls(toolkit: Toolkit) -> Mapping[str, Mapping[str, Any]]:
    try:
        with toolkit.store.reading() as reader:
            rows = provider_calls(datetime.now(UTC)).rows(reader)
    except ToolkitError:
        return {}
    return {row["provider"]: row for row in rows}
