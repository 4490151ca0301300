"""Requests for OpenAI's chat completions and embeddings, and for every server that speaks them.

Messages and parameters go as they are: the provider knows what it takes, a library does not.
litellm's class for such servers would add nothing but the address and two headers
(`tests/calls/test_adapters.py` holds this writer to it), and drops, renames or doubles some
parameters; writing the request here takes 0.02 ms and does not load litellm at all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from toolkit.calls.adapters.request import (
    HttpRequest,
    OutgoingRequest,
    encode_body,
    merge_headers,
    require_model_params,
)
from toolkit.version import __version__

USER_AGENT: Final = f"llm-provider-toolkit/{__version__}"
_JSON: Final = {
    "accept": "application/json",
    "content-type": "application/json",
    "user-agent": USER_AGENT,
}
# Options of litellm and of this library that are not fields of the body.
_NOT_IN_BODY: Final = frozenset(
    {"allowed_openai_params", "drop_params", "extra_body", "extra_headers", "stream_options"}
)


def write_chat(request: OutgoingRequest) -> HttpRequest:
    """Write a chat completion request.

    Raises:
        RequestNotBuilt: a parameter is not a model's, or something is not JSON.
    """
    params = request.params
    require_model_params(params)
    body: dict[str, Any] = {"model": request.model_id, "messages": request.messages}
    for name, value in params.items():
        if name not in _NOT_IN_BODY:
            body[name] = value
    if request.stream:
        body["stream"] = True
        if request.wants_usage:
            body["stream_options"] = {
                "include_usage": True,
                **(params.get("stream_options") or {}),
            }
    if extra := params.get("extra_body"):
        # A field given by name and in `extra_body`: the name wins, as it always did here.
        body = {**extra, **body}
    return HttpRequest(
        url=endpoint(request.type, request.base_url, "/chat/completions"),
        headers=request_headers(request),
        body=encode_body(body),
    )


def write_embeddings(request: OutgoingRequest) -> HttpRequest:
    """Write an embeddings request; parameters go as they are.

    Raises:
        RequestNotBuilt: a parameter is not a model's, or something is not JSON.
    """
    params = request.params
    require_model_params(params)
    body: dict[str, Any] = {
        **(params.get("extra_body") or {}),
        "model": request.model_id,
        "input": list(request.inputs),
        "encoding_format": "float",
    }
    body |= {name: value for name, value in params.items() if name not in _NOT_IN_BODY}
    return HttpRequest(
        url=endpoint(request.type, request.base_url, "/embeddings"),
        headers=request_headers(request),
        body=encode_body(body),
    )


def request_headers(request: OutgoingRequest) -> dict[str, str]:
    """Return the headers of a request to an OpenAI-compatible server."""
    headers = dict(_JSON)
    if request.key is not None:
        key = request.key.reveal()
        headers["authorization"] = f"Bearer {key}"
        # Azure takes a key in a header of its own; an access token of Entra ID is a JWT.
        if request.type == "azure" and not key.startswith("eyJ"):
            headers["api-key"] = key
    extra = request.params.get("extra_headers")
    if request.headers or extra:
        return merge_headers(headers, request.headers, extra)
    return headers


@lru_cache(1024)
def endpoint(provider_type: str, base_url: str, path: str) -> str:
    """Return the address of one endpoint below a provider's base URL.

    A query of the base URL (Azure's `api-version`) stays at the end. Where only the host is
    given, Azure's and Ollama's usual path is added.
    """
    parts = urlsplit(base_url)
    base = parts.path.rstrip("/")
    if not base:
        base = {"azure": "/openai/v1", "ollama": "/v1"}.get(provider_type, "")
    return urlunsplit((parts.scheme, parts.netloc, base + path, parts.query, ""))
