"""`Provider`: one configured endpoint that serves models; the built-in presets are such, too."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from toolkit.display import Card, Shown
from toolkit.providers.base_url import looks_local, repair_base_url
from toolkit.settings import read_dotenv

ProviderType = str
"""An API style: one of `types.TYPES`."""

ProviderSource = Literal["preset", "custom", "environment", "discovered", "plugin"]

UNSAVED: Final = "new-provider"
"""Placeholder name of a provider that is tested before it has a name; hints must not use it."""

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Settings of one model that override those of its provider.

    Attributes:
        params: default parameters, over those of the provider.
        system_prompt: system prompt for conversations without one.
        prompt_template: template for user messages; contains `{text}`.
        max_input_tokens: maximum input tokens; 0 removes the provider's limit.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None
    prompt_template: str | None = None
    max_input_tokens: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The settings that are given, as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["params"] = dict(self.params)
        return {name: value for name, value in values.items() if value not in (None, {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Shown):
    """A configured endpoint that serves models.

    Attributes:
        name: unique, `[a-z0-9][a-z0-9-]{0,62}`; the part before the slash of `provider/model_id`.
        display_name: its display name.
        type: its API style.
        base_url: its address; "" if a preset cannot know it (Azure: your own resource).
        default_model: the model to use when none is given.
        headers: extra headers of every request. Secret values are read from the key store on access
            and never printed.
        params: default parameters of its calls, under OpenAI's names.
        system_prompt: system prompt for conversations without one.
        prompt_template: template for user messages; contains `{text}`.
        max_input_tokens: maximum input tokens; None or 0: no limit.
        model_settings: settings of single models, by model id.
        timeout_s: total deadline of a call, seconds; None: the setting.
        max_retries: maximum retries; None: the setting.
        retry_initial_s, retry_max_s, retry_factor: first and maximum wait before a retry, seconds,
            and the backoff factor; None: the setting.
        rpm, tpm: maximum requests and tokens per window; 0: no limit. rpm None: the
            setting `default_rpm` for cloud providers, no limit for local ones.
        rate_window_s: length of the window of `rpm` and `tpm`, seconds; None: the setting.
        auto_sync: whether its models are synced automatically.
        sync_interval_s: time between two automatic syncs, seconds; None: the setting.
        is_default: failover starts here.
        is_active: whether it is in use; a preset that is not set up is not.
        is_local: whether it runs on this machine or network; private addresses and http are then
            allowed.
        key_env: environment variables that may contain its key, in order of priority.
        key_origin: the origin to which keys of these variables may be sent; None: none until it is
            approved.
        key_url: where to get a key.
        needs_key: whether it requires a key.
        source: origin of its entry.
        secret_headers: names of headers with values in the key store.
        listing: the style of its model listing.
        listing_is_public: whether its listing needs no key, so that it cannot verify one.
        key_check_path: a free endpoint, relative to the base URL, that verifies the key.
        default_port: default port of a local server.
        hosts: host patterns of further addresses of the same service.
        url_example: example of the base URL if it differs per user.
        url_env: environment variables that may contain its base URL.
        tested_at: last successful test, UTC; None: untested.
        created_at, updated_at: of its entry, UTC; None for an untouched preset.
        deactivated_at: when it was removed (softly), UTC.
    """

    name: str
    display_name: str = ""
    type: ProviderType = "openai-compatible"
    base_url: str = ""
    default_model: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None
    prompt_template: str | None = None
    max_input_tokens: int | None = None
    model_settings: Mapping[str, ModelSettings] = field(default_factory=dict)
    timeout_s: float | None = None
    max_retries: int | None = None
    retry_initial_s: float | None = None
    retry_max_s: float | None = None
    retry_factor: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    rate_window_s: float | None = None
    auto_sync: bool = True
    sync_interval_s: float | None = None
    is_default: bool = False
    is_active: bool = True
    is_local: bool = False
    key_env: tuple[str, ...] = ()
    key_origin: str | None = None
    key_url: str | None = None
    needs_key: bool = True
    source: ProviderSource = "custom"
    secret_headers: tuple[str, ...] = ()
    listing: str = "openai"
    listing_is_public: bool = False
    key_check_path: str | None = None
    default_port: int | None = None
    hosts: tuple[str, ...] = ()
    url_example: str | None = None
    url_env: tuple[str, ...] = ()
    tested_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deactivated_at: datetime | None = None

    @property
    def origin(self) -> str:
        """`scheme://host:port` that its keys are bound to ("" without a base URL)."""
        return origin_of(self.base_url)

    @property
    def is_removed(self) -> bool:
        """Whether it was removed and can be restored."""
        return self.deactivated_at is not None

    @property
    def key_hint(self) -> str:
        """How to set its key: in the app, on the command line, or by its environment variable."""
        variable = f" or set {self.key_env[0]}" if self.key_env else ""
        where = f" Keys are made at {self.key_url}." if self.key_url else ""
        ways = f"Run `toolkit keys set {self.name}`{variable}, or use the page Providers & Keys."
        return ways + where

    def _card(self) -> Card:
        return Card(
            title=self.display_name or self.name,
            facts={
                "name": self.name,
                "type": self.type,
                "base URL": self.base_url,
                "default model": self.default_model,
                "local": self.is_local,
                "in use": self.is_active,
            },
        )

    def for_model(self, model_id: str) -> Provider:
        """The provider with the settings of one model applied."""
        own = self.model_settings.get(model_id)
        if own is None:
            return self
        values = {
            name: value
            for name in ("system_prompt", "prompt_template", "max_input_tokens")
            if (value := getattr(own, name)) is not None
        }
        return replace(self, params={**self.params, **own.params}, **values)

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values for `--json` and the HTTP API; no secret value."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["headers"] = public_headers(self.headers)
        values["params"] = dict(self.params)
        values["model_settings"] = {
            model: own.as_dict() for model, own in self.model_settings.items()
        }
        for name in ("key_env", "secret_headers", "url_env", "hosts"):
            values[name] = list(values[name])
        values["base_url"] = self.base_url or None
        values["origin"] = self.origin or None
        return values

    def as_row(self) -> dict[str, Any]:
        """The row of the table `providers`, its mirror for joins."""
        names = (
            "name display_name type base_url origin default_model source is_local is_default "
            "is_active needs_key auto_sync timeout_s max_retries rpm tpm params tested_at "
            "created_at updated_at deactivated_at"
        )
        return {name: getattr(self, name) for name in names.split()} | {"params": dict(self.params)}


@lru_cache(4096)
def origin_of(url: str) -> str:
    """`scheme://host:port` of a URL in lower case, the port always written; "" of none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return ""
    if not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def host_and_port(url: str) -> tuple[str, int] | None:
    """Host and port of a URL; None of none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers for display: secret values are replaced by `…`."""
    public = getattr(headers, "public", None)
    return dict(public() if callable(public) else headers)


