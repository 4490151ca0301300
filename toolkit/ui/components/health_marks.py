"""States for other pages: which providers are in trouble, as of a few seconds ago."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from toolkit.charts.states import TROUBLE, provider_state, reason_words
from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.components.text import plain

_FRESH_S: Final = 10.0
_GAP: Final = "  "

Troubles = Mapping[str, Mapping[str, Any]]


def read_troubles(toolkit: Toolkit) -> Troubles:
    """Rows of `HealthService.status` by provider, only those in trouble; empty when unknown."""
    try:
        return _read(toolkit, str(toolkit.settings.home))  # type: ignore[no-any-return]
    except ToolkitError:
        return {}  # a question to a model does not wait for the state of its provider


@st.cache_resource(ttl=_FRESH_S, show_spinner=False, max_entries=4)  # type: ignore[untyped-decorator]
def _read(_toolkit: Toolkit, home: str) -> Troubles:
    return {row["provider"]: row for row in _toolkit.health.status() if row["state"] in TROUBLE}


def states_by_provider(toolkit: Toolkit) -> Mapping[str, str]:
    """The state of every provider in use; providers in no trouble are healthy or unknown."""
    try:
        return _read_states(toolkit, str(toolkit.settings.home))  # type: ignore[no-any-return]
    except ToolkitError:
        return {}


@st.cache_resource(ttl=_FRESH_S, show_spinner=False, max_entries=4)  # type: ignore[untyped-decorator]
def _read_states(_toolkit: Toolkit, home: str) -> Mapping[str, str]:
    return {row["provider"]: row["state"] for row in _toolkit.health.status()}


def forget_troubles() -> None:
    """Read again at the next question."""
    _read.clear()
    _read_states.clear()


def mark_of(model: str, troubles: Troubles) -> str:
    """`  ○ down` for a model whose provider is in trouble, else nothing."""
    row = troubles.get(model.partition("/")[0])
    return f"{_GAP}{provider_state(row['state']).label}" if row else ""


def without_mark(shown: str) -> str:
    """The model of a line of the picker.

    A box that takes new options gives back the line itself when its state has changed meanwhile.
    """
    return shown.strip().partition(_GAP)[0]


def warning_of(model: str, troubles: Troubles) -> str | None:
    """Why its provider is in trouble, in a sentence; None where it is not."""
    row = troubles.get(model.partition("/")[0])
    if row is None:
        return None
    summary = (
        f"{row['provider']} is {provider_state(row['state']).label}: {reason_words(row['reason'])}"
    )
    return plain(f"{summary}. It can still be called.")
