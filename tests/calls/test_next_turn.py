"""Two turns of a tool conversation: what the provider needs back reaches it unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import Asking, asking, make_provider
from tests.servers.threaded import ScriptedServer
from toolkit.records import Reply

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ARGUMENTS = '{"city": "Paris"}'


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def converse(
    server: ScriptedServer, style: str, path: str, body: Any, **options: Any
) -> dict[str, Any]:
    """The second request of a conversation whose first answer was `body`."""
    server.body = json.dumps(body).encode()
    server.requests.clear()
    asked = asking(f"{server.origin}{path}", style)

    async def two_turns() -> None:
        question = {"role": "user", "content": "How is the weather?"}
        first: Reply = await asked.complete([question], tools=[TOOL], **options)
        assert [call.name for call in first.tool_calls] == ["look_up"]
        answer = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sunny"}
        turns = [question, first.as_message(), answer]
        await asked.complete(turns, tools=[TOOL], **options)

    asyncio.run(two_turns())
    assert len(server.requests) == 2
    return server.requests[1]


def test_anthropic_gets_its_signed_thinking_back(server: ScriptedServer) -> None:
    thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "SIGNED=="}
    redacted = {"type": "redacted_thinking", "data": "ENCRYPTED=="}
    body = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [
            thinking,
            redacted,
            {"type": "text", "text": "One moment."},
            {"type": "tool_use", "id": "t1", "name": "look_up", "input": json.loads(ARGUMENTS)},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    options = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    sent = converse(server, "anthropic", "", body, **options)
    assistant = next(m for m in sent["messages"] if m["role"] == "assistant")
    assert assistant["content"][:2] == [thinking, redacted]
    assert [block["type"] for block in assistant["content"]][-1] == "tool_use"


def test_gemini_gets_its_thought_signature_back(server: ScriptedServer) -> None:
    call = {"functionCall": {"name": "look_up", "args": {"city": "Paris"}}}
    body = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{**call, "thoughtSignature": "U0lHTg=="}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
    }
    sent = converse(server, "gemini", "/v1beta", body)
    model = next(turn for turn in sent["contents"] if turn["role"] == "model")
    part = next(p for p in model["parts"] if "functionCall" in p or "function_call" in p)
    assert part.get("thoughtSignature", part.get("thought_signature")) == "U0lHTg=="


def test_openrouter_gets_its_reasoning_details_back(server: ScriptedServer) -> None:
    details = [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "S", "index": 0},
        {"type": "reasoning.encrypted", "data": "ENC", "index": 1},
    ]
    message = {
        "role": "assistant",
        "content": None,
        "reasoning": "Let me see.",
        "reasoning_details": details,
        "tool_calls": [
            {
                "id": "t1",
                "type": "function",
                "function": {"name": "look_up", "arguments": ARGUMENTS},
                "extra_content": {"google": {"thought_signature": "G"}},
            }
        ],
    }
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    sent = converse(server, "openai", "/v1", body)
    assistant = sent["messages"][1]
    assert assistant["reasoning_details"] == details
    assert assistant["tool_calls"] == message["tool_calls"]


def test_a_thinking_model_without_details_gets_its_reasoning_back(server: ScriptedServer) -> None:
    function = {"name": "look_up", "arguments": ARGUMENTS}
    message = {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Let me see.",
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    sent = converse(server, "openai", "/v1", body)
    assert sent["messages"][1]["reasoning_content"] == "Let me see."


def test_responses_gets_its_reasoning_items_back(server: ScriptedServer) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ENC"}
    body = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [
            reasoning,
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "t1",
                "name": "look_up",
                "arguments": ARGUMENTS,
            },
        ],
    }
    server.body = json.dumps(body).encode()
    server.requests.clear()
    url = f"{server.origin}/v1"
    asked = Asking(make_provider(url, type="openai"))
    request = asked.request

    def ask(messages: Any) -> Any:
        built = request(messages, tools=[TOOL])
        object.__setattr__(built, "model", "mock/responses/m")
        return asked.client.complete(built)

    async def two_turns() -> None:
        first: Reply = await ask([{"role": "user", "content": "Hi"}])
        assert [call.name for call in first.tool_calls] == ["look_up"]
        answer = {"role": "tool", "tool_call_id": "t1", "content": "sunny"}
        await ask([{"role": "user", "content": "Hi"}, first.as_message(), answer])

    asyncio.run(two_turns())
    items = server.requests[1]["input"]
    assert [item.get("encrypted_content") for item in items if item.get("type") == "reasoning"] == [
        "ENC"
    ]
    assert [item.get("call_id") for item in items if item.get("type") == "function_call"] == ["t1"]
