"""Checks by hand on the Health page: they run in the background, and the page says how far.

Nothing here waits for a provider; a check asks for the free model listing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import count
from toolkit.ui.components.text import plain

_LOOK_EVERY_S = 0.5
_KEY = "health-check"


@dataclass(slots=True)
class Check:
    """A check of this session: whom it asks, and what came."""

    names: tuple[str, ...] | None
    future: Future[list[dict[str, Any]]]

    @property
    def words(self) -> str:
        """Whom it asks, in words."""
        if self.names is None:
            return "every provider in use"
        return self.names[0] if len(self.names) == 1 else f"{count(len(self.names))} providers"


def start_check(toolkit: Toolkit, names: Sequence[str] | None = None) -> None:
    """Ask providers now; None: all that are in use. One check at a time."""
    if is_checking():
        return
    chosen = None if names is None else tuple(names)
    st.session_state[_KEY] = Check(chosen, toolkit.portal.start(toolkit.health.acheck(chosen)))


def is_checking() -> bool:
    """Whether a check of this session still runs."""
    check: Check | None = st.session_state.get(_KEY)
    return check is not None and not check.future.done()


def draw_check() -> None:
    """The progress of a running check, or what came of the last one, until the next begins."""
    check: Check | None = st.session_state.get(_KEY)
    if check is None:
        return
    if not check.future.done():
        _watch()
        return
    try:
        rows = check.future.result()
    except ToolkitError as error:
        error_card(error)
        return
    failed = [row for row in rows if row["status"] != "ok"]
    good = len(rows) - len(failed)
    shown = f"{count(good)} of {count(len(rows))} answered." if rows else "No provider is in use."
    st.caption(f"Checked {plain(check.words)}: {shown}")
    for row in failed[:5]:
        st.caption(
            f"○ {plain(row['provider'])}: {plain(row.get('error_message') or row['status'])}"
        )
    if len(failed) > 5:
        st.caption(f"and {count(len(failed) - 5)} more, listed below.")


@st.fragment(run_every=_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _watch() -> None:
    check: Check = st.session_state[_KEY]
    st.caption(f"◌ Checking {plain(check.words)} …")
    if check.future.done():
        st.rerun()
