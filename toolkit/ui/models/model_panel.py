"""One model in the side panel: facts with sources, conflicts, prices over time, last calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from toolkit.catalog.capability_probe import CAPABILITIES, PROBE_TAG, CapabilityVerdict
from toolkit.charts import price_steps
from toolkit.charts.states import call_state
from toolkit.store.queries.app_pages import last_calls
from toolkit.toolkit import Toolkit
from toolkit.ui.components.chart_block import draw_figure
from toolkit.ui.components.format import ago, count, money, price
from toolkit.ui.components.table import Column, draw_table
from toolkit.ui.components.text import plain, show_text
from toolkit.ui.models.model_rows import read_models


def draw_model(toolkit: Toolkit, model: str) -> None:
    """Everything about one model.

    Raises:
        ModelNotFound: the catalog has no such model.
    """
    found = toolkit.catalog.show(model)
    _head(toolkit, found)
    _draw_elsewhere(toolkit, found)
    _facts(found)
    _draw_probe(toolkit, found)
    history = toolkit.catalog.price_history(model)
    if len(history) and history["valid_from"].nunique() > 1:
        draw_figure(price_steps(history, model), key="price-steps")
    _calls(toolkit, found)
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
            "Fact": name.replace("_", " ").replace(":", ": "),
            "Used value": _words(said[0]["value"]),
            "Source": said[0]["source"],
            "Other sources": ", ".join(f"{c['source']}: {_words(c['value'])}" for c in said[1:]),
            "Agreement": "≠ conflict" if name in found["conflicts"] else "",
        }
        for name, said in found["claims"].items()
    ]
    st.markdown("**Facts and their sources**")
    if not rows:
        st.caption("No listing describes this model further.")
        return
    st.dataframe(rows, hide_index=True, key="model-facts", alt="Facts by source")


def _draw_probe(toolkit: Toolkit, found: Mapping[str, Any]) -> None:
    """Try capabilities with real requests: what they may cost first, then what they have shown."""
    model = str(found["model"])
    opened = st.expander("Try what it can do", icon=":material/science:",
                         key=f"probe-open-{model}", on_change="rerun")  # fmt: skip
    if not opened.open:
        return
    with opened:
        chosen = st.pills(
            "Capabilities", CAPABILITIES, default=CAPABILITIES, selection_mode="multi",
            key=f"probe-what-{model}", format_func=lambda name: name.replace("_", " "),
        )  # fmt: skip
        if not chosen:
            return
        st.caption(_probe_cost(toolkit, model, chosen))
        if st.button("Send them", key=f"probe-{model}", icon=":material/play_arrow:"):
            _run_probe(toolkit, model, chosen)
        if verdicts := st.session_state.get(f"probe-shown-{model}"):
            _draw_verdicts(model, verdicts)


def _probe_cost(toolkit: Toolkit, model: str, chosen: Sequence[str]) -> str:
    most = toolkit.catalog.estimate_probe(model, chosen)
    requests = "1 real request" if len(chosen) == 1 else f"{len(chosen)} real requests"
    cost = (
        "what they cost is not known, because the model has no price"
        if most is None
        else f"they cost at most {plain(money(most))}"
    )
    return f"Sends {requests} with your key; {cost}."


def _run_probe(toolkit: Toolkit, model: str, chosen: Sequence[str]) -> None:
    with st.spinner("Asking the model", show_time=True):
        verdicts = toolkit.catalog.probe(model, chosen)
    st.session_state[f"probe-shown-{model}"] = verdicts
    read_models.clear()
    st.rerun()  # the facts above show the new evidence


def _draw_verdicts(model: str, verdicts: Sequence[CapabilityVerdict]) -> None:
    words = {True: "✓ yes", False: "✗ no", None: "not determined"}
    rows = [
        {
            "Capability": one.capability.replace("_", " "),
            "Shown": words[one.supported],
            "Listed": "–" if one.listed is None else words[one.listed],
            "Reason": one.reason,
            "Cost": money(one.cost_usd),
        }
        for one in verdicts
    ]
    st.dataframe(rows, hide_index=True, key="probe-verdicts", alt="What the requests have shown")
    st.page_link(
        "calls.py", label="Open these calls", icon=":material/list_alt:",
        query_params={"model": model, "tag": [f"{PROBE_TAG}={v.capability}" for v in verdicts]},
    )  # fmt: skip


def _calls(toolkit: Toolkit, found: Mapping[str, Any]) -> None:
    st.markdown("**Your last calls**")
    with toolkit.store.reading() as reader:
        calls = last_calls(str(found["model"])).rows(reader)
    if not calls:
        st.caption("No calls yet.")
        return
    draw_table(
        {
            "When": Column([ago(call["started_at"]) for call in calls], 90, on_phone=True),
            "State": Column([call_state(call["status"], call["error_code"]) for call in calls],
                            130, "state", on_phone=True),
            "TTFT ms": Column([call["ttft_ms"] for call in calls], 70, "number", on_phone=True),
            "tok/s": Column([call["output_tps"] for call in calls], 60, "number", style="%.0f"),
            "Cost": Column([call["cost_usd"] for call in calls], 90, "money", on_phone=True),
        },
        key="model-calls",
        alt="Last calls",
    )  # fmt: skip


def _draw_elsewhere(toolkit: Toolkit, found: Mapping[str, Any]) -> None:
    """The same open model at every provider: its price, and what your own calls measured."""
    if not found["elsewhere"]:
        return
    names = [str(found["model"]), *(str(row["model"]) for row in found["elsewhere"])]
    overview = read_models(toolkit, str(toolkit.settings.home))
    of_name = {row["model"]: row for row in overview.to_dict("records")}
    rows = [of_name.get(name, {}) for name in names]

    def numbers(field: str) -> list[float | None]:
        values = [row.get(field) for row in rows]
        return [None if value is None or math.isnan(value) else float(value) for value in values]

    st.markdown("**The same model by provider**")
    draw_table(
        {
            "Model": Column(names, 170, on_phone=True),
            "$/M in": Column(numbers("input_usd_per_mtok"), 56, "number", style="%.2f"),
            "$/M out": Column(numbers("output_usd_per_mtok"), 60, "number", style="%.2f",
                              on_phone=True),
            "TTFT ms": Column(numbers("ttft_ms"), 62, "number", "Median of your own calls",
                              on_phone=True),
            "tok/s": Column(numbers("output_tps"), 50, "number", style="%.0f", on_phone=True),
            "Calls, 7 d": Column(numbers("calls"), 66, "number"),
        },
        key="model-elsewhere",
        alt="Price and latency of the same model at each provider",
    )  # fmt: skip


def _changes(found: Mapping[str, Any]) -> None:
    if not found["changes"]:
        return
    st.markdown("**Changes**")
    for change in found["changes"]:
        st.caption(f"{ago(change['changed_at'])}: {plain(change['words'])}")


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count(value) if isinstance(value, int) else str(value)
