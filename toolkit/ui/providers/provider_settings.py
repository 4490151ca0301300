"""The settings of one provider: connection, limits, retries, parameters and prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import streamlit as st

from toolkit.catalog.service import SYNC_EVERY
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.keys.sources import is_bound
from toolkit.providers.provider import ModelSettings, Provider
from toolkit.providers.type_detection import TYPES
from toolkit.toolkit import Toolkit
from toolkit.ui.components.error_card import error_card
from toolkit.ui.components.text import plain

ALL_MODELS: Final = "all models"
_PARAMS_HEIGHT: Final = 110
_PROMPT_HEIGHT: Final = 80


def draw_provider_settings(toolkit: Toolkit, provider: Provider, models: Sequence[str]) -> None:
    """Draw both forms; a saved change applies to the next call.

    Args:
        toolkit: the toolkit of the home.
        provider: the provider as it is saved.
        models: ids of its enabled models.
    """
    _draw_connection(toolkit, provider, models)
    st.markdown("**Parameters and prompts**")
    _draw_call_defaults(toolkit, provider, models)


def changed_fields(provider: Provider, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form that differ from the provider; an empty field resets it."""
    changes: dict[str, Any] = {}
    for name, value in given.items():
        cleaned = (value.strip() or None) if isinstance(value, str) else value
        before = getattr(provider, name)
        if cleaned != (None if before == "" else before):
            changes[name] = cleaned
    return changes


def read_parameters(text: str) -> dict[str, Any]:
    """Parameters as typed into the form: a JSON object; empty text is no parameter.

    Raises:
        InvalidInput: the text is not a JSON object; the message says where it is not.
    """
    if not text.strip():
        return {}
    hint = 'Write a JSON object such as {"temperature": 0.2, "top_p": 0.9}.'
    try:
        value = json.loads(text)
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(f"the parameters are not valid JSON{where}", hint=hint) from None
    if not isinstance(value, dict):
        raise InvalidInput("the parameters are not a JSON object", hint=hint)
    return value


def save_call_defaults(
    toolkit: Toolkit, provider: Provider, model: str | None, own: ModelSettings
) -> None:
    """Save parameters, prompts and the token limit of a provider, or of one of its models.

    Raises:
        ToolkitError: a value is not valid; nothing is saved.
    """
    if model is None:
        toolkit.providers.update(
            provider.name,
            params=dict(own.params) or None,
            system_prompt=own.system_prompt,
            prompt_template=own.prompt_template,
            max_input_tokens=own.max_input_tokens,
        )
        return
    kept = {name: given for name, given in provider.model_settings.items() if name != model}
    if values := own.as_dict():
        toolkit.providers.update(provider.name, model_settings={**kept, model: values})
    else:
        toolkit.providers.update(provider.name, model_settings=kept or None)


def _draw_connection(toolkit: Toolkit, provider: Provider, models: Sequence[str]) -> None:
    name = provider.name
    with st.form(f"settings-{name}", border=False):
        base_url = st.text_input("Base URL", value=provider.base_url, key=f"url-{name}",
                                 placeholder=provider.url_example)  # fmt: skip
        left, right = st.columns(2)
        types = sorted({*TYPES, provider.type})
        given: dict[str, Any] = {
            "display_name": left.text_input(
                "Display name", value=provider.display_name, key=f"display-{name}"
            ),
            "type": right.selectbox(
                "Type", types, index=types.index(provider.type), key=f"type-{name}",
                help="The API style in which requests are written.",
            ),
            "default_model": left.selectbox(
                "Default model", models, index=None, accept_new_options=True, placeholder="none",
                key=_begin(f"default-model-{name}", provider.default_model),
            ),
        }  # fmt: skip
        local = right.checkbox(
            "Runs on this machine or network", value=provider.is_local, key=f"is-local-{name}"
        )
        changes = _draw_key_variables(provider)
        given |= _draw_limits(toolkit, provider) | {"is_local": local}
        with st.container(horizontal=True):
            saved = st.form_submit_button("Save settings", type="primary")
            insisted = st.form_submit_button(
                "Save without test", type="tertiary",
                help="A changed base URL or type is tested first; this saves it untested.",
            )  # fmt: skip
    if not saved and not insisted:
        return
    changes |= changed_fields(provider, given)
    if base_url.strip() != provider.base_url:
        changes["base_url"] = base_url.strip() or None
    _save(name, lambda: toolkit.providers.update(name, test=not insisted, **changes))


def _draw_key_variables(provider: Provider) -> dict[str, Any]:
    """The variables that may hold its key, and whether that key may go to a changed address."""
    name = provider.name
    variables = st.text_input(
        "Environment variables of its key", value=" ".join(provider.key_env), key=f"key-env-{name}",
        placeholder="ACME_API_KEY", help="The first one that is set is used.",
    )  # fmt: skip
    is_held_back = bool(provider.key_env) and not is_bound(provider)
    approved = is_held_back and st.checkbox(
        f"Send the key of these variables to {plain(provider.origin)}", key=f"approve-{name}"
    )
    names = tuple(variables.replace(",", " ").split())
    return {"key_env": names or None} if approved or names != provider.key_env else {}


