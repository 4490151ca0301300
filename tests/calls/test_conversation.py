"""What clients of OpenAI's API send, in APIs that have no form of their own for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toolkit.calls.adapters import write_request
from toolkit.calls.adapters.request import HttpRequest, OutgoingRequest, RequestNotBuilt

TYPES = {
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-pro",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-03-2025",
    "ollama_chat": "qwen3",
}
F, G = ({"type": "function", "function": {"name": name}} for name in ("first", "second"))
CUSTOM = {"type": "custom", "custom": {"name": "free", "description": "Any text."}}


def write(type_: str, messages: list[Any] | None = None, **params: Any) -> HttpRequest:
    return write_request(
        OutgoingRequest(
            type=type_,
            base_url="http://127.0.0.1:9/v1",
            model_id=TYPES.get(type_, "responses/m"),
            messages=messages or [{"role": "user", "content": "Hello"}],
            params=params,
            stream=False,
        )
    )


def called(arguments: Any, content: str | None = "") -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "first", "arguments": arguments}}
    return [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]


@pytest.mark.parametrize("type_", TYPES)
def test_a_choice_of_allowed_tools_sends_only_these(type_):
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [G]}}
    body = write(type_, tools=[F, G], tool_choice=choice).body.decode()
    assert "second" in body and "first" not in body and '""' not in body


def test_the_responses_api_has_its_own_form_of_allowed_and_custom_tools():
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [F]}}
    body = json.loads(write("openai", tools=[F, CUSTOM], tool_choice=choice).body)
    allowed = [{"type": "function", "name": "first"}]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": allowed}
    assert body["tools"][1] == {"type": "custom", "name": "free", "description": "Any text."}


@pytest.mark.parametrize("type_", TYPES)
def test_a_custom_tool_is_refused_where_an_api_has_none(type_):
    with pytest.raises(RequestNotBuilt, match="a tool of type `custom`"):
        write(type_, tools=[CUSTOM])


@pytest.mark.parametrize("type_", ["anthropic", "gemini", "bedrock", "ollama_chat"])
@pytest.mark.parametrize("arguments", ["", "  ", None, "{}", {}])
def test_a_call_without_arguments_is_an_empty_object(type_, arguments):
    written = write(type_, called(arguments), tools=[F])
    sent = json.loads(written.body)
    found = [value for value in _values(sent, ("input", "args", "arguments")) if value != []]
    assert found in ([{}], ["{}"])


@pytest.mark.parametrize("type_", ["anthropic", "gemini", "bedrock", "ollama_chat"])
@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "3", "x" * 10])
def test_arguments_that_are_no_object_are_refused_without_the_conversation(type_, arguments):
    with pytest.raises(RequestNotBuilt, match="call of the tool `first` are not") as refused:
        write(type_, called(arguments), tools=[F])
    assert "Hello" not in str(refused.value)


@pytest.mark.parametrize("type_", ["openai", "cohere_chat"])
def test_where_arguments_are_texts_they_pass_as_they_are(type_):
    sent = json.loads(write(type_, called('{"a":'), tools=[F]).body)
    assert '{"a":' in _values(sent, ("arguments",))


@pytest.mark.parametrize("type_", TYPES)
def test_no_sentence_is_put_beside_a_call_whose_text_is_empty(type_):
    written = write(type_, called("{}"), tools=[F])
    assert [name for name, _ in written.added if name == "text"] == []
    assert b"sanitised" not in written.body


def test_fields_outside_the_known_ones_are_named_where_litellm_drops_them():
    functions = [{"name": "first", "parameters": {"type": "object", "properties": {}}}]
    written = write("anthropic", extra_body={"functions": functions, "min_p": 0.1})
    assert written.left_out == ("functions",)
    assert json.loads(written.body)["min_p"] == 0.1


def test_results_of_custom_tools_and_empty_texts_reach_the_responses_api():
    call = {"id": "c1", "type": "custom", "custom": {"name": "free", "input": "x"}}
    messages = [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    sent = json.loads(write("openai", messages, tools=[CUSTOM]).body)["input"]
    assert sent[0] == {"role": "user", "content": ""}
    assert [item.get("type") for item in sent[1:]] == [
        "custom_tool_call",
        "custom_tool_call_output",
    ]


def _values(value: Any, names: tuple[str, ...]) -> list[Any]:
    """What stands under these names, wherever it is."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, names)]
    if not isinstance(value, dict):
        return []
    own = [inner for name, inner in value.items() if name in names and not isinstance(inner, list)]
    return own + [
        found
        for name, inner in value.items()
        if name not in names or isinstance(inner, list)
        for found in _values(inner, names)
    ]
