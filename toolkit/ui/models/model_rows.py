"""What the Models page shows, read from the catalog, and its filters as a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import streamlit as st

from toolkit.catalog import catalog_queries
from toolkit.catalog.listings.listed_model import CAPABILITIES
from toolkit.store.queries.app_pages import measured_models
from toolkit.toolkit import Toolkit

if TYPE_CHECKING:
    import pandas as pd

FRESH_S: Final = 15.0
CONTEXTS: Final = {"8k or more": 8_000, "32k or more": 32_000, "128k or more": 128_000,
                   "200k or more": 200_000, "1M or more": 1_000_000}  # fmt: skip
PRICES: Final = {"free": 0.0, "up to $1": 1.0, "up to $5": 5.0, "up to $20": 20.0}
ENABLED: Final = {"on": True, "off": False}
STATES: Final = ("callable", "flagged", "gone", "preview", "deprecated")
_SEARCHED_TOO: Final = ("display_name", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFilter:
    """Which models; None and empty mean all (but gone ones only on request).

    Attributes:
        text: words that must all occur in model, name or owner.
        providers: only these.
        capabilities: all of these.
        kind: chat, embedding, ...
        context: a key of `CONTEXTS`.
        price: a key of `PRICES`, USD per million output tokens.
        enabled: a key of `ENABLED`.
        state: one of `STATES`.
    """

    text: str = ""
    providers: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    kind: str | None = None
    context: str | None = None
    price: str | None = None
    enabled: str | None = None
    state: str | None = None


@st.cache_resource(ttl=FRESH_S, show_spinner="Reading the catalog", max_entries=4)  # type: ignore[untyped-decorator]
def read_models(_toolkit: Toolkit, home: str) -> pd.DataFrame:
    """The catalog of one home folder, at most `FRESH_S` old; `read_models.clear()` forgets it.

    All sessions share these rows, so they must not be modified.
    """
    import pandas as pd

    models = catalog_queries.overview_df(_toolkit.store)
    with _toolkit.store.reading() as reader:
        measured = measured_models(datetime.now(UTC)).frame(reader)
    used = measured[["model", "calls", "answered_at"]].rename(columns={"answered_at": "answer_at"})
    models = models.merge(used, on="model", how="left")
    # The roll-up knows an answer's hour only; within a week its own time is read.
    models["answered_at"] = models["answer_at"].combine_first(models["answered_at"])
    models["calls"] = models["calls"].fillna(0).astype(int)
    order = ["calls", "is_enabled", "model"]
    sorted_models = models.sort_values(order, ascending=[False, False, True])
    return pd.DataFrame(sorted_models.drop(columns="answer_at")).reset_index(drop=True)


def filter_models(models: pd.DataFrame, wanted: ModelFilter) -> pd.DataFrame:
    """The rows that a filter lets through, in their order."""
    keep = models["gone_at"].notna() if wanted.state == "gone" else models["gone_at"].isna()
    searched = models["model"].fillna("")
    for name in _SEARCHED_TOO:
        searched = searched + " " + models[name].fillna("")
    for word in wanted.text.split():
        keep &= searched.str.contains(word, case=False, regex=False)
    if wanted.providers:
        keep &= models["provider"].isin(wanted.providers)
    if wanted.kind:
        keep &= models["kind"] == wanted.kind
    if wanted.context:
        keep &= models["context_window"] >= CONTEXTS[wanted.context]
    if wanted.price:
        keep &= models["output_usd_per_mtok"].astype(float) <= PRICES[wanted.price]
    if wanted.enabled:
        keep &= models["is_enabled"] == ENABLED[wanted.enabled]
    keep &= _in_state(models, wanted.state)
    found = models[keep]
    for name in wanted.capabilities:
        found = found[[name in can for can in found["capabilities"]]]
    return found


def find_changes(changes: pd.DataFrame, wanted: ModelFilter) -> pd.DataFrame:
    """The changes of the providers and models that a filter names; its other parts do not apply."""
    keep = changes["model"].notna()
    if wanted.providers:
        keep &= changes["provider"].isin(wanted.providers)
    for word in wanted.text.split():
        keep &= changes["model"].fillna("").str.contains(word, case=False, regex=False)
    return changes[keep]


def _in_state(models: pd.DataFrame, state: str | None) -> pd.Series[bool]:
    if state == "callable":
        return models["answered_at"].notna()
    if state == "flagged":
        return models["flags"].map(len) > 0
    if state in ("preview", "deprecated"):
        return models["status"] == state
    return models["model"].notna()


def chosen_filter(models: pd.DataFrame) -> ModelFilter:
    """Draw the filters in one row, kept in the address, and return what they say."""
    one = {"index": None, "placeholder": "all", "bind": "query-params"}
    text = st.text_input(
        "Search", key="find", type="search", placeholder="Name, maker or family", live="200ms",
        bind="query-params", label_visibility="collapsed", width=260,
    )  # fmt: skip
    with st.popover("Provider", icon=":material/dns:"):
        providers = st.multiselect(
            "Provider", sorted(models["provider"].unique()), key="from", bind="query-params"
        )
    with st.popover("Can", icon=":material/construction:"):
        capabilities = st.multiselect("Can", CAPABILITIES, key="can", bind="query-params")
    with st.popover("Price", icon=":material/payments:"):
        price = st.selectbox("Output price per million", list(PRICES), **one, key="price")
    with st.popover("Context", icon=":material/width:"):
        context = st.selectbox("Context", list(CONTEXTS), **one, key="context")
    with st.popover("More", icon=":material/filter_list:"):
        kind = st.selectbox("Kind", sorted(models["kind"].dropna().unique()), **one, key="kind")
        enabled = st.selectbox("Switched", list(ENABLED), **one, key="switched")
        state = st.selectbox("State", STATES, **one, key="state")
    return ModelFilter(
        text=text or "",
        providers=tuple(providers),
        capabilities=tuple(capabilities),
        kind=kind,
        context=context,
        price=price,
        enabled=enabled,
        state=state,
    )