LOCAL = "local"
"""Name of the built-in local provider."""


@cache
def presets() -> Mapping[str, Provider]:
    """All presets by name, in the order in which they are shown."""
    text = files("toolkit.providers").joinpath("presets.toml").read_text("utf-8")
    return MappingProxyType({name: _read(name, row) for name, row in tomllib.loads(text).items()})


def _read(name: str, row: Mapping[str, Any]) -> Provider:
    values = dict(row)
    upper = name.upper().replace("-", "_")
    values["key_env"] = (*values.get("key_env", ()), f"PROVIDER_{upper}_KEY")
    values["hosts"] = tuple(values.get("hosts", ()))
    values["url_env"] = (*values.get("url_env", ()), f"PROVIDER_{upper}_URL")
    return Provider(
        name=name,
        source="preset",
        is_active=name == LOCAL,
        key_origin=origin_of(values["base_url"]) or None,
        **values,
    )


def find_base_url(preset: Provider) -> str | None:
    """The base URL that the environment, or else `.env`, gives a preset; None without one."""
    return next(
        (
            url
            for place in (os.environ, read_dotenv())
            for name in preset.url_env
            if (url := place.get(name, "").strip())
        ),
        None,
    )


def find_address(preset: Provider) -> dict[str, Any]:
    """What the environment or `.env` says of a preset's address, as fields of an entry.

    A key goes to the address that came from the same place: the `.env` of a foreign folder must
    not lead a key of the process environment elsewhere. Where the environment holds a key and
    `.env` another address, `key_origin` is therefore empty until a person confirms it.
    """
    url = find_base_url(preset)
    if url is None:
        return {}
    is_from_dotenv = not any(os.environ.get(name, "").strip() for name in preset.url_env)
    has_other_key = any(os.environ.get(name, "").strip() for name in preset.key_env)
    found: dict[str, Any] = {"base_url": url, "key_env": preset.key_env}
    found["is_local"] = looks_local(repair_base_url(url).url)
    if is_from_dotenv and has_other_key and not _is_own_address(preset, url):
        found["key_origin"] = ""
    return found


def has_key(preset: Provider) -> bool:
    """Whether the environment or `.env` holds a key of this preset."""
    found = read_dotenv()
    return any(os.environ.get(name, "").strip() or found.get(name) for name in preset.key_env)


def _is_own_address(preset: Provider, url: str) -> bool:
    return origin_of(repair_base_url(url).url) == preset.key_origin
