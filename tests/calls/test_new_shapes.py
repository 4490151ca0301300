"""Answers in unusual shapes, played to the real client: see `shapes`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import Asking, make_provider
from tests.calls.shapes import CASES, Case
from tests.servers.threaded import ScriptedServer
from toolkit.calls.chat_request import build_request
from toolkit.errors import CallError
from toolkit.records import Reply

# Provider type, path of its base URL and a model, for each style.
PROVIDERS = {
    "openai": ("openai-compatible", "/v1", "m"),
    "responses": ("openai", "/v1", "responses/m"),
    "anthropic": ("anthropic", "", "m"),
    "gemini": ("gemini", "/v1beta", "m"),
    "converse": ("bedrock", "", "m"),
    "cohere": ("cohere_chat", "/v2", "m"),
    "ollama": ("ollama_chat", "", "m"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def play(server: ScriptedServer, case: Case) -> Reply | CallError:
    """What the client makes of one answer."""
    kind, path, model = PROVIDERS[case.style]
    media = "application/json"
    if case.is_stream:
        media = {
            "converse": "application/vnd.amazon.eventstream",
            "ollama": "application/x-ndjson",
        }.get(case.style, "text/event-stream")
    server.status, server.body, server.media_type = 200, case.body, media
    asked = Asking(make_provider(server.origin + path, type=kind))
    request = build_request(f"mock/{model}", "hello", {}, stream=case.is_stream)

    async def run() -> Reply:
        if not case.is_stream:
            return await asked.client.complete(request)
        running = asked.client.stream(request)
        text = "".join([piece async for piece in running])
        assert text == running.reply.text, "the pieces of a stream are its text"
        return running.reply

    try:
        return asyncio.run(run())
    except CallError as error:
        return error


def read(reply: Reply, name: str) -> Any:
    """A member of a reply as the cases spell it."""
    if name == "tools":
        return [(call.name, call.arguments) for call in reply.tool_calls]
    if name == "parts":
        return [part.type for part in reply.parts]
    if name == "finish":
        return reply.finish_reason
    if name == "cost":
        cost = reply.attempts[-1].cost_reported_usd
        return None if cost is None else format(cost.normalize(), "f")
    return getattr(reply, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_new_shape_is_read_as_what_it_means(server: ScriptedServer, case: Case) -> None:
    got, right = play(server, case), dict(case.right)
    if code := right.pop("code", None):
        assert isinstance(got, CallError), got
        assert got.code == code, got
        assert got.partial_text == right.get("partial", got.partial_text)
        if words := right.get("words_once"):
            assert str(got).count(words) == 1
        return
    assert isinstance(got, Reply), got
    for name, count in right.pop("tokens", {}).items():
        assert getattr(got.usage, f"{name}_tokens") == count, name
    assert set(got.flags) >= right.pop("flags", set())
    assert {name: read(got, name) for name in right} == right
