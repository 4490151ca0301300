"""The providers that are known without being configured, and what the environment says of them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from toolkit.keys.dotenv_file import read_dotenv
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
    values["url_env"] = (*values.get("url_env", ()), f"PROVIDER_{upper}_URL")
    return Provider(
        name=name,
        source="preset",
        is_active=name == LOCAL,
        key_origin=origin_of(values["base_url"]) or None,
        **values,
    )


def find_base_url(preset: Provider) -> str | None:
    """The base URL that the process environment gives a preset, or None.

    `.env` is not asked: a file in a foreign folder must not lead a key elsewhere.
    """
    return next((url for name in preset.url_env if (url := os.environ.get(name, "").strip())), None)


def has_key(preset: Provider) -> bool:
    """Whether the environment or `.env` holds a key of this preset."""
    found = read_dotenv()
    return any(os.environ.get(name, "").strip() or found.get(name) for name in preset.key_env)
