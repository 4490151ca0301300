"""How a request is worded for litellm: routes, arguments, and what is refused before.

A parameter that would send the request elsewhere, a picture that would be fetched here: such a
request is not built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import httpx

from toolkit.calls.adapters.attachments import find_fetched
from toolkit.calls.parsers.parsed_response import Style
from toolkit.records import Message, Operation
from toolkit.secret import Secret

LITELLM_TIMEOUT_S: Final = 86_400.0  # our own deadlines rule
NO_KEY: Final = "none"

_ELSEWHERE: Final = ({"role": "user", "content": "The messages stand in `extra_body`."},)
_NOT_IN_BODY: Final = frozenset({"drop_params", "extra_body", "extra_headers", "stream_options"})

# What would send the request somewhere else, or nowhere, or more than once.
_RESERVED: Final = frozenset(
    (
        *("api_base", "api_key", "api_version", "base_url", "cache", "caching", "client"),
        *("custom_llm_provider", "fallbacks", "litellm_call_id", "max_retries", "messages"),
        *("mock_delay", "mock_response", "mock_timeout", "mock_tool_calls", "model"),
        *("model_list", "num_retries", "organization", "stream", "timeout"),
    )
)

# How each type of provider is asked, and in which style it answers. The plain path is used for
# everything that speaks OpenAI's language: litellm's own paths for Groq, Mistral and the others
# lose answers and retry in secret.
_ROUTES: Final[Mapping[str, tuple[str, Style]]] = {
    "openai": ("openai", "openai"),
    "openai-compatible": ("custom_openai", "openai"),
    "ollama": ("custom_openai", "openai"),
    "azure": ("custom_openai", "openai"),
    "custom": ("custom_openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "anthropic-compatible": ("anthropic", "anthropic"),
    "gemini": ("gemini", "gemini"),
}


class RequestNotBuilt(Exception):
    """litellm refused to write the request; nothing was sent. `reason` is its own error."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class UnsupportedParams(ValueError):
    """Parameters that do not reach this provider."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"it does not take {', '.join(f'`{name}`' for name in names)}")


class FetchedHere(ValueError):
    """A picture or file that would have to be fetched from the web first."""

    def __init__(self, address: str) -> None:
        super().__init__(f"its API does not take the address {address[:200]}")


class NoEmbeddings(ValueError):
    """A provider whose API has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One attempt's request, in the house's words.

    Attributes:
        call_id: becomes litellm's call id, so that callbacks can tell our calls from others.
        type, base_url, headers, is_local: of the provider.
        key: the key, or None where the provider needs none.
        model_id: the provider's own name of the model.
        wants_usage: ask for usage at the end of a stream.
        may_drop: parameters that the provider does not take may be left out.
        operation, inputs: of the request.
    """

    call_id: str
    type: str
    base_url: str
    model_id: str
    messages: Sequence[Message]
    params: Mapping[str, Any]
    stream: bool
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_local: bool = False
    operation: Operation = "chat"
    inputs: Sequence[str] = ()
    wants_usage: bool = True
    may_drop: bool = False


def route_of(provider_type: str) -> tuple[str, Style]:
    """litellm's route for a type of provider, and the API style in which it answers."""
    return _ROUTES.get(provider_type, _ROUTES["custom"])


def style_of(provider_type: str) -> Style:
    """The API style in which a type of provider answers."""
    return route_of(provider_type)[1]


def passes_on(provider_type: str) -> bool:
    """Whether messages and parameters go to a type of provider as they are."""
    return route_of(provider_type)[0] == "custom_openai"


def word_chat(ask: Ask, client: Any) -> dict[str, Any]:
    """What litellm is to be told to ask for a chat's answer.

    Raises:
        RequestNotBuilt: it holds what is no parameter of a model, or what would be fetched here.
    """
    route, style = route_of(ask.type)
    params = dict(ask.params)
    _require_parameters(params)
    if address := find_fetched(style, ask.messages):
        raise RequestNotBuilt(FetchedHere(address))
    arguments: dict[str, Any] = {
        **params,
        "messages": list(_ELSEWHERE if passes_on(ask.type) else ask.messages),
        "model": f"{route}/{ask.model_id}",
        "api_base": base_url_of(ask),
        "api_key": ask.key.reveal() if ask.key else NO_KEY,
        "client": client,
        "timeout": LITELLM_TIMEOUT_S,
        "max_retries": 0,
        "litellm_call_id": ask.call_id,
    }
    if ask.headers:
        arguments["extra_headers"] = {**ask.headers, **(params.get("extra_headers") or {})}
    arguments["_skip_mcp_handler"] = True  # it wants a package that nobody needs for tools
    if passes_on(ask.type):
        _pass_on(arguments, ask)
    else:
        _let_through(arguments, style)
    if ask.stream:
        arguments["stream"] = True
        if style == "openai" and ask.wants_usage:
            options = params.get("stream_options") or {}
            arguments["stream_options"] = {"include_usage": True, **options}
    return arguments


