"""What an adapter is given, and the HTTP request that it returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolkit.calls.adapters.styles import ApiStyle
from toolkit.calls.parsers.parsed_response import ResponseParser
from toolkit.records import Message, Operation
from toolkit.secret import Secret

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


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The body as JSON.

    Raises:
        RequestNotBuilt: something in it cannot be written as JSON: NaN, an object, half of a
            surrogate pair. The standard library's encoder is used because orjson writes NaN as
            null without a word.
    """
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