def _draw_limits(toolkit: Toolkit, provider: Provider) -> dict[str, Any]:
    """The number fields; an empty one shows the value that then applies."""
    settings, name = toolkit.settings, provider.name
    rpm = "no limit" if provider.is_local else f"{settings.default_rpm}"
    rows: tuple[tuple[tuple[str, str, float, str], ...], ...] = (
        (
            ("rpm", "Requests per window", 0, rpm),
            ("tpm", "Tokens per window", 0, "no limit"),
            ("rate_window_s", "Window, s", 0.0, f"{settings.rate_window_s:g}"),
        ),
        (
            ("timeout_s", "Time-out, s", 0.0, f"{settings.total_timeout_s:g}"),
            ("max_retries", "Retries", 0, f"{settings.max_retries}"),
        ),
        (
            ("retry_initial_s", "First wait, s", 0.0, f"{settings.retry_initial_s:g}"),
            ("retry_max_s", "Longest wait, s", 0.0, f"{settings.retry_max_s:g}"),
            ("retry_factor", "Growth of the wait", 0.0, f"{settings.retry_factor:g}"),
        ),
    )
    given: dict[str, Any] = {}
    for row in rows:
        for column, (field, label, least, default) in zip(st.columns(3), row, strict=False):
            given[field] = column.number_input(
                label, value=None, min_value=least, step=type(least)(1),
                format="%d" if isinstance(least, int) else "%g",
                key=_begin(f"{field}-{name}", getattr(provider, field)),
                placeholder=default,
            )  # fmt: skip
    left, right = st.columns(2, vertical_alignment="bottom")
    given["auto_sync"] = left.checkbox(
        "List its models automatically", value=provider.auto_sync, key=f"auto-sync-{name}"
    )
    given["sync_interval_s"] = right.number_input(
        "List again every, s", value=None, min_value=0.0, step=3600.0, format="%g",
        key=_begin(f"sync_interval_s-{name}", provider.sync_interval_s),
        placeholder=f"{SYNC_EVERY.total_seconds():g}",
    )  # fmt: skip
    return given


def _draw_call_defaults(toolkit: Toolkit, provider: Provider, models: Sequence[str]) -> None:
    name = provider.name
    known = list(dict.fromkeys([*provider.model_settings, *models]))
    chosen = st.selectbox(
        "Apply to", [ALL_MODELS, *known], key=f"settings-for-{name}", accept_new_options=True,
        help="Settings of one model come before those of all models of the provider.",
    )  # fmt: skip
    model = None if chosen in (None, ALL_MODELS) else str(chosen)
    own = provider.model_settings.get(model, ModelSettings()) if model else _of_all(provider)
    key = f"{name}-{model or ''}"
    with st.form(f"call-defaults-{key}", border=False):
        params = st.text_area(
            "Parameters, as JSON", height=_PARAMS_HEIGHT, key=f"params-{key}",
            value=json.dumps(dict(own.params), indent=2, ensure_ascii=False) if own.params else "",
            placeholder='{"temperature": 0.2}',
            help="Sent with each call that does not set them itself.",
        )  # fmt: skip
        system = st.text_area(
            "System prompt", value=own.system_prompt or "", height=_PROMPT_HEIGHT,
            key=f"system-{key}", help="For conversations without one.",
        )  # fmt: skip
        template = st.text_area(
            "Prompt template", value=own.prompt_template or "", height=_PROMPT_HEIGHT,
            key=f"template-{key}", placeholder="Answer briefly: {text}",
            help="{text} is replaced by the user's message.",
        )  # fmt: skip
        limit = st.number_input(
            "Maximum input tokens", value=None, min_value=0, step=1,
            key=_begin(f"max-input-{key}", own.max_input_tokens), placeholder="no limit",
            help="Longer requests are refused before they are sent.",
        )  # fmt: skip
        saved = st.form_submit_button("Save parameters")
    if not saved:
        return

    def save() -> None:
        given = ModelSettings(
            params=read_parameters(params or ""),
            system_prompt=(system or "").strip() or None,
            prompt_template=(template or "").strip() or None,
            max_input_tokens=limit,
        )
        save_call_defaults(toolkit, provider, model, given)

    _save(f"{name}/{model}" if model else name, save)


def _begin(key: str, value: object) -> str:
    """The key of a widget that starts with `value` and can be emptied.

    Streamlit lets a reader clear only a widget whose own default is None, so the saved value is
    put into the session instead.
    """
    if key not in st.session_state:
        st.session_state[key] = value
    return key


def _of_all(provider: Provider) -> ModelSettings:
    return ModelSettings(
        params=provider.params,
        system_prompt=provider.system_prompt,
        prompt_template=provider.prompt_template,
        max_input_tokens=provider.max_input_tokens,
    )


def _save(what: str, save: Callable[[], object]) -> None:
    try:
        with st.spinner("Saving", show_time=True):
            save()
    except ToolkitError as error:
        error_card(error)
        return
    st.session_state["provider-notice"] = f"{what} is saved; the next call uses it."
    st.rerun()
