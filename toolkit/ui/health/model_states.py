"""The models of one provider on the Health page: which is in trouble while the others answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.charts.states import provider_state, reason_words
from toolkit.health.view import rank
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import ago, at, count
from toolkit.ui.components.text import plain

_NAMED = 3


def troubled_words(row: Mapping[str, Any]) -> str | None:
    """Which models of a provider are in trouble; nothing where the whole provider is."""
    names = [model.partition("/")[2] for model in row["models_in_trouble"]]
    if not names or row["state"] in ("down", "auth_error"):
        return None
    more = f" and {count(len(names) - _NAMED)} more" if len(names) > _NAMED else ""
    are = "is" if len(names) == 1 else "are"
    return plain(f"{', '.join(names[:_NAMED])}{more} {are} in trouble.")


def draw_models(toolkit: Toolkit, provider: str) -> None:
    """Models that were called within a day, the worst first."""
    rows = sorted(toolkit.health.model_states(provider), key=_worst_first)
    if not rows:
        st.caption("No model of this provider was called within the last 24 hours.")
        return
    zone = st.context.timezone
    st.dataframe(
        {
            "model": [row["model"].partition("/")[2] for row in rows],
            "state": [provider_state(row["state"]).label for row in rows],
            "reason": [reason_words(row["reason"]) for row in rows],
            "since": [at(row["since"], zone) for row in rows],
            "last success": [ago(row["last_success_at"]) for row in rows],
            "failed": [f"{count(row['bad'])} of {count(row['n'])}" for row in rows],
        },
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 4, 520),
        key="health-models",
        column_config={
            "model": st.column_config.TextColumn(pinned=True),
            "failed": st.column_config.TextColumn(alignment="right"),
        },
        alt=f"States of the models of {provider}, worst first",
    )
    st.caption(_told(rows))


def _told(rows: Sequence[Mapping[str, Any]]) -> str:
    evidence = sum(row["n"] for row in rows)
    return (
        f"Based on {count(evidence)} of your calls and probes of models, at most the newest 500 "
        f"outcomes of this provider within 24 hours. A model can be down while its provider "
        f"answers; failover uses the state of the provider."
    )


def _worst_first(row: Mapping[str, Any]) -> tuple[int, str]:
    return rank(row["state"]), row["model"]
