"""One provider opened: test, keys, settings, and what cannot be taken back so easily."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from toolkit.charts.states import CHECK
from toolkit.errors import ToolkitError
from toolkit.providers.checks import QUESTIONS, ProbeResult
from toolkit.providers.provider import Provider, public_headers
from toolkit.store.queries.app_pages import enabled_models
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.format import ago, count, duration, money
from toolkit.ui.components.page_hints import page_hint
from toolkit.ui.components.text import own, plain, show_text
from toolkit.ui.models.model_rows import read_models
from toolkit.ui.providers.provider_actions import STORES, KeyStore, usable_stores
from toolkit.ui.providers.provider_keys import draw_keys
from toolkit.ui.providers.provider_rows import ProviderRow
from toolkit.ui.providers.provider_settings import draw_provider_settings

# The models of one provider in its panel: list them, choose the usual one, ask it something.


TRY_PROMPT = "Say hello in one short sentence."
TRY_TOKENS = 256  # a reasoning model thinks before it greets


def draw_models_of(toolkit: Toolkit, row: ProviderRow) -> None:
    """What it lists, the way to switch single models, and a short question to one of them."""
    provider = row.provider
    st.subheader("Models", divider="gray")
    listed = f"{count(row.enabled)} of {count(row.listed)} models enabled"
    st.caption(f"{listed}, listed {ago(row.synced_at)}." if row.listed else "Not listed yet.")
    if problem := _sync_problem(toolkit, provider.name):
        st.caption(problem)
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


def _sync_problem(toolkit: Toolkit, name: str) -> str | None:
    """Why the last attempt to list a provider's models failed, and when it is made again."""
    syncs = toolkit.catalog.syncs()
    for last in syncs[syncs["provider"] == name].to_dict("records"):
        if last["status"] != "error":
            return None
        text = f"The last attempt, {ago(last['tried_at'])}, failed: {own(str(last['error']))}"
        is_planned = str(last["next_at"]) != "NaT"
        return f"{text} Next attempt: {last['next_at']:%H:%M} UTC." if is_planned else text
    return None


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
        st.warning(own(f"{result.message}. {page_hint(result.hint)}"), icon=":material/error:")
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


# Extra headers of one provider: seen without their secrets, set one at a time, taken away.


def draw_headers(toolkit: Toolkit, provider: Provider) -> None:
    """The headers that go with every request, and a form that sets one."""
    st.subheader("Headers", divider="gray")
    shown = public_headers(provider.headers)
    secret = {name.lower() for name in provider.secret_headers}
    if not shown:
        st.caption("No additional headers.")
    for name, value in shown.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            summary = "…, stored like a key" if name.lower() in secret else plain(value, limit=200)
            st.markdown(f"`{name}`: {summary}", width="stretch")
            st.button(
                f"Delete {name}",
                key=f"header-off-{provider.name}-{name}",
                type="tertiary",
                icon=":material/close:",
                on_click=_change,
                args=(toolkit, provider.name, {name: None}),
            )
    _form(toolkit, provider)


def _form(toolkit: Toolkit, provider: Provider) -> None:
    with st.form(f"header-form-{provider.name}", clear_on_submit=True, border=False):
        name = st.text_input("Header", key=f"header-name-{provider.name}", placeholder="X-Project")
        value = st.text_input(
            "Value", type="password", key=f"header-value-{provider.name}", autocomplete="off",
            help="A value that looks like a secret is kept in the key store and never shown again.",
        )  # fmt: skip
        stores = usable_stores(toolkit)
        store: KeyStore = st.segmented_control(
            "Store a secret value in", stores, default=stores[0], required=True,
            key=f"header-store-{provider.name}", format_func=STORES.__getitem__,
        )  # fmt: skip
        sent = st.form_submit_button("Set header", icon=":material/add:")
    if not sent:
        return
    if not (name or "").strip() or not value:
        st.caption("Enter a name and a value. Nothing was changed.")
        return
    try:
        toolkit.providers.update(
            provider.name, header_changes={name.strip(): value}, key_store=store
        )
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"A header of {provider.name} is set."
    st.rerun()


def _change(toolkit: Toolkit, name: str, changes: Mapping[str, str | None]) -> None:
    try:
        toolkit.providers.update(name, header_changes=changes)
    except ToolkitError as error:
        st.session_state["provider-trouble"] = error


def draw_panel(toolkit: Toolkit, row: ProviderRow) -> None:
    """Draw the panel of one provider: one tab for each thing that can be changed."""
    provider = row.provider
    usual = " · :blue-badge[default]" if provider.is_default else ""
    st.markdown(
        f"**{plain(provider.display_name or provider.name)}** · {plain(provider.type)}{usual}"
    )
    st.text(provider.base_url or "no base URL yet")
    keys, test, models, settings, headers, remove = st.tabs(
        ["Keys", "Test", "Models", "Settings", "Headers", "Remove"], key="panel-tab"
    )
    with keys:
        draw_keys(toolkit, row)
    with test:
        _test(toolkit, row)
    with models:
        draw_models_of(toolkit, row)
    with settings:
        _settings(toolkit, row)
    with headers:
        draw_headers(toolkit, provider)
    with remove:
        _danger(toolkit, row)


def draw_checks(result: ProbeResult) -> None:
    """The four checks, each with its reason, and what to do about one that failed."""
    for one in result.checks:
        state = CHECK[one.answer]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(state.label, color=state.colour)
            reason = own(one.reason)
            st.markdown(f"**{QUESTIONS[one.question]}** · {reason}", width="stretch")
        if one.hint:
            st.caption(own(page_hint(one.hint)))


def _test(toolkit: Toolkit, row: ProviderRow) -> None:
    st.caption("Requests the free model listing; no paid calls are made.")
    if not st.button("Test now", key=f"test-{row.provider.name}", icon=":material/network_check:"):
        return
    try:
        with st.spinner("Testing the provider", show_time=True):
            result = toolkit.providers.test(row.provider.name)
    except ToolkitError as error:
        error_card(error)
        return
    draw_checks(result)


def _settings(toolkit: Toolkit, row: ProviderRow) -> None:
    provider = row.provider
    draw_provider_settings(toolkit, provider, choices(toolkit, provider))
    _default(toolkit, row)
    st.caption(f"Last test {ago(provider.tested_at)}; models listed {ago(row.synced_at)}.")


def _default(toolkit: Toolkit, row: ProviderRow) -> None:
    provider = row.provider
    label = "Unset default" if provider.is_default else "Set as default"
    if not st.button(
        label,
        key=f"default-{provider.name}",
        icon=":material/star:",
        disabled=not (provider.is_active or provider.is_default),
        help="Failover starts from the default provider.",
    ):
        return
    try:
        toolkit.providers.set_default(None if provider.is_default else provider.name)
    except ToolkitError as error:
        error_card(error)
        return
    shown = "is no longer the default" if provider.is_default else "is the default now"
    st.session_state["provider-notice"] = f"{provider.name} {shown}."
    st.rerun()


def _danger(toolkit: Toolkit, row: ProviderRow) -> None:
    name = row.provider.name
    st.caption("Removes it from the list. Its calls and keys are kept, and it can be restored.")
    sure = st.checkbox(f"Remove {name}", key=f"sure-{name}")
    if st.button("Remove", key=f"remove-{name}", disabled=not sure, icon=":material/delete:"):
        try:
            toolkit.providers.remove(name)
        except ToolkitError as error:
            error_card(error)
            return
        st.query_params.pop("provider", None)
        st.session_state["provider-notice"] = (
            f"{name} is removed; “removed” in the list brings it back."
        )
        st.rerun()
