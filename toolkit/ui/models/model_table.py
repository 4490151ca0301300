"""The table of models and what can be done with the chosen rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import NEVER, ago, count, duration, price, rate
from toolkit.ui.models.model_rows import read_models

if TYPE_CHECKING:
    import pandas as pd

_STATES = {"preview": "preview", "deprecated": "◐ deprecated", "offline": "○ offline",
           "gone": "○ gone", "active": "● active"}  # fmt: skip


def draw_models(toolkit: Toolkit, models: pd.DataFrame) -> str | None:
    """One row per model; returns the model whose panel is to be shown."""
    if not len(models):
        st.caption("No model matches these filters.")
        return None
    right = st.column_config.TextColumn(alignment="right")
    event = st.dataframe(
        _shown(models),
        hide_index=True,
        height=min(36 * (len(models) + 1) + 4, 560),
        key="models",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "model": st.column_config.TextColumn(pinned=True, width="medium"),
            "can": st.column_config.ListColumn(width="medium"),
            "on": st.column_config.CheckboxColumn(width="small"),
            **{name: right for name in ("context", "$/M in / out", "TTFT p50", "speed p50")},
        },
        alt="Models",
    )
    chosen = [str(models["model"].iloc[row]) for row in event.selection.rows]
    _draw_switches(toolkit, chosen)
    return chosen[0] if len(chosen) == 1 else None


def _shown(models: pd.DataFrame) -> dict[str, list[Any]]:
    prices = zip(models["input_usd_per_mtok"], models["output_usd_per_mtok"], strict=True)
    ended = models["gone_at"].notna()
    return {
        "model": list(models["model"]),
        "on": list(models["is_enabled"]),
        "context": [count(_known(n)) for n in models["context_window"]],
        "$/M in / out": [price(_known(usd_in), _known(usd_out)) for usd_in, usd_out in prices],
        "can": [list(can) for can in models["capabilities"]],
        "called": [_called(when) for when in models["answered_at"]],
        "TTFT p50": [duration(_known(ms)) for ms in models["ttft_ms"]],
        "speed p50": [rate(_known(tps)) for tps in models["output_tps"]],
        "status": [
            _STATES.get("gone" if is_gone else str(status), str(status))
            for status, is_gone in zip(models["status"], ended, strict=True)
        ],
        "added": [ago(_known(when)) for when in models["first_seen_at"]],
        "odd": [" ".join(flags) for flags in models["flags"]],
    }


def _known(value: Any) -> Any:
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _called(when: Any) -> str:
    known = _known(when)
    return NEVER if known is None else f"✓ {ago(known)}"


def _draw_switches(toolkit: Toolkit, chosen: list[str]) -> None:
    """Switch the chosen rows on or off."""
    with st.container(horizontal=True, vertical_alignment="center"):
        told = f"{len(chosen)} chosen" if chosen else "Choose rows to switch them or see one."
        st.caption(told, width="content")
        catalog = toolkit.catalog
        for label, switch in (("Switch on", catalog.enable), ("Switch off", catalog.disable)):
            if st.button(label, disabled=not chosen, key=label):
                switch(*chosen)
                read_models.clear()
                st.rerun()
