"""Every chat provider name of litellm is a provider type that can be called."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.calls.asking import Asking, make_provider
from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters import RequestNotBuilt, write_request
from toolkit.calls.adapters.library import load
from toolkit.calls.adapters.request import OutgoingRequest, api_style
from toolkit.errors import InvalidRequest
from toolkit.secret import Secret

# Names that litellm has for something else than chat, and those that it serves by a client of
# its own, which fetches tokens or polls over connections of its own.
NOT_WRITTEN = {
    *("a2a_agent", "auto_router", "aws_polly", "aws_textract", "azure_speech", "azure_text"),
    *("black_forest_labs", "chatgpt", "clarifai", "cursor", "deepgram", "dotprompt", "elevenlabs"),
    *("fal_ai", "github_copilot", "humanloop", "infinity", "jina_ai"),
    *("langfuse", "litellm_agent", "manus", "milvus", "mongodb", "nvidia_riva", "petals"),
    *("pg_vector", "predibase", "ragflow", "recraft", "reducto", "runwayml", "s3_vectors", "sap"),
    *("soniox", "stability", "strands_decider", "text-completion-codestral", "topaz"),
    *("text-completion-inception", "text-completion-openai", "transcribe", "triton", "typesafe"),
    *("valkey", "voyage", "watsonx_text"),
}
ACCOUNTS = {
    "gdc": {"vertex_project": "p", "vertex_location": "l"},
    "oci": {"oci_compartment_id": "c"},
    "vertex_ai": {"vertex_project": "p"},
    "vertex_ai_beta": {"vertex_project": "p"},
    "watsonx": {"project_id": "p"},
}


def test_litellms_names_are_written_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("an adapter opened a connection")

    load()
    from litellm.types.utils import LlmProviders

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    not_written = set()
    for name in (provider.value for provider in LlmProviders):
        request = OutgoingRequest(
            type=name,
            base_url="https://api.example/v1",
            model_id="claude-sonnet-4-5" if name == "anthropic" else "m",
            messages=[{"role": "user", "content": "hello"}],
            params=ACCOUNTS.get(name, {}),
            stream=True,
            key=Secret("sk-" + "k" * 40),
        )
        try:
            written = write_request(request)
        except RequestNotBuilt:
            not_written.add(name)
            continue
        assert written.url.startswith("https://api.example/"), name
        assert b"hello" in written.body, name
        assert "k" * 40 not in repr(written) and b"k" * 40 not in written.body
    assert not_written == NOT_WRITTEN


def complete(provider_type: str, body: Any, path: str = "", **params: Any) -> Any:
    with MockProvider() as server:
        server.enqueue(body=json.dumps(body).encode())
        by = Asking(make_provider(server.origin + path, provider_type))
        return asyncio.run(by.complete(**params)), server.requests[0]


def test_an_answer_that_only_litellm_reads_is_marked() -> None:
    """Bytez answers in a form of its own."""
    reply, request = complete("bytez", {"output": {"role": "assistant", "content": [
        {"type": "text", "text": "hello there"}]}, "error": None})  # fmt: skip
    assert reply.text == "hello there"
    assert reply.attempts[0].parsed_by == "litellm"
    assert request.path == "/models/v2/m"


def test_bedrock_is_called_by_converse() -> None:
    reply, request = complete(
        "bedrock",
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
        },
    )
    assert (reply.text, reply.finish_reason, reply.usage.input_tokens) == ("hello", "stop", 3)
    assert request.path == "/model/m/converse"
    assert reply.attempts[0].parsed_by == "toolkit"


_CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
}


def test_fields_that_converse_does_not_name_go_to_the_model() -> None:
    _, request = complete("bedrock", _CONVERSE, extra_body={"top_k": 3})
    assert request.json["additionalModelRequestFields"] == {"top_k": 3}


def test_cohere_takes_effort_and_schema_in_its_own_names() -> None:
    body = {
        "id": "1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "{}"}]},
    }
    schema = {"type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    reply, request = complete("cohere_chat", body, response_format=form, reasoning_effort="low")
    assert request.json["response_format"] == {"type": "json_object", "json_schema": schema}
    assert request.json["thinking"] == {"type": "enabled"}
    assert reply.notes == ()


def test_cohere_and_ollama_are_called_in_their_own_apis() -> None:
    reply, request = complete(
        "cohere_chat",
        {
            "id": "1",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        },
    )
    assert (reply.text, request.path) == ("hello", "/v2/chat")
    reply, request = complete(
        "ollama_chat",
        {
            "model": "m",
            "message": {"role": "assistant", "content": "hello"},
            "done": True,
            "done_reason": "stop",
        },
    )
    assert (reply.text, request.path) == ("hello", "/api/chat")


def test_a_model_that_exists_only_on_the_responses_api_is_called_there() -> None:
    body = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}],
            }
        ],
    }
    with MockProvider() as server:
        server.enqueue(body=json.dumps(body).encode())
        by = Asking(make_provider(server.base_url, type="openai"))
        request = by.request("hi", max_tokens=9, reasoning_effort="low", system="be brief")
        reply = asyncio.run(by.client.complete(replace(request, model="mock/gpt-5-pro")))
        sent = server.requests[0]
    assert (reply.text, sent.path) == ("hello", "/v1/responses")
    assert sent.json == {
        "model": "gpt-5-pro",
        "input": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
    }


def test_a_provider_that_litellm_serves_by_a_client_of_its_own_is_refused_with_the_reason() -> None:
    with MockProvider() as server, pytest.raises(InvalidRequest, match="preset `github`"):
        asyncio.run(Asking(make_provider(server.origin, "github_copilot")).complete())
    assert server.requests == []


@pytest.mark.parametrize(
    ("provider_type", "model", "style"),
    [
        ("openai", "gpt-5-mini", "openai"),
        ("openai", "gpt-5-codex", "responses"),
        ("openai", "o1-pro", "responses"),
        ("openai", "responses/gpt-5", "responses"),
        ("openai-compatible", "gpt-5-pro", "openai"),
        ("vertex_ai", "gemini-2.5-pro", "gemini"),
        ("vertex_ai", "claude-sonnet-4", "anthropic"),
        ("vertex_ai", "meta/llama-3.1-405b", "openai"),
        ("azure_ai", "claude-sonnet-4", "anthropic"),
        ("groq", "llama", "openai"),
    ],
)
def test_the_style_of_a_model(provider_type: str, model: str, style: str) -> None:
    assert api_style(provider_type, model) == style
