"""What was given and what is sent: the differences of a translated request, in both directions.

litellm leaves out parameters that it does not know, and adds some of its own (a temperature for
Gemini, a sentence in place of an empty assistant turn). Neither is an error to litellm. Here the
body that is about to leave is compared with what was given; the caller decides about what is
missing (`on_unsupported`), and every addition is named on the reply and in the row. What a provider
itself refuses is found in its error message (`find_refused`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from toolkit.calls.parsers.parsed_response import Style as ApiStyle
from toolkit.errors import InvalidRequest
from toolkit.records import ChatRequest, Message

_REFUSAL: Final = re.compile(
    r"unsupported|not support|unrecognized|unknown|unexpected|extra inputs"
    r"|not (?:permitted|allowed)",
    re.I,
)
_MAX: Final = ("max_tokens", "maxOutputTokens", "max_output_tokens", "maxTokens", "num_predict")
_GENERAL: Final[Mapping[str, tuple[str, ...]]] = {
    "max_tokens": (*_MAX, "max_completion_tokens", "max_new_tokens", "maximum_tokens"),
    "max_completion_tokens": (*_MAX, "max_completion_tokens", "max_new_tokens"),
    "stop": ("stop", "stop_sequences", "stopSequences"),
    "tool_choice": (
        *("tool_choice", "toolChoice", "toolConfig", "tool_config", "tool_choice_option"),
        "function_call",
    ),
    "tools": ("tools", "toolConfig", "functions"),
    "top_p": ("top_p", "topP", "p"),
    "top_k": ("top_k", "topK", "k"),
    "response_format": ("response_format", "format", "json_tool_call", "outputConfig", "text"),
    "reasoning_effort": ("reasoning_effort", "thinking", "reasoning", "think", "output_config"),
    "seed": ("seed", "random_seed"),
    "user": ("user", "user_id"),
    "functions": ("functions", "tools"),
    "function_call": ("function_call", "tool_choice"),
}
# Names under which a parameter is sent in a style, where `_GENERAL` does not say it.
_SENT_AS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "anthropic": {
        "parallel_tool_calls": ("disable_parallel_tool_use",),
        "response_format": ("output_format", "output_config", "json_tool_call"),
        "reasoning_effort": ("thinking", "output_config"),
        "web_search_options": ("web_search",),
    },
    "gemini": {
        "n": ("candidate_count", "candidateCount"),
        "logprobs": ("responseLogprobs", "response_logprobs"),
        "top_logprobs": ("logprobs",),
        "response_format": ("response_mime_type", "responseMimeType"),
        "reasoning_effort": ("thinkingConfig",),
        "thinking": ("thinkingConfig",),
        "modalities": ("responseModalities",),
        "web_search_options": ("googleSearch",),
        "dimensions": ("outputDimensionality",),
    },
}
# Parameters whose value means the same in every API that takes them.
_NUMBERS: Final = frozenset(
    (
        *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "seed", "n"),
        *("frequency_penalty", "presence_penalty"),
    )
)
# Not parameters of a model, or the default of every provider.
NOT_SENT: Final = frozenset(
    {"allowed_openai_params", "drop_params", "extra_body", "extra_headers", "stream_options"}
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "n": 1,
    "parallel_tool_calls": True,
    "logprobs": False,
    "service_tier": "auto",
    "encoding_format": "float",
}
_CONVERSATION: Final = frozenset(
    ("messages", "contents", "system", "systemInstruction", "system_instruction", "prompt", "input")
)
_TURNS: Final = ("messages", "contents", "input")
_SYSTEM: Final = ("system", "systemInstruction", "system_instruction")
# Fields that belong to the API and not to the caller's choice.
_STRUCTURE: Final = frozenset(
    (
        *("model", "modelId", "model_id", "stream", "stream_options", "anthropic_version"),
        *("project_id", "space_id", "tools", "toolConfig", "tool_config", "toolChoice"),
        *("tool_choice", "response_schema", "responseSchema", "responseJsonSchema"),
        *("response_json_schema", "labels", "metadata", "functions", "jsonrpc", "id", "method"),
        "inputs",  # the prompt, in TGI's API
    )
)
# Texts at least this long are looked for inside a longer one; a short one is there by chance.
_PART_LENGTH: Final = 8
_SETTINGS_FIELDS: Final = (
    *("generationConfig", "generation_config", "inferenceConfig", "options", "parameters"),
    *("additionalModelRequestFields", "textGenerationConfig"),
)


def find_left_out(style: ApiStyle, params: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    """Return the parameters that left no trace in a body.

    Args:
        style: the API style of the provider.
        params: what was given, in OpenAI's names.
        body: the JSON body that is about to be sent.
    """
    given = [
        name
        for name, value in params.items()
        if name not in NOT_SENT and value not in (None, [], _DEFAULTS.get(name))
    ]
    if not given:
        return []
    sent = set(_names({k: v for k, v in body.items() if not _is_conversation(k, v)}))
    return sorted(name for name in given if sent.isdisjoint(_names_of(style, name)))


def find_added(
    style: ApiStyle,
    params: Mapping[str, Any],
    messages: Sequence[Message],
    body: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """Return what a body holds that was not given: settings with their value, and texts."""
    expected = {alias for name in params for alias in _names_of(style, name)}
    for extra in (params.get("extra_body") or {}, *filter(_is_mapping, params.values())):
        expected.update(_names(extra))
    added = [
        (name, _shorten(value))
        for name, value in _settings(body)
        if name not in expected and value not in (None, [], {}, False)
    ]
    return added + _added_texts(messages, body)


def find_changed(
    style: ApiStyle, params: Mapping[str, Any], body: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return the numbers that are sent with another value, as `(name, "1 instead of 0")`."""
    sent: dict[str, list[Any]] = {}
    for name, value in _settings(body):
        sent.setdefault(name, []).append(value)
    changed = []
    for name, value in params.items():
        if name not in _NUMBERS or not _is_number(value):
            continue
        found = [v for alias in _names_of(style, name) for v in sent.get(alias, ())]
        if found and all(_is_number(v) for v in found) and value not in found:
            changed.append((name, f"{found[0]} instead of {value}"))
    return changed


