"""What an adapter is given, the HTTP request that it returns, and the writer of OpenAI's API.

`api_style` is the one place that decides which API a provider type uses, and with it how its
answers are read; a parser for a new style is registered in `parsers.stream_parser.choose_reader`
under its name here.

OpenAI-compatible servers get messages and parameters as they are: the provider knows what it
takes, a library does not. litellm's class for them would add nothing but the address and two
headers (`tests/calls/test_adapters.py` holds this writer to it), and drops, renames or doubles
some parameters; writing the request here takes 0.02 ms and does not load litellm at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import orjson

from toolkit.calls.parsers.parsed_response import ResponseParser
from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.records import Message, Operation
from toolkit.secret import Secret
from toolkit.version import __version__

RESPONSES_PREFIX: Final = "responses/"
"""Before a model id it requests the Responses API, as in litellm."""

# Types whose messages and parameters are sent as they are, to `/chat/completions`. litellm's own
# classes for Groq, Mistral and others rename or drop parameters, so a preset uses the plain type.
_PLAIN_TYPES: Final = frozenset(
    (
        *("openai", "openai-compatible", "ollama", "azure", "custom"),
        # These have no configuration class in litellm; they are OpenAI-compatible servers.
        *("aiml", "anyscale", "custom_openai", "lemonade", "openai_like", "xinference"),
    )
)
_RESPONSES_TYPES: Final = frozenset({"openai", "azure"})

# Models that exist only on the Responses API (platform.openai.com/docs/models, 2026-11).
_RESPONSES_ONLY: Final = re.compile(
    r"^(?:o1-pro|o3-pro|gpt-5(?:\.\d+)?-pro|(?:gpt-5(?:\.\d+)?-)?codex(?!.*-chat)|"
    r"gpt-5(?:\.\d+)?-codex|codex-mini|o[34](?:-mini)?-deep-research|computer-use-preview)"
)

_STYLES: Final[Mapping[str, ApiStyle]] = {
    "anthropic": "anthropic",
    "anthropic-compatible": "anthropic",
    "bedrock": "converse",
    "bedrock_converse": "converse",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "gemini": "gemini",
    "ollama_chat": "ollama",
    "vertex_ai": "gemini",
    "vertex_ai_beta": "gemini",
}

# Types whose answers have a form of their own, which only litellm reads.
_READ_BY_LITELLM: Final = frozenset(
    (
        *("a2a", "amazon_nova", "anthropic_text", "azure_text", "bytez", "fal_ai"),
        *("gigachat", "langflow", "langgraph", "nlp_cloud", "oci", "oobabooga", "petals"),
        *("predibase", "replicate", "sagemaker", "sap", "text-completion-codestral"),
        *("text-completion-inception", "text-completion-openai", "triton"),
    )
)


def api_style(provider_type: str, model_id: str = "") -> ApiStyle:
    """Return the API style in which a provider type serves a model.

    Args:
        provider_type: one of ours, or a chat provider name of litellm.
        model_id: the provider's own name of the model.
    """
    if provider_type in _PLAIN_TYPES:
        is_responses = provider_type in _RESPONSES_TYPES and needs_responses_api(model_id)
        return "responses" if is_responses else "openai"
    if provider_type in ("vertex_ai", "vertex_ai_beta", "azure_ai"):
        return _style_on_cloud(provider_type, model_id)
    if provider_type in _STYLES:
        return _STYLES[provider_type]
    return "litellm" if provider_type in _READ_BY_LITELLM else "openai"


def is_plain(provider_type: str) -> bool:
    """Return whether messages and parameters go to this type as they are."""
    return provider_type in _PLAIN_TYPES


def needs_responses_api(model_id: str) -> bool:
    """Return whether a model of OpenAI is served by the Responses API only."""
    if model_id.startswith(RESPONSES_PREFIX):
        return True
    return _RESPONSES_ONLY.match(model_id.rpartition("/")[2]) is not None


def _style_on_cloud(provider_type: str, model_id: str) -> ApiStyle:
    """Return the style of a cloud that serves models of several makers in their own APIs."""
    if "claude" in model_id:
        return "anthropic"
    if provider_type == "azure_ai":
        return "openai"
    is_google = "gemini" in model_id or model_id.isdigit() or "gemma" not in model_id
    return "gemini" if is_google and "/" not in model_id else "openai"


NO_KEY: Final = "none"
"""Stands for a key where litellm's classes insist on one; never sent."""

