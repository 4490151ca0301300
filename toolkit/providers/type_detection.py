"""From a base URL to the type of provider behind it, and the form its type wants the URL in."""

from __future__ import annotations

from typing import Final, get_args
from urllib.parse import urlsplit

from toolkit.providers.presets import presets
from toolkit.providers.provider import Provider, ProviderType

TYPES: Final[tuple[ProviderType, ...]] = get_args(ProviderType)

_AZURE_SUFFIXES: Final = (
    ".openai.azure.com",
    ".services.ai.azure.com",
    ".cognitiveservices.azure.com",
)


def detect_type(url: str) -> ProviderType:
    """The type that a base URL suggests; `openai-compatible` where nothing tells more."""
    host, port, path = _parts(url)
    if host.endswith(_AZURE_SUFFIXES):
        return "azure"
    segments = path.lower().split("/")
    preset = find_preset(url)
    if "anthropic" in segments:
        return "anthropic-compatible"
    if preset is not None and preset.type == "gemini" and "openai" in segments:
        return "openai-compatible"
    if preset is not None:
        return preset.type
    return "ollama" if port == 11434 else "openai-compatible"


def find_preset(url: str) -> Provider | None:
    """The preset whose host serves this URL (for a local one: whose default port it is)."""
    host, port, _ = _parts(url)
    for preset in presets().values():
        preset_host, _, _ = _parts(preset.base_url)
        if preset.is_local:
            if _is_this_machine(host) and port == preset.default_port:
                return preset
        elif host and host == preset_host:
            return preset
    return presets()["azure"] if host.endswith(_AZURE_SUFFIXES) else None


def complete_base_url(url: str, kind: ProviderType) -> str:
    """Add the path that a type's API has where only the host was given.

    `http://127.0.0.1:11434` of Ollama becomes `.../v1`, an Azure resource `.../openai/v1`.
    """
    _, _, path = _parts(url)
    if path.strip("/"):
        return url.rstrip("/")
    ending = {"ollama": "/v1", "azure": "/openai/v1"}.get(kind, "")
    return url.rstrip("/") + ending


def _parts(url: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port, parts.path
    except ValueError:
        return "", None, ""


def _is_this_machine(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
