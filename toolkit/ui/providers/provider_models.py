"""The models of one provider in its panel: list them, choose the usual one, ask it something."""

from __future__ import annotations

import streamlit as st

from toolkit.errors import ToolkitError
from toolkit.providers.provider import Provider
from toolkit.store.queries.app_pages import enabled_models
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import ago, count, duration, money
from toolkit.ui.components.text import own, plain, show_text
from toolkit.ui.models.model_rows import read_models
from toolkit.ui.providers.provider_rows import ProviderRow

TRY_PROMPT = "Say hello in one short sentence."
TRY_TOKENS = 256  # a reasoning model thinks before it greets


def draw_models_of(toolkit: Toolkit, row: ProviderRow) -> None:
    """What it lists, the way to switch single models, and a short question to one of them."""
    provider = row.provider
    st.subheader("Models", divider="gray")
    listed = f"{count(row.enabled)} of {count(row.listed)} models enabled"
    st.caption(f"{listed}, listed {ago(row.synced_at)}." if row.listed else "Not listed yet.")
    with st.container(horizontal=True, vertical_alignment="center"):
        syncs = st.button(
            "List models now",
            key=f"sync-{provider.name}",
            icon=":material/refresh:",
            disabled=not provider.is_active,
        )
        if row.listed:
            st.page_link(
                "models.py",
                label="Enable or disable models",
                icon=":material/toggle_on:",
                query_params={"from": provider.name},
            )
    if syncs:
        _sync(toolkit, provider)
    _try(toolkit, provider, choices(toolkit, provider))


def models_words(n: int) -> str:
    """`1 model`, `1,204 models`."""
    return f"{count(n)} model{'' if n == 1 else 's'}"


def choices(toolkit: Toolkit, provider: Provider) -> list[str]:
    """Ids of the models that may be called, the default one among them."""
    try:
        listed = [row["model_id"] for row in enabled_models(provider.name).rows(toolkit.store)]
    except ToolkitError as error:
        st.caption(f"The list of models could not be read: {plain(error.message)}")
        listed = []
    usual = provider.default_model
    return listed if usual is None or usual in listed else [usual, *listed]


def _sync(toolkit: Toolkit, provider: Provider) -> None:
    try:
        with st.spinner("Listing its models", show_time=True):
            (result,) = toolkit.catalog.sync([provider.name]).results
    except ToolkitError as error:
        error_card(error)
        return
    if result.status in ("error", "skipped"):
        st.warning(own(f"{result.message}. {result.hint or ''}"), icon=":material/error:")
        return
    read_models.clear()
    st.session_state["provider-notice"] = (
        f"{provider.name} lists {models_words(result.models)}: {count(result.new)} new, "
        f"{count(result.gone)} gone."
    )
    st.rerun()


def _try(toolkit: Toolkit, provider: Provider, models: list[str]) -> None:
    usual = provider.default_model
    model = st.selectbox(
        "Model to try",
        models,
        index=models.index(usual) if usual in models else None,
        key=f"try-model-{provider.name}-{usual}",
        accept_new_options=True,
        placeholder="model id",
    )
    pressed = st.button(
        "Try it",
        key=f"try-{provider.name}",
        icon=":material/play_arrow:",
        disabled=not model or not provider.is_active,
        help="Sends one short question, charged at the model's price.",
    )
    if not pressed or not model:
        return
    try:
        with st.spinner("Asking", show_time=True):
            reply = toolkit.complete(
                f"{provider.name}/{model}", TRY_PROMPT, max_tokens=TRY_TOKENS, origin="chat"
            )
    except ToolkitError as error:
        error_card(error)
        return
    show_text(reply.text or reply.reasoning or "Empty response.")
    took = duration(reply.timing.duration_ms)
    st.caption(f"{plain(model)} · {took} · {money(reply.receipt.cost_usd)}")
