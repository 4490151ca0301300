"""What a provider does not take is a clear error, or dropped with a note, as the user wants it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.calls.asking import PATHS, asking, quick_settings
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters.differences import find_left_out
from toolkit.errors import InvalidRequest, RateLimited

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TAKEN = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 7,
    "stop": ["END"],
    "tools": TOOLS,
    "tool_choice": "required",
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
PICTURE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"},
}


def ask(style, prompt="hello", model="m", **params):
    """The reply (or the error) and the request bodies that the server saw."""
    with MockProvider() as server:
        a = asking(server.origin + PATHS[style], style)
        request = replace(a.request(prompt, **params), model=f"mock/{model}")
        try:
            answer = asyncio.run(a.client.complete(request))
        except InvalidRequest as error:
            answer = error
        return answer, [received.json for received in server.requests]


def left_out(reply):
    """The notes about parameters that were not sent."""
    return [note for note in reply.notes if "left out" in note]


def test_what_litellm_adds_stands_on_the_reply_and_in_the_row():
    """Nobody asked for a temperature, nor for a sentence in the model's mouth."""
    reply, sent = ask("gemini", model="gemini-3-pro-preview")
    assert sent[0]["generationConfig"]["temperature"] == 1.0
    assert reply.notes == ("sent to mock in addition: temperature = 1.0",)
    assert "added:temperature" in reply.attempts[0].flags
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]
    reply, sent = ask("anthropic", prompt=[*turns, {"role": "user", "content": "b"}], max_tokens=5)
    assert "Empty message content" in str(sent[0]["messages"])
    assert [note for note in reply.notes if "Empty message content" in note]
    assert "added:text" in reply.attempts[0].flags


def test_nothing_is_said_where_nothing_differs():
    for style in ("openai", "anthropic"):
        reply, _ = ask(style, system="be brief", max_tokens=5, temperature=0.5)
        assert reply.notes == ()
    reply, _ = ask("gemini", model="gemini-2.5-flash", system="be brief", max_tokens=5)
    assert reply.notes == ()


@pytest.mark.parametrize("style", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("name", list(TAKEN))
def test_the_usual_parameters_reach_every_style(style, name):
    reply, sent = ask(style, **{name: TAKEN[name]})
    assert not isinstance(reply, InvalidRequest), reply
    assert left_out(reply) == []
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("style", "name", "value"),
    [
        ("anthropic", "seed", 1),
        ("anthropic", "logit_bias", {"1": 2}),
        ("anthropic", "response_format", {"type": "json_object"}),
        ("gemini", "user", "u"),
        ("gemini", "parallel_tool_calls", False),
        ("gemini", "frequency_penalty", 1),
        ("gemini", "banana", 3),
    ],
)
def test_what_would_get_lost_on_the_way_is_an_error_before_anything_is_sent(style, name, value):
    error, sent = ask(style, **{name: value})
    assert isinstance(error, InvalidRequest)
    assert error.cause == "unsupported"
    assert f"does not take `{name}`" in error.message
    assert "on_unsupported" in error.hint
    assert sent == []


def test_it_is_left_out_with_a_note_where_the_user_wants_that():
    reply, sent = ask("anthropic", seed=1, n=2, temperature=0.5, on_unsupported="drop")
    assert left_out(reply) == [
        "mock does not take `n`; left out",
        "mock does not take `seed`; left out",
    ]
    assert {"left_out:n", "left_out:seed"} <= set(reply.attempts[0].flags)
    assert sent[0]["temperature"] == 0.5
    assert "seed" not in sent[0]


def test_what_every_provider_does_anyway_needs_no_trace():
    reply, sent = ask("gemini", n=1, parallel_tool_calls=True, service_tier="auto", seed=None)
    assert left_out(reply) == []
    assert "serviceTier" not in sent[0], "no dearer tier that nobody asked for"


def test_openai_compatible_servers_get_everything_as_it_is():
    _, sent = ask("openai", seed=1, top_k=4, logit_bias={"1": 2}, banana={"x": [1]})
    for name, value in {
        "seed": 1,
        "top_k": 4,
        "logit_bias": {"1": 2},
        "banana": {"x": [1]},
    }.items():
        assert sent[0][name] == value