def word_embedding(ask: Ask, client: Any) -> dict[str, Any]:
    """What litellm is to be told to ask for vectors; parameters go as they are.

    Raises:
        RequestNotBuilt: it holds what is no parameter of a model.
    """
    _require_parameters(ask.params)
    params = {name: value for name, value in ask.params.items() if name not in _NOT_IN_BODY}
    return {
        "model": f"openai/{ask.model_id}",
        "input": list(ask.inputs),
        "encoding_format": params.pop("encoding_format", "float"),
        "extra_body": params,
        "extra_headers": dict(ask.headers),
        "api_base": base_url_of(ask),
        "api_key": ask.key.reveal() if ask.key else NO_KEY,
        "client": client,
        "timeout": LITELLM_TIMEOUT_S,
        "max_retries": 0,
        "litellm_call_id": ask.call_id,
    }


def word_google_embedding(ask: Ask) -> dict[str, Any]:
    """The HTTP request for vectors in Google's language.

    litellm would use connections of its own here, past every guard, and fetch what a text that
    looks like a file's name points to; so only its HTTP client is used.

    Raises:
        RequestNotBuilt: it holds what is no parameter of a model.
    """
    _require_parameters(ask.params)
    names = {"dimensions": "outputDimensionality", "task_type": "taskType"}
    asked = {names[name]: value for name, value in ask.params.items() if name in names}
    model = f"models/{ask.model_id}"
    requests = [
        {"model": model, "content": {"parts": [{"text": text}]}, **asked} for text in ask.inputs
    ]
    headers = {"content-type": "application/json", **ask.headers}
    if ask.key:
        headers["x-goog-api-key"] = ask.key.reveal()
    return {
        "url": f"{ask.base_url.rstrip('/')}/{model}:batchEmbedContents",
        "headers": headers,
        "json": {"requests": requests},
    }


def _require_parameters(params: Mapping[str, Any]) -> None:
    if taken := _RESERVED & params.keys():
        raise RequestNotBuilt(ValueError(f"not a parameter of a model: {sorted(taken)}"))


def _let_through(arguments: dict[str, Any], style: Style) -> None:
    """Have litellm leave out what it does not know instead of refusing it: the transport looks
    at what is really sent, and the user decides.
    """
    arguments["drop_params"] = True
    if style == "gemini" and arguments.get("service_tier") == "auto":
        del arguments["service_tier"]  # litellm would make the dear `priority` of it
    if style == "anthropic":
        arguments |= arguments.pop("extra_body", None) or {}
        if "thinking" in arguments:  # models that litellm does not know think, too
            arguments["allowed_openai_params"] = ["thinking"]


def _pass_on(arguments: dict[str, Any], ask: Ask) -> None:
    """Send messages and parameters as they are: the provider knows what it takes, no library.

    Given by name, some parameters would be dropped in silence and others renamed or doubled,
    developer messages would become system messages, and marks for the cache would be lost.
    """
    params = ask.params
    body = {name: arguments.pop(name) for name in params if name not in _NOT_IN_BODY}
    body["messages"] = list(ask.messages)
    arguments["extra_body"] = {**(params.get("extra_body") or {}), **body}
    arguments.pop("drop_params", None)


def base_url_of(ask: Ask) -> str:
    """The base URL as the client library wants it."""
    return _base_url_for(ask.type, ask.base_url.rstrip("/"))


@lru_cache(1024)
def _base_url_for(provider_type: str, base_url: str) -> str:
    has_path = bool(httpx.URL(base_url).path.strip("/"))
    if style_of(provider_type) == "anthropic":  # litellm adds the version to the path by itself
        return base_url.removesuffix("/v1")
    if provider_type == "azure" and not has_path:
        return f"{base_url}/openai/v1"
    return f"{base_url}/v1" if provider_type == "ollama" and not has_path else base_url
