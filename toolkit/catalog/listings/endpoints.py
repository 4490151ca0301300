"""Where each type of provider lists its models, and with which headers and page size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from toolkit.calls.adapters import WITHOUT_OPENAI_PATHS
from toolkit.calls.adapters.request import api_style
from toolkit.secret import Secret

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

ANTHROPIC_VERSION: Final = "2023-06-01"
VERTEX: Final = ("vertex_ai", "vertex_ai_beta")
_AZURE_VERSION: Final = "2024-10-21"
_WATSONX_VERSION: Final = "2024-09-16"
_PAGE_SIZE: Final = "1000"
_SMALL_PAGE_SIZE: Final = "200"
# Google's own models, those of every project; IBM's models, listed for everybody.
_PATHS: Final[Mapping[str, str]] = {
    **dict.fromkeys(VERTEX, "/v1beta1/publishers/google/models"),
    "watsonx": "/ml/v1/foundation_model_specs",
}
OWN_LISTINGS: Final = frozenset(
    (*_PATHS, "anthropic", "anthropic-compatible", "gemini", "ollama", "azure")
)
"""Types whose listing has a form and an address of its own."""
_VERSIONED: Final = re.compile(r"/v\d+(?:beta\d*|alpha\d*)?(?:/|$)")


def has_listing(provider_type: str) -> bool:
    """Return whether providers of a type list their models where they are called."""
    if provider_type in OWN_LISTINGS:
        return True
    style = api_style(provider_type)
    return provider_type not in WITHOUT_OPENAI_PATHS and style in ("openai", "responses", "cohere")


def listing_addresses(provider: Provider) -> tuple[str, ...]:
    """Return the URLs to query, best first; the next one is for when there is no listing."""
    base = provider.base_url.split("?")[0].rstrip("/")
    if provider.type.startswith("anthropic"):
        return (f"{base.removesuffix('/v1')}/v1/models",)
    if provider.type == "gemini":
        base = base.removesuffix("/openai")
        return (f"{base}/models" if _VERSIONED.search(base) else f"{base}/v1beta/models",)
    if provider.type == "ollama":
        root = re.sub(r"/(?:v1|api)$", "", base)
        return f"{root}/api/tags", f"{root}/v1/models"
    if provider.type == "azure":
        root = base.partition("/openai")[0]
        return f"{root}/openai/v1/models", f"{root}/openai/models?api-version={_AZURE_VERSION}"
    if provider.type in _PATHS:
        return (_origin(base) + _PATHS[provider.type],)
    return _openai_addresses(base, provider.listing)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _openai_addresses(base: str, listing: str) -> tuple[str, ...]:
    url = urlsplit(base)
    origin = f"{url.scheme}://{url.netloc}"
    host = url.hostname or ""
    if host == "models.github.ai":
        return (f"{origin}/catalog/models",)
    if re.fullmatch(r"api\.cohere\.(?:ai|com)", host):
        return (f"{origin}/v1/models",)
    plain: tuple[str, ...] = (f"{base}/models",)
    if not _VERSIONED.search(url.path):
        plain = (*plain, f"{base}/v1/models")
    if listing == "lm-studio":  # its own listing has more details than the OpenAI one
        return (f"{origin}/api/v0/models", *plain)
    return plain


def listing_params(provider: Provider, url: str) -> Mapping[str, str]:
    """The query of the first page: as large a page as the provider gives."""
    if provider.type.startswith("anthropic"):
        return {"limit": _PAGE_SIZE}
    if provider.type == "gemini":
        return {"pageSize": _PAGE_SIZE}
    if provider.type in VERTEX:
        return {"pageSize": _SMALL_PAGE_SIZE}
    if provider.type == "watsonx":
        return {"version": _WATSONX_VERSION, "limit": _SMALL_PAGE_SIZE}
    return {"page_size": _PAGE_SIZE} if "api.cohere." in url else {}


def listing_headers(provider: Provider, key: Secret | None) -> dict[str, str]:
    """The provider's own headers and the key where its type wants it."""
    headers = {"Accept": "application/json", **{k: str(v) for k, v in provider.headers.items()}}
    if provider.type.startswith("anthropic"):
        headers.setdefault("anthropic-version", ANTHROPIC_VERSION)
    if provider.type in VERTEX and (project := _find_project(provider)):
        headers.setdefault("x-goog-user-project", project)
    # The listing of watsonx is public, and its keys must first be exchanged for a token.
    if key and provider.type != "watsonx":
        name, prefix = _KEY_HEADERS.get(provider.type, ("Authorization", "Bearer "))
        headers[name] = prefix + key.reveal()
    return headers


def _find_project(provider: Provider) -> str | None:
    """The Google project that a request counts against."""
    stated = provider.params.get("vertex_project")
    found = re.search(r"/projects/([^/]+)", provider.base_url)
    return str(stated) if stated else found.group(1) if found else None


_KEY_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "anthropic": ("x-api-key", ""),
    "anthropic-compatible": ("x-api-key", ""),
    "gemini": ("x-goog-api-key", ""),
    "azure": ("api-key", ""),
}
