"""Every chat provider name of litellm: added, called once whole and once streamed.

A loopback server answers in the style of the provider. Names that cannot be called say why and
what to use instead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.calls.asking import Asking
from tests.calls.test_event_stream import frame
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters.litellm_gaps import REFUSED
from toolkit.calls.adapters.request import api_style
from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidRequest
from toolkit.providers.registry import Registry
from toolkit.providers.type_detection import TYPES
from toolkit.settings import Settings

TEXT = "hello there"
OWN = ("openai-compatible", "anthropic-compatible", "custom")
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "clarifai": "openai.chat-completion.gpt-4o",
    "oci": "meta.llama-3.3-70b-instruct",
    "ragflow": "chat/c1/m",
    "replicate": "meta/llama-3",
}
PATHS = {
    "datarobot": "/api/v2",
    "gdc": "/v1/projects/p1/locations/l1/chat/completions",
    "gradient_ai": "/v1",
    "sap": "/v2/inference/deployments/d1",
    "snowflake": "/api/v2",
    "triton": "/v2/models/m/generate",
}
PARAMS: dict[str, dict[str, Any]] = {
    "gdc": {"vertex_project": "p1"},
    "oci": {"oci_compartment_id": "ocid1.compartment.oc1..x"},
    "predibase": {"predibase_tenant_id": "t1"},
    "vertex_ai": {"vertex_project": "p1"},
    "vertex_ai_beta": {"vertex_project": "p1"},
    "watsonx": {"project_id": "p1"},
}
# A key that is a token already: nothing is exchanged for it (see test_identities).
TOKEN = "eyJ" + "t" * 40
# The path that a request must have, where the provider's documentation gives an unusual one.
CALLED = {
    "anthropic_text": "/v1/complete",
    "bedrock": "/model/m/converse",
    "bytez": "/models/v2/m",
    "clarifai": "/chat/completions",
    "cohere_chat": "/v2/chat",
    "datarobot": "/api/v2/genai/llmgw/chat/completions",
    "gdc": "/v1/projects/p1/locations/l1/chat/completions",
    "gigachat": "/chat/completions",
    "gradient_ai": "/v1/chat/completions",
    "langgraph": "/runs/wait",
    "nlp_cloud": "/m/generation",
    "oci": "/20231130/actions/chat",
    "ollama_chat": "/api/chat",
    "predibase": "/t1/deployments/v2/llms/m/generate",
    "ragflow": "/api/v1/chats_openai/c1/chat/completions",
    "replicate": "/v1/models/meta/llama-3/predictions",
    "sagemaker": "/endpoints/m/invocations",
    "sagemaker_chat": "/endpoints/m/invocations",
    "sap": "/v2/inference/deployments/d1/v2/completion",
    "snowflake": "/api/v2/cortex/v1/chat/completions",
    "triton": "/v2/models/m/generate",
    "vertex_ai": "/v1/projects/p1/locations/global/publishers/google/models/m:generateContent",
    "watsonx": "/ml/v1/text/chat?version=2024-03-13",
}

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
OPENAI = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}


def chunks(*texts: str) -> list[dict[str, Any]]:
    deltas = [({"content": text}, None) for text in texts] + [({}, "stop")]
    return [
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        for delta, finish in deltas
    ]


GEMINI = {
    "candidates": [{"content": {"parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}]
}
A2A = {
    "jsonrpc": "2.0",
    "id": "1",
    "result": {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": TEXT}]},
}
ORACLE = {
    "modelId": "meta.llama-3.3-70b-instruct",
    "modelVersion": "1",
    "chatResponse": {
        "apiFormat": "GENERIC",
        "timeCreated": "2026-01-01T00:00:00Z",
        "choices": [
            {
                "index": 0,
                "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": TEXT}]},
                "finishReason": "stop",
            }
        ],
        "usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5},
    },
}
LANGFLOW = {
    "session_id": "s",
    "outputs": [{"outputs": [{"results": {"message": {"text": TEXT}}}]}],
}
TGI = {"generated_text": TEXT, "details": {"finish_reason": "eos_token", "generated_tokens": 2}}
# Whole answers by style, and by type where a type has its own form.
WHOLE: Mapping[str, Any] = {
    "openai": OPENAI,
    "anthropic": {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "gemini": GEMINI,
    "converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    },
    "cohere": {
        "id": "1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
    },
    "ollama": {
        "model": "m",
        "message": {"role": "assistant", "content": TEXT},
        "done": True,
        "done_reason": "stop",
    },
    "responses": {
        "id": "r1",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": TEXT}],
            }
        ],
    },
    "a2a": A2A,
    "amazon_nova": OPENAI,
    "anthropic_text": {
        "type": "completion",
        "completion": TEXT,
        "stop_reason": "stop_sequence",
        "model": "m",
    },
    "bytez": {
        "output": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
        "error": None,
    },
    "fal_ai": {"output": TEXT, "usage_info": {"input_tokens": 3, "output_tokens": 2}},
    "gigachat": OPENAI,
    "langflow": LANGFLOW,
    "langgraph": {"messages": [{"type": "ai", "content": TEXT}]},
    "nlp_cloud": {
        "generated_text": TEXT,
        "nb_input_tokens": 3,
        "nb_generated_tokens": 2,
    },
    "oci": ORACLE,
    "oobabooga": OPENAI,
    "predibase": TGI,
    "replicate": {"id": "p", "status": "succeeded", "output": ["hello ", "there"]},
    "sagemaker": [{"generated_text": TEXT}],
    "sap": {"request_id": "r", "final_result": OPENAI},
    "triton": {"text_output": TEXT, "model_name": "m", "model_version": "1"},
}


def sse(events: list[Any], end: str = "data: [DONE]\n\n") -> bytes:
    lines = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        if "type" in event and "choices" not in event
        else f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return ("".join(lines) + end).encode()


def anthropic_events() -> list[dict[str, Any]]:
    message = {"id": "m1", "model": "m", "role": "assistant", "content": [], "usage": {}}
    delta = {"type": "text_delta", "text": TEXT}
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    ]


def cohere_events() -> list[dict[str, Any]]:
    content = {"message": {"content": {"text": TEXT}}}
    return [
        {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "index": 0, "delta": content},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ]


def converse_frames() -> bytes:
    values = {
        "messageStart": {"role": "assistant"},
        "contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": TEXT}},
        "messageStop": {"stopReason": "end_turn"},
    }
    return b"".join(frame(value, name=name) for name, value in values.items())


def ollama_lines() -> bytes:
    half = {"model": "m", "message": {"role": "assistant", "content": TEXT}, "done": False}
    end = {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop"}
    return "".join(json.dumps(value) + "\n" for value in (half, end)).encode()


def oracle_events() -> list[dict[str, Any]]:
    message = {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": TEXT}]}
    return [{"index": 0, "message": message}, {"finishReason": "stop"}]


HALVES = chunks("hello ", "there")
EVENT_STREAM = "text/event-stream"
STREAMS: Mapping[str, tuple[bytes, str]] = {
    "openai": (sse(HALVES), EVENT_STREAM),
    "anthropic": (sse(anthropic_events(), ""), EVENT_STREAM),
    "gemini": (sse([GEMINI], ""), EVENT_STREAM),
    "converse": (converse_frames(), "application/vnd.amazon.eventstream"),
    "cohere": (sse(cohere_events(), ""), EVENT_STREAM),
    "ollama": (ollama_lines(), "application/x-ndjson"),
    "responses": (
        sse(
            [
                {"type": "response.output_text.delta", "output_index": 0, "delta": TEXT},
                {"type": "response.completed", "response": {"status": "completed"}},
            ],
            "",
        ),
        EVENT_STREAM,
    ),
    "amazon_nova": (sse(HALVES), EVENT_STREAM),
    "gigachat": (sse(HALVES), EVENT_STREAM),
    "oci": (sse(oracle_events(), ""), EVENT_STREAM),
    "sap": (sse([{"final_result": chunk} for chunk in HALVES]), EVENT_STREAM),
}


def answer(kind: str, model: str, *, stream: bool) -> tuple[bytes, str]:
    """The body and media type of an answer in the style of a provider."""
    style = api_style(kind, model)
    form = kind if style == "litellm" else style
    if stream and form in STREAMS:
        return STREAMS[form]
    return json.dumps(WHOLE[form]).encode(), "application/json"


def prompt(kind: str) -> Any:
    """The prompt; fal.ai's chat describes a picture."""
    if kind != "fal_ai":
        return "hello"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    return [{"role": "user", "content": [{"type": "text", "text": "hello"}, picture]}]


