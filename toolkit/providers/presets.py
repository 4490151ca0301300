"""The built-in presets, and their settings from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from toolkit.keys.dotenv_file import read_dotenv
from toolkit.providers.base_url import looks_local, repair_base_url
from toolkit.providers.provider import Provider, origin_of

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
