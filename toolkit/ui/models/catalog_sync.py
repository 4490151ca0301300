"""Refreshing the catalog in the background, with progress, and how old each listing is.

Nothing here waits for a provider: the sync runs on the toolkit's own loop, the page asks
twice a second how far it is.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from toolkit.catalog.sync import SyncReport, SyncResult
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import ago, count
from toolkit.ui.components.text import own, plain
from toolkit.ui.models.model_rows import read_models

_LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Refresh:
    """A sync of this session: what is asked, what has come, and its end."""

    asked: tuple[str, ...]
    results: list[SyncResult] = field(default_factory=list)
    future: Future[SyncReport] | None = None

    @property
    def is_over(self) -> bool:
        """Whether every provider has answered or failed."""
        return self.future is not None and self.future.done()


def draw_refresh(toolkit: Toolkit) -> None:
    """The button, the progress of a running sync, and what came of the last one."""
    refresh: Refresh | None = st.session_state.get("models-refresh")
    running = refresh is not None and not refresh.is_over
    st.button(
        "List again", icon=":material/refresh:", key="models-sync", disabled=running,
        on_click=_start, args=(toolkit,),
        help="Syncs the model lists of all providers in use.  \n" + ages_of(toolkit)[1],
    )  # fmt: skip
    if refresh is not None:
        _watch() if running else _tell(refresh)


def _start(toolkit: Toolkit) -> None:
    asked = tuple(provider.name for provider in toolkit.providers.list(active=True))
    refresh = Refresh(asked)
    task = toolkit.catalog.async_sync(asked, on_result=refresh.results.append)
    refresh.future = toolkit.portal.start(task)
    st.session_state["models-refresh"] = refresh


@st.fragment(run_every=_LOOK_EVERY_S)  # type: ignore[untyped-decorator]
def _watch() -> None:
    refresh: Refresh = st.session_state["models-refresh"]
    done = len(refresh.results)
    waiting = sorted(set(refresh.asked) - {result.provider for result in refresh.results})
    shown = f"{done} of {len(refresh.asked)} providers"
    if waiting:
        shown += f", waiting for {', '.join(waiting[:3])}"
    st.progress(done / max(len(refresh.asked), 1), text=plain(shown))
    if refresh.is_over:
        read_models.clear()
        st.rerun()


def _tell(refresh: Refresh) -> None:
    """What came of the sync; failures with their reasons."""
    good = [result for result in refresh.results if result.status in ("ok", "incomplete")]
    new, gone = sum(r.new for r in good), sum(r.gone for r in good)
    st.caption(f"{len(good)} providers read: {count(new)} new, {count(gone)} gone.")
    for result in refresh.results:
        if result.status in ("error", "skipped"):
            st.caption(f"{plain(result.provider)}: {own(_reason(result))}")


def _reason(result: SyncResult) -> str:
    return f"{result.message}. {result.hint or ''}".strip()


def ages_of(toolkit: Toolkit) -> tuple[str, str]:
    """How old the listings are, in a word, and one line for each provider."""
    rows: list[dict[str, Any]] = toolkit.catalog.syncs().astype(object).to_dict("records")  # type: ignore[assignment]
    known = [row["synced_at"] for row in rows if str(row["synced_at"]) != "NaT"]
    lines = []
    for row in rows:
        age = ago(None if str(row["synced_at"]) == "NaT" else row["synced_at"])
        failed = f", then failed: {own(str(row['error']))}" if row["status"] == "error" else ""
        lines.append(f"{plain(row['provider'])}: {age}{failed}")
    return ago(max(known) if known else None), "  \n".join(lines)
