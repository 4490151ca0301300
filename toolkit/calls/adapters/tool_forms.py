"""Conversations and tools as litellm's classes need them.

What clients of OpenAI's API send and other APIs have no form for: a choice of several allowed
tools, tools of type `custom`, a tool call whose arguments are no JSON object, an empty text beside
a tool call. litellm sends something else for each of them, or fails with its own words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.calls.adapters.request import ContentNotTaken, RequestNotBuilt
from toolkit.calls.parsers.parsed_response import Style as ApiStyle

_ARGUMENTS_ARE_OBJECTS: Final = ("anthropic", "converse", "gemini", "ollama")
# Beside a call, litellm sends Anthropic a sentence of its own, and Gemini an empty part.
_EMPTY_TEXTS_REPLACED: Final = ("anthropic", "gemini")
_FUNCTIONS_ONLY: Final = ("anthropic", "cohere", "converse", "gemini", "ollama")


class ArgumentsNotObject(ValueError):
    """A tool call of the conversation whose arguments this API cannot be given."""

    def __init__(self, name: object) -> None:
        super().__init__(f"the arguments of a call of the tool `{name}` are not a JSON object")


def only_allowed_tools(style: ApiStyle, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters with nothing but the tools that `tool_choice` allows.

    Raises:
        RequestNotBuilt: a tool is of a type that the API does not have.
    """
    if style not in _FUNCTIONS_ONLY:
        return params
    tools, choice = params.get("tools") or (), params.get("tool_choice")
    if any(isinstance(tool, Mapping) and "custom" in tool for tool in tools):
        raise RequestNotBuilt(ContentNotTaken("a tool of type `custom`"))
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return params
    allowed = choice.get("allowed_tools") or choice
    names = {_tool_name(tool) for tool in allowed.get("tools") or ()}
    kept = [tool for tool in tools if _tool_name(tool) in names]
    return {**params, "tools": kept, "tool_choice": allowed.get("mode", "auto")}


def _tool_name(tool: Mapping[str, Any]) -> Any:
    return (tool.get("function") or tool).get("name")


def with_readable_calls(
    style: ApiStyle, messages: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The messages with every tool call in the form that litellm reads; changed in place.

    Raises:
        RequestNotBuilt: arguments are not a JSON object and the API takes nothing else.
    """
    for message in messages:
        calls = message.get("tool_calls") if message.get("role") == "assistant" else None
        if not calls:
            continue
        if message.get("content") == "" and style in _EMPTY_TEXTS_REPLACED:
            message["content"] = None
        for call in calls if style in _ARGUMENTS_ARE_OBJECTS else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            if isinstance(function, dict):
                function["arguments"] = _object_text(function)
    return list(messages)


def _object_text(function: Mapping[str, Any]) -> str:
    """The arguments of a call as the text of a JSON object; none are `{}`."""
    arguments = function.get("arguments")
    if isinstance(arguments, Mapping):
        return json.dumps(arguments)
    if arguments is None or not str(arguments).strip():
        return "{}"
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (TypeError, ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise RequestNotBuilt(ArgumentsNotObject(function.get("name")))
    return str(arguments)
