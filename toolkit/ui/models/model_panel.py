"""One model in the side panel: facts with sources, conflicts, prices over time, last calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from toolkit.charts import price_steps
from toolkit.charts.states import call_state
from toolkit.store.queries.app_pages import last_calls
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_figure
from toolkit.ui.components.format import ago, count, duration, money, price, rate
from toolkit.ui.components.text import plain, show_text
from toolkit.ui.models.model_rows import read_models


def draw_model(toolkit: Toolkit, model: str) -> None:
    """Everything about one model.

    Raises:
        ModelNotFound: the catalog has no such model.
    """
    found = toolkit.catalog.show(model)
    _head(toolkit, found)
    _facts(found)
    history = toolkit.catalog.price_history(model)
    if len(history) and history["valid_from"].nunique() > 1:
        draw_figure(price_steps(history, model), key="price-steps")
    _calls(toolkit, found)
    _elsewhere(found)
    _changes(found)
    if found["description"]:
        with st.expander("Description"):
            show_text(str(found["description"]))


def _head(toolkit: Toolkit, found: Mapping[str, Any]) -> None:
    model = str(found["model"])
    st.subheader(plain(model))
    enabled = st.toggle("On", value=bool(found["is_enabled"]), key=f"on-{model}")
    if enabled != found["is_enabled"]:
        (toolkit.catalog.enable if enabled else toolkit.catalog.disable)(model)
        read_models.clear()
    with st.container(horizontal=True):
        for name in found["capabilities"]:
            st.badge(name.replace("_", " "))
        for flag in found["flags"]:
            st.badge(plain(flag), color="orange")
    proof = found["proof"]["called_at"]
    prices = price(found["input_usd_per_mtok"], found["output_usd_per_mtok"])
    st.caption(
        f"{plain(prices)} per million · context {count(found['context_window'])} · "
        f"last answer to you: {ago(proof)} · listed {ago(found['last_seen_at'])}"
    )
    if found["deprecation_date"]:
        successor = f"; successor {found['successor']}" if found["successor"] else ""
        st.warning(plain(f"Retires on {found['deprecation_date']}{successor}."))
    if found["sync_status"] == "error":
        st.caption(f"The last sync of its provider failed: {plain(found['sync_error'])}")


def _facts(found: Mapping[str, Any]) -> None:
    rows = [
        {
            "fact": name.replace("_", " ").replace(":", ": "),
            "used value": _words(said[0]["value"]),
            "by": said[0]["source"],
            "other sources": ", ".join(f"{c['source']}: {_words(c['value'])}" for c in said[1:]),
            "agree": "≠ conflict" if name in found["conflicts"] else "",
        }
        for name, said in found["claims"].items()
    ]
    st.markdown("**Facts and their sources**")
    st.dataframe(rows, hide_index=True, key="model-facts", alt="Facts by source")


def _calls(toolkit: Toolkit, found: Mapping[str, Any]) -> None:
    st.markdown("**Your last calls**")
    with toolkit.store.reading() as reader:
        calls = last_calls(str(found["model"])).rows(reader)
    if not calls:
        st.caption("No calls yet.")
        return
    rows = [
        {
            "when": ago(call["started_at"]),
            "state": call_state(call["status"], call["error_code"]).label,
            "TTFT": duration(call["ttft_ms"], "ms"),
            "speed": rate(call["output_tps"]),
            "cost": money(call["cost_usd"]),
        }
        for call in calls
    ]
    st.dataframe(rows, hide_index=True, key="model-calls", alt="Last calls")


def _elsewhere(found: Mapping[str, Any]) -> None:
    if not found["elsewhere"]:
        return
    rows = [
        {
            "model": row["model"],
            "context": count(row["context_window"]),
            "$/M in / out": price(row["input_usd_per_mtok"], row["output_usd_per_mtok"]),
        }
        for row in found["elsewhere"]
    ]
    st.markdown("**The same model elsewhere**")
    st.dataframe(rows, hide_index=True, key="model-elsewhere", alt="Other providers")


def _changes(found: Mapping[str, Any]) -> None:
    if not found["changes"]:
        return
    st.markdown("***Changes**")
    for change in found["changes"]:
        st.caption(f"{ago(change['changed_at'])}: {plain(change['words'])}")


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count(value) if isinstance(value, int) else str(value)
