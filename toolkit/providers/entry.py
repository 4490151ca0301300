"""One provider's entry in `providers.toml`: its fields and their validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidProvider
from toolkit.providers.base_url import check_base_url, repair_base_url
from toolkit.providers.headers import check_header_name, check_headers, is_secret
from toolkit.providers.naming import check_model, check_name, check_text, check_variable, short
from toolkit.providers.provider import ModelSettings, Provider, origin_of
from toolkit.providers.type_detection import (
    check_type,
    complete_base_url,
    detect_type,
    refuse_website,
    settle_type,
)

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_MAX_PARAMS_BYTES: Final = 32 * 1024
_MAX_PROMPT: Final = 100_000
_MAX_MODELS: Final = 1_000
_SOURCES: Final = ("preset", "custom", "environment", "discovered", "plugin")


def _check_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidProvider(f"{short(value)} is not true or false", cause="value")
    return value


def _number(low: float, high: float, kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not low <= value <= high or kind(value) != value:
            raise InvalidProvider(
                f"{short(value)} is not a number from {low:g} to {high:,.0f}", cause="value"
            )
        return kind(value)

    return check


def _check_params(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidProvider("params must be pairs of a name and a value", cause="params")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidProvider(
            "params contain a value that JSON cannot represent", cause="params"
        ) from None
    if len(text) > _MAX_PARAMS_BYTES:
        raise InvalidProvider(f"params are larger than {_MAX_PARAMS_BYTES:,} bytes", cause="params")
    if forbidden := sorted(
        {"api_key", "api_base", "base_url", "headers", "extra_headers"} & {*value}
    ):
        raise InvalidProvider(
            f"params must not contain {', '.join(forbidden)}",
            cause="params",
            hint="Keys, URLs and headers have fields of their own.",
        )
    return dict(json.loads(text))


def _check_prompt(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidProvider("the system prompt is empty or not a string", cause="text")
    return _fit(value, "system prompt")


def _check_template(value: Any) -> str:
    if not isinstance(value, str) or "{text}" not in value:
        raise InvalidProvider(
            "the prompt template does not contain {text}",
            cause="text",
            hint="Write {text} where the user's text goes, such as 'Answer briefly: {text}'.",
        )
    return _fit(value, "prompt template")


def _fit(value: str, what: str) -> str:
    if len(value) > _MAX_PROMPT:
        raise InvalidProvider(f"the {what} is longer than {_MAX_PROMPT:,} characters", cause="text")
    return value


def _check_model_settings(value: Any) -> dict[str, ModelSettings]:
    if not isinstance(value, Mapping) or len(value) > _MAX_MODELS:
        raise InvalidProvider("model_settings must be a table of models", cause="model_settings")
    found: dict[str, ModelSettings] = {}
    for model, given in value.items():
        values = given.as_dict() if isinstance(given, ModelSettings) else given
        unknown = set(values) - {*_MODEL_FIELDS} if isinstance(values, Mapping) else {"value"}
        if unknown:
            raise InvalidProvider(
                f"{short(model)} has no setting {short(min(unknown))}",
                cause="model_settings",
                hint=f"Settings of a model are {', '.join(_MODEL_FIELDS)}.",
            )
        checked = {
            name: _MODEL_FIELDS[name](own) for name, own in values.items() if own is not None
        }
        if checked:
            found[check_model(model)] = ModelSettings(**checked)
    return found


def _names(check: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    def check_all(value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple) or len(value) > 32:
            raise InvalidProvider(f"{short(value)} is not a list of names", cause="value")
        return tuple(dict.fromkeys(check(name) for name in value))

    return check_all


def _check_time(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidProvider(f"{short(value)} is not a valid time", cause="value") from None
    if not isinstance(value, datetime):
        raise InvalidProvider(f"{short(value)} is not a valid time", cause="value")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _check_source(value: Any) -> str:
    if value not in _SOURCES:
        raise InvalidProvider(f"{short(value)} is not a valid source", cause="value")
    return str(value)


def _check_key_url(value: Any) -> str:
    text = check_text(value, "link to get a key", 500)
    if not text.startswith(("https://", "http://")):
        raise InvalidProvider("the link to get a key is not a web address", cause="key_url")
    return text


def _check_origin(value: Any) -> str:
    return value if isinstance(value, str) and len(value) < 300 else ""


_MODEL_FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "params": _check_params,
    "system_prompt": _check_prompt,
    "prompt_template": _check_template,
    "max_input_tokens": _number(0, 1e9, int),
}

FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "display_name": lambda value: check_text(value, "display name"),
    "type": check_type,
    "base_url": str,  # checked together with `is_local`
    "default_model": check_model,
    "headers": check_headers,
    "secret_headers": _names(check_header_name),
    "params": _check_params,
    "system_prompt": _check_prompt,
    "prompt_template": _check_template,
    "max_input_tokens": _number(0, 1e9, int),
    "model_settings": _check_model_settings,
    "timeout_s": _number(0.001, 86_400, float),
    "max_retries": _number(0, 20, int),
    "retry_initial_s": _number(0, 3_600, float),
    "retry_max_s": _number(0, 86_400, float),
    "retry_factor": _number(1, 100, float),
    "rpm": _number(0, 1e9, int),
    "tpm": _number(0, 1e12, int),
    "rate_window_s": _number(0.001, 86_400, float),
    "auto_sync": _check_flag,
    "sync_interval_s": _number(1, 366 * 86_400, float),
    "is_active": _check_flag,
    "is_local": _check_flag,
    "needs_key": _check_flag,
    "key_env": _names(check_variable),
    "key_origin": _check_origin,
    "key_url": _check_key_url,
    "source": _check_source,
    "tested_at": _check_time,
    "created_at": _check_time,
    "updated_at": _check_time,
    "deactivated_at": _check_time,
}
"""The fields of an entry, each with the function that validates and normalizes it."""


def read_entry(name: str, values: Mapping[str, Any], preset: Provider | None) -> Provider:
    """Build a provider from its entry and its preset, if it has one.

    Args:
        name: of the provider.
        values: the fields of the entry; unknown ones are ignored, None means not given.
        preset: supplies missing fields.

    Raises:
        InvalidProvider: a field is not valid; the message names the provider and the field.
    """
    try:
        check_name(name)
        known = {
            field: _check_field(field, value)
            for field, value in values.items()
            if field in FIELDS and value is not None
        }
        return _settle(_over(name, known, preset), known, preset)
    except InvalidProvider as error:
        error.provider = name if isinstance(name, str) and len(name) <= 63 else None
        raise


def refuse_unknown(values: Mapping[str, Any]) -> None:
    """Refuse unknown fields.

    Raises:
        InvalidProvider: a field is unknown.
    """
    if unknown := sorted(set(values) - set(FIELDS)):
        raise InvalidProvider(
            f"a provider has no field {short(unknown[0])}",
            cause="field",
            hint=f"Fields are {', '.join(sorted(FIELDS))}.",
        )


def put_fields(document: TOMLDocument, name: str, values: Mapping[str, Any]) -> None:
    """Write fields into an entry; None removes a field, everything else is unchanged."""
    import tomlkit

    if "providers" not in document:
        document["providers"] = tomlkit.table(is_super_table=True)
    providers: Any = document["providers"]
    if name not in providers:
        providers[name] = tomlkit.table()
    entry = providers[name]
    for field, value in values.items():
        if value is None:
            entry.pop(field, None)
        elif entry.get(field) != (plain := _plain(value)):
            entry[field] = plain


def _plain(value: Any) -> Any:
    """The value of a field for TOML, which has no null."""
    if isinstance(value, ModelSettings):
        return _plain(value.as_dict())
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def drop_entry(document: TOMLDocument, name: str) -> None:
    """Remove an entry from the document."""
    providers: Any = document.get("providers", {})
    providers.pop(name, None)


def _check_field(field: str, value: Any) -> Any:
    try:
        return FIELDS[field](value)
    except InvalidProvider as error:
        if error.cause == "value":
            error.message = f"{field}: {error.message}"
        raise


def _over(name: str, known: Mapping[str, Any], preset: Provider | None) -> Provider:
    if preset is not None:
        return replace(preset, **{"source": "preset", "is_active": True, **known})
    return Provider(name=name, **{"display_name": name, **known})


def _settle(provider: Provider, known: Mapping[str, Any], preset: Provider | None) -> Provider:
    """Fill in derived fields: type, normalized URL, origin of the key."""
    if not provider.base_url and (preset is None or preset.base_url):
        raise InvalidProvider(
            "the base URL is missing",
            cause="empty",
            hint="Give one like https://api.example.com/v1.",
        )
    url = repair_base_url(provider.base_url).url if provider.base_url else ""
    kind = provider.type
    if "type" not in known and ("base_url" in known or preset is None):
        kind = settle_type(preset, url) if preset else detect_type(url)
    if url:
        refuse_website(url)
        url = check_base_url(complete_base_url(url, kind), provider.is_local).url
    _refuse_shown_secrets(provider)
    needs_key = provider.needs_key
    if preset is None and "needs_key" not in known:
        needs_key = not provider.is_local
    key_origin = provider.key_origin
    if "key_origin" not in known and (preset is None or not preset.base_url or "key_env" in known):
        key_origin = origin_of(url)
    return replace(
        provider,
        type=kind,
        base_url=url,
        needs_key=needs_key,
        key_origin=key_origin or None,
        is_active=provider.is_active and not provider.is_removed,
    )


def _refuse_shown_secrets(provider: Provider) -> None:
    for name, value in provider.headers.items():
        if is_secret(name, value):
            raise InvalidProvider(
                f"the header {name} contains a secret in plain text",
                cause="header",
                hint=f"Set it with `toolkit providers update {provider.name} --header {name}=-`: "
                "its value is then kept in the key store.",
            )