def added(kind: str, origin: str, home: Any) -> Any:
    """The provider as the registry gives it back after it was added."""
    registry = Registry(Settings(home=home))
    return registry.add(
        "mock",
        base_url=origin + PATHS.get(kind, ""),
        type=kind,
        is_local=True,
        params=PARAMS.get(kind, {}),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[MockProvider]:
    with MockProvider() as running:
        yield running


async def call_both(by: Asking, kind: str, model: str) -> tuple[Any, Any, str]:
    """One whole reply, one streamed, and the text that the stream gave out."""
    model = f"mock/{model}"
    whole = await by.client.complete(build_request(model, prompt(kind), {}))
    stream = by.client.stream(build_request(model, prompt(kind), {}, stream=True))
    text = "".join([piece async for piece in stream])
    return whole, stream.reply, text


def script(server: MockProvider, kind: str, model: str) -> None:
    """Have the server answer once whole and once streamed, and nothing of an earlier test."""
    server.forget()
    server.requests.clear()
    for stream in (False, True):
        body, media_type = answer(kind, model, stream=stream)
        server.enqueue(body=body, headers={"content-type": media_type})


@pytest.mark.parametrize("kind", [name for name in TYPES if name not in (*OWN, *REFUSED)])
def test_a_chat_provider_of_litellm_is_added_and_answers(
    kind: str, server: MockProvider, tmp_path: Any
) -> None:
    model = MODELS.get(kind, "m")
    script(server, kind, model)
    by = Asking(added(kind, server.origin, tmp_path), key=TOKEN)
    whole, streamed, text = asyncio.run(call_both(by, kind, model))
    sent = server.requests[0]
    assert (whole.text, streamed.text, text) == (TEXT, TEXT, TEXT)
    assert sent.path == CALLED.get(kind, sent.path)
    assert sent.path != "/" or kind == "a2a"
    assert "hello" in sent.body.decode()
    parsed_by = {call.parsed_by for reply in (whole, streamed) for call in reply.attempts}
    is_litellms = api_style(kind, model) == "litellm"
    assert parsed_by == {"litellm" if is_litellms else "toolkit"}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_name_that_cannot_be_called_is_refused_with_what_to_use(
    kind: str, server: MockProvider, tmp_path: Any
) -> None:
    server.requests.clear()
    by = Asking(added(kind, server.origin, tmp_path), key=TOKEN)
    with pytest.raises(InvalidRequest, match=r"[Uu]se (the type|GitHub)"):
        asyncio.run(by.complete())
    assert server.requests == []


VERTEX = "/v1/projects/p1/locations/global"


@pytest.mark.parametrize(
    ("kind", "model", "whole_path", "stream_path"),
    [
        (
            "vertex_ai",
            "claude-sonnet-4-5",
            f"{VERTEX}/publishers/anthropic/models/claude-sonnet-4-5:rawPredict",
            f"{VERTEX}/publishers/anthropic/models/claude-sonnet-4-5:streamRawPredict",
        ),
        (
            "vertex_ai",
            "meta/llama-3.3-70b-instruct-maas",
            f"{VERTEX}/endpoints/openapi/chat/completions",
            f"{VERTEX}/endpoints/openapi/chat/completions",
        ),
        ("azure_ai", "claude-sonnet-4-5", "/anthropic/v1/messages", "/anthropic/v1/messages"),
        (
            "bedrock",
            "anthropic.claude-3-5-sonnet-20240620-v1:0",
            "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse",
            "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse-stream",
        ),
        ("openai", "gpt-5-pro", "/responses", "/responses"),
    ],
)
def test_a_cloud_serves_models_of_other_makers_in_their_own_apis(
    kind: str,
    model: str,
    whole_path: str,
    stream_path: str,
    server: MockProvider,
    tmp_path: Any,
) -> None:
    script(server, kind, model)
    by = Asking(added(kind, server.origin, tmp_path), key=TOKEN)
    whole, streamed, text = asyncio.run(call_both(by, kind, model))
    assert (whole.text, streamed.text, text) == (TEXT, TEXT, TEXT)
    assert [sent.path.partition("?")[0] for sent in server.requests] == [whole_path, stream_path]
    body = server.requests[0].json
    if whole_path.endswith(":rawPredict"):
        assert body["anthropic_version"] == "vertex-2023-10-16" and "model" not in body
        assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    elif "/endpoints/openapi/" in whole_path:
        assert body["model"] == model


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    ("kind", "sent_as"), [("gigachat", "functions"), ("watsonx", "tool_choice_option")]
)
def test_tools_that_are_sent_under_another_name_are_not_taken_for_left_out(
    kind: str, sent_as: str, server: MockProvider, tmp_path: Any
) -> None:
    script(server, kind, "m")
    by = Asking(added(kind, server.origin, tmp_path), key=TOKEN)
    reply = asyncio.run(by.complete(tools=TOOLS, tool_choice="auto"))
    assert sent_as in server.requests[0].json
    assert not reply.notes, reply.notes