_KEY_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

# Parameters that would send the request somewhere else, or nowhere, or more than once.
_RESERVED: Final = frozenset(
    (
        *("api_base", "api_key", "base_url", "cache", "caching", "client"),
        *("custom_llm_provider", "fallbacks", "litellm_call_id", "max_retries", "messages"),
        *("mock_delay", "mock_response", "mock_timeout", "mock_tool_calls", "model"),
        *("model_list", "num_retries", "organization", "stream", "timeout"),
    )
)


class RequestNotBuilt(Exception):
    """The request could not be written; nothing was sent. `reason` says why."""

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


class ContentNotTaken(ValueError):
    """A picture, recording, video, file or tool that the provider's API has no place for."""

    def __init__(self, what: str) -> None:
        super().__init__(f"its API does not take {what} here")


class NoEmbeddings(ValueError):
    """The provider's API has no embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """What one attempt sends, before it is written in the provider's API.

    Attributes:
        type, base_url, headers: of the provider.
        key: the key in use, or None where the provider needs none.
        model_id: the provider's own name of the model.
        messages, params, stream: as in `ChatRequest`.
        wants_usage: request usage at the end of a stream.
        operation, inputs: as in `ChatRequest`.
    """

    type: str
    base_url: str
    model_id: str
    messages: Sequence[Message]
    params: Mapping[str, Any]
    stream: bool
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    operation: Operation = "chat"
    inputs: Sequence[str] = ()
    wants_usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as it goes out; the headers hold the key, so they have no repr.

    Attributes:
        url, headers, body: ready to send; header names in lower case.
        style: how the answer is to be read.
        left_out: parameters that were given and are not in the request.
        added: what is in the request and was not given, as `(name, value)`.
        changed: numbers that are sent with another value, as `(name, "1 instead of 0")`.
        make_parser: makes the parser of the answer, where the style has none of ours.
        method: the HTTP method.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    style: ApiStyle = "openai"
    left_out: tuple[str, ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    changed: tuple[tuple[str, str], ...] = ()
    make_parser: Callable[[], ResponseParser] | None = field(default=None, repr=False)
    method: str = "POST"


def require_model_params(params: Mapping[str, Any]) -> None:
    """Refuse parameters that are not a model's.

    Raises:
        RequestNotBuilt: there are some.
    """
    if taken := _RESERVED & params.keys():
        raise RequestNotBuilt(ValueError(f"not a model parameter: {sorted(taken)}"))


_AS_IT_IS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The body as JSON.

    Raises:
        RequestNotBuilt: something in it cannot be written as JSON: NaN, an object, half of a
            surrogate pair.
    """
    # orjson is five times as fast (10 MB: 11 ms, and 55 ms that block the event loop), but writes
    # NaN as null without a word, and refuses what has a form in JSON, such as large numbers.
    # The standard library's encoder decides both cases and knows why.
    with suppress(TypeError, ValueError, RecursionError):
        encoded = orjson.dumps(body, option=_AS_IT_IS)
        if b"null" not in encoded:
            return encoded
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except UnicodeEncodeError:
        reason = "a string contains an unpaired surrogate, which JSON cannot represent"
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"the request cannot be written as JSON: {error}"
    raise RequestNotBuilt(ValueError(reason))


def merge_headers(*sources: Mapping[str, Any] | None) -> dict[str, str]:
    """Headers from several sources, the last one wins; names in lower case."""
    return {
        str(name).lower(): str(value)
        for source in sources
        if source
        for name, value in source.items()
        if value is not None
    }


def without_placeholder_key(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without the ones that hold `NO_KEY`."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _KEY_HEADERS or value.removeprefix("Bearer ") != NO_KEY
    }


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