@pytest.mark.parametrize("is_stream", [False, True])
def test_json_that_an_unknown_model_gives_as_a_tool_call_is_the_text(is_stream):
    """litellm asks models that it does not know for JSON by a tool of its own."""
    call = {"id": "t", "function": {"name": "json_tool_call", "arguments": '{"a":"b"}'}}

    async def go(a):
        if not is_stream:
            return await a.complete(response_format=TAKEN["response_format"])
        stream = a.stream(response_format=TAKEN["response_format"])
        text = "".join([piece async for piece in stream])
        assert text == stream.reply.text
        return stream.reply

    with MockProvider() as server:
        server.enqueue("", tool_calls=[call], finish_reason="tool_use")
        reply = asyncio.run(go(asking(server.origin, "anthropic")))
    assert json.loads(reply.text) == {"a": "b"}
    assert (reply.tool_calls, reply.finish_reason) == ((), "stop")


def test_a_picture_reaches_every_style():
    content = [{"type": "text", "text": "what is it?"}, PICTURE]
    for style in ("openai", "anthropic", "gemini"):
        reply, sent = ask(style, prompt=[{"role": "user", "content": content}])
        assert not isinstance(reply, InvalidRequest), reply
        assert "iVBORw0KGgo" in str(sent[0])


REFUSED = {"error": {"message": "Unsupported parameter: 'stop' is not supported with this model."}}


@pytest.mark.parametrize("how", ["error", "drop"])
def test_a_parameter_that_a_server_refuses_is_an_error_or_asked_again_without(how):
    with MockProvider() as server:
        server.enqueue(status=400, body=REFUSED)
        a = asking(server.base_url, settings=quick_settings(max_retries=1))
        asked = a.complete(stop=["x"], temperature=0, on_unsupported=how)
        if how == "error":
            with pytest.raises(InvalidRequest, match="'stop' is not supported"):
                asyncio.run(asked)
            return
        reply = asyncio.run(asked)
        assert reply.notes == ("mock does not take `stop`; left out",)
        assert [(c.status, c.attempt, c.attempt_kind) for c in reply.attempts] == [
            ("error", 1, "first"),
            ("ok", 2, "retry"),
        ]
        assert server.requests[1].json["temperature"] == 0
        assert "stop" not in server.requests[1].json


def test_other_refusals_are_not_asked_again():
    with MockProvider() as server:
        server.enqueue(status=400, body={"error": {"message": "temperature must be below 2"}})
        a = asking(server.base_url)
        with pytest.raises(InvalidRequest):
            asyncio.run(a.complete(temperature=3, on_unsupported="drop"))
        server.enqueue(status=429, body={"error": {"message": "unsupported temperature"}})
        with pytest.raises(RateLimited):
            asyncio.run(a.complete(temperature=3, on_unsupported="drop"))
        assert len(server.requests) == 2


def test_a_providers_own_defaults_stand_below_the_requests():
    with MockProvider() as server:
        a = asking(server.base_url)
        a.provider = replace(a.provider, params={"temperature": 0.1, "seed": 7})
        reply = asyncio.run(a.complete(temperature=0.9))
        assert server.requests[0].json["temperature"] == 0.9
        assert server.requests[0].json["seed"] == 7
        assert reply.attempts[0].params == {"temperature": 0.9, "seed": 7}


def test_words_of_the_conversation_are_no_trace_of_a_parameter():
    turn = {"role": "user", "seed": 1, "content": "seed"}
    body = {"messages": [turn], "max_tokens": 1}
    assert find_left_out("anthropic", {"seed": 1, "max_tokens": 1}, body) == ["seed"]


def test_headers_and_keys_among_the_parameters_are_sent_and_never_recorded():
    reply, _ = ask("openai", extra_headers={"X-Team-Secret": "canary-5d41402abc4b2a76"}, top_p=0.5)
    (row,) = reply.attempts
    assert row.params == {"top_p": 0.5}
    assert "canary" not in repr(row)
