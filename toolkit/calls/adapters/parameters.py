"""Which parameters of a request reach the provider, and what becomes of those that do not.

A provider that speaks OpenAI's language gets every parameter as it is and says itself what it
does not take. For the others litellm translates, and leaves some out in silence; so the request
that is about to leave is searched for a trace of each. What left none is an error, or is dropped
with a note on the reply: `on_unsupported` of the request decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from toolkit.calls.parsers.parsed_response import Style
from toolkit.errors import InvalidRequest
from toolkit.records import ChatRequest

_MAX = ("max_tokens", "maxOutputTokens", "max_output_tokens")
# Where a parameter goes by another name: any of these names shows that it was sent.
_SENT_AS: Final[Mapping[Style, Mapping[str, tuple[str, ...]]]] = {
    "openai": {},
    "anthropic": {
        "max_tokens": _MAX,
        "max_completion_tokens": _MAX,
        "stop": ("stop_sequences",),
        "parallel_tool_calls": ("disable_parallel_tool_use",),
        "user": ("user_id",),
        "response_format": ("output_format", "output_config", "json_tool_call"),
        "reasoning_effort": ("thinking", "output_config"),
        "web_search_options": ("web_search",),
    },
    "gemini": {
        "max_tokens": _MAX,
        "max_completion_tokens": _MAX,
        "stop": ("stop_sequences", "stopSequences"),
        "n": ("candidate_count", "candidateCount"),
        "logprobs": ("responseLogprobs", "response_logprobs"),
        "top_logprobs": ("logprobs",),
        "tool_choice": ("toolConfig", "tool_config"),
        "response_format": ("response_mime_type", "responseMimeType"),
        "reasoning_effort": ("thinkingConfig",),
        "thinking": ("thinkingConfig",),
        "modalities": ("responseModalities",),
        "web_search_options": ("googleSearch",),
        "dimensions": ("outputDimensionality",),
    },
}
# Not parameters of a model, or what every provider does unless told otherwise.
_NO_TRACE: Final = frozenset(
    {"allowed_openai_params", "drop_params", "extra_body", "extra_headers", "stream_options"}
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "n": 1,
    "parallel_tool_calls": True,
    "logprobs": False,
    "service_tier": "auto",
    "encoding_format": "float",
}
_CONVERSATION: Final = ("messages", "contents", "system", "systemInstruction", "system_instruction")
_REFUSAL: Final = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra inputs"
    r"|not (?:permitted|allowed)",
    re.I,
)


def with_defaults(request: ChatRequest, defaults: Mapping[str, Any]) -> ChatRequest:
    """The request with a provider's default parameters below its own."""
    if not defaults or request.operation != "chat":  # they are those of a conversation
        return request
    return replace(request, params={**defaults, **request.params})


def without(request: ChatRequest, names: Collection[str]) -> ChatRequest:
    """The request without some parameters."""
    params = {name: value for name, value in request.params.items() if name not in names}
    return replace(request, params=params)


def may_drop(request: ChatRequest) -> bool:
    """Whether the user lets parameters be dropped."""
    return request.on_unsupported == "drop" or bool(request.params.get("drop_params"))


def find_unsent(style: Style, params: Mapping[str, Any], body: bytes) -> list[str]:
    """Parameters that left no trace in the request that is about to leave.

    Args:
        style: the API style of the provider.
        params: what was asked for, in OpenAI's names.
        body: the request's JSON body.
    """
    asked = [
        name
        for name, value in params.items()
        if name not in _NO_TRACE and value not in (None, [], _DEFAULTS.get(name))
    ]
    if not asked or style == "openai":
        return []
    seen = set(_words({k: v for k, v in orjson.loads(body).items() if k not in _CONVERSATION}))
    sent_as = _SENT_AS[style]
    return sorted(
        name for name in asked if seen.isdisjoint(sent_as.get(name, (name, _camel(name))))
    )


def find_refused(request: ChatRequest, error: InvalidRequest) -> list[str]:
    """Parameters that a provider says it does not take, where the user lets them be dropped."""
    words = error.provider_message or ""
    if not may_drop(request) or error.status not in (400, 422) or not _REFUSAL.search(words):
        return []
    named = set(re.findall(r"\w+", words))
    return sorted(named & (request.params.keys() - _NO_TRACE))


def _words(value: Any) -> Iterator[str]:
    """Every key of an object, and every name and type in it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            if key in ("name", "type") and isinstance(inner, str):
                yield inner
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