def find_dropped_turns(
    messages: Sequence[Message], body: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return a note where an empty assistant turn is not sent: turns beside it are then joined."""
    turns = next((body[name] for name in _TURNS if isinstance(body.get(name), list)), None)
    if turns is None or not any(_is_empty_turn(message) for message in messages):
        return []
    given = [m.get("role") for m in messages if m.get("role") not in ("system", "developer")]
    if _count_runs(role == "assistant" for role in given) <= _count_runs(map(_is_assistant, turns)):
        return []
    return [("messages", "an empty assistant turn is left out")]


def _is_empty_turn(message: Message) -> bool:
    return message.get("role") == "assistant" and not any(
        message.get(name) for name in ("content", "tool_calls", "function_call")
    )


def _is_assistant(turn: object) -> bool:
    """Whether a turn, or an item of OpenAI's Responses, is from the model."""
    if not isinstance(turn, Mapping):
        return False
    return turn.get("role") in ("assistant", "model") or turn.get("type") in (
        "function_call",
        "reasoning",
    )


def _count_runs(marks: Iterable[bool]) -> int:
    """How many uninterrupted runs of true values there are."""
    return sum(1 for mark, _ in groupby(marks) if mark)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _added_texts(messages: Sequence[Message], body: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = list(_texts(messages))
    known, joined = set(given), "\n".join(given)
    added: list[tuple[str, str]] = []
    for name in _CONVERSATION & body.keys():
        for text in _texts(body[name]):
            if text in known or text in joined or not text.strip():
                continue
            rest = text
            for part in sorted(known, key=len, reverse=True):
                if len(part) >= _PART_LENGTH:
                    rest = rest.replace(part, "")
            if rest.strip():
                added.append(("text", _shorten(rest.strip())))
    return added + _moved_system(messages, body)


def _moved_system(messages: Sequence[Message], body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a note where a system message is sent as part of another turn."""
    if not any(name in body for name in ("contents", "messages")) or any(
        name in body for name in _SYSTEM
    ):
        return []
    system = [m for m in messages if m.get("role") in ("system", "developer")]
    turns = body.get("contents") or body.get("messages") or ()
    has_system = any(_is_mapping(t) and t.get("role") in ("system", "developer") for t in turns)
    if system and not has_system:
        return [("system message", "sent as part of the user's turn")]
    return []


def _names_of(style: ApiStyle, name: str) -> tuple[str, ...]:
    aliases = _SENT_AS.get(style, {}).get(name) or _GENERAL.get(name, ())
    return (name, _camel(name), *aliases) if name != "top_logprobs" else (name, *aliases)


def _names(value: Any) -> Iterator[str]:
    """Every key of an object, and every name and type in it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            if key in ("name", "type") and isinstance(inner, str):
                yield inner
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _settings(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a body: fields of its top level and of its settings objects."""
    for name, value in body.items():
        if name in _SETTINGS_FIELDS and isinstance(value, Mapping):
            yield from ((n, v) for n, v in value.items() if n not in _STRUCTURE)
        elif name not in _CONVERSATION and name not in _STRUCTURE:
            yield name, value


def _texts(value: Any) -> Iterator[str]:
    """Every text of a conversation, in any provider's form."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key in ("text", "content", "parts", "thinking", "reasoning_content"):
            if key in value:
                yield from _texts(value[key])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _is_conversation(name: str, value: Any) -> bool:
    """Replicate's `input` is an object of settings with the prompt among them."""
    return name in _CONVERSATION and not (name == "input" and isinstance(value, Mapping))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def without(request: ChatRequest, names: Collection[str]) -> ChatRequest:
    """The request without some parameters."""
    params = {name: value for name, value in request.params.items() if name not in names}
    return replace(request, params=params)


def may_drop(request: ChatRequest) -> bool:
    """Whether the user lets parameters be dropped."""
    return request.on_unsupported == "drop" or bool(request.params.get("drop_params"))


def find_refused(request: ChatRequest, error: InvalidRequest) -> list[str]:
    """Parameters that a provider says it does not take, where the user lets them be dropped."""
    words = error.provider_message or ""
    if not may_drop(request) or error.status not in (400, 422) or not _REFUSAL.search(words):
        return []
    named = set(re.findall(r"\w+", words))
    return sorted(named & (request.params.keys() - NOT_SENT))
