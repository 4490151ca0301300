"""The adapters write what `litellm.acompletion` itself would send, except where listed here."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.servers.mock_provider import MockProvider
from toolkit.calls.adapters import OutgoingRequest, RequestNotBuilt, write_request
from toolkit.calls.adapters.library import load
from toolkit.calls.adapters.request import ContentNotTaken
from toolkit.secret import Secret

KEY = "sk-" + "k" * 40
REQUESTS_EACH = 30

# provider type -> (model, base path). For Bedrock and Gemini with models that litellm knows.
PROVIDERS = {
    "anthropic": ("claude-sonnet-4-5", ""),
    "azure_ai": ("mistral-large", ""),
    "bedrock": ("anthropic.claude-3-5-sonnet-20240620-v1:0", ""),
    "cerebras": ("llama3.1-8b", "/v1"),
    "cohere_chat": ("command-r-plus", "/v2/chat"),
    "databricks": ("dbrx", "/serving-endpoints"),
    "deepinfra": ("meta-llama/Llama-3-8b", "/v1/openai"),
    "deepseek": ("deepseek-chat", "/v1"),
    "fireworks_ai": ("llama-v3p1-8b-instruct", "/inference/v1"),
    "gemini": ("gemini-2.5-flash", "/v1beta"),
    "groq": ("llama-3.1-8b-instant", "/openai/v1"),
    "hosted_vllm": ("m", "/v1"),
    "huggingface": ("meta-llama/Llama-3.1-8B", "/v1"),
    "lm_studio": ("m", "/v1"),
    "mistral": ("mistral-large-latest", "/v1"),
    "moonshot": ("kimi-k2", "/v1"),
    "nebius": ("m", "/v1"),
    "novita": ("m", "/v3/openai"),
    "nvidia_nim": ("meta/llama-3.1-8b-instruct", "/v1"),
    "ollama_chat": ("llama3.1", ""),
    "openrouter": ("openai/gpt-4o", "/api/v1"),
    "perplexity": ("sonar", ""),
    "sambanova": ("Meta-Llama-3.1-8B-Instruct", "/v1"),
    "snowflake": ("mistral-large2", ""),
    "together_ai": ("meta-llama/Llama-3-8b-chat-hf", "/v1"),
    "xai": ("grok-3", "/v1"),
    "zai": ("glm-4.6", "/api/paas/v4"),
}

# Headers of client libraries, and of the connection: they say who sends, not what.
_CLIENT_HEADERS = ("x-stainless-", "accept", "connection", "content-length", "host", "user-agent")
# Wanted differences: headers that acompletion sends and the adapter does not, and why.
NOT_SENT = {
    "openrouter": {"http-referer", "x-title"},  # litellm's own name as the calling application
    "perplexity": {"x-pplx-integration"},  # the same
    "bedrock": {"x-amz-date", "authorization"},  # signed afterwards, by `identities`
}
# Wanted differences: headers that the adapter sends and acompletion does not.
SENT_TOO = {
    "bedrock": {"authorization"},  # a Bedrock API key
    "cohere_chat": {"accept"},
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look something up.",
            "parameters": {
                "type": "object",
                "properties": {"what": {"type": "string"}, "n": {"type": "integer"}},
                "required": ["what"],
            },
        },
    }
]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg"
    "GAWjR9awAAAABJRU5ErkJggg=="
)
PARAMS: dict[str, list[Any]] = {
    "temperature": [0, 0.5, 1.0],
    "top_p": [0.1, 0.9],
    "max_tokens": [1, 1000],
    "stop": ["END", ["a", "b"]],
    "seed": [7],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.25],
    "user": ["u1"],
    "tool_choice": ["auto", "required", {"type": "function", "function": {"name": "look"}}],
    "response_format": [{"type": "json_object"}, SCHEMA],
    "parallel_tool_calls": [True, False],
    "reasoning_effort": ["low"],
    "logit_bias": [{"1": 2}],
    "top_k": [4],
}


def conversation(rng: random.Random) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.6:
        messages.append({"role": rng.choice(["system", "developer"]), "content": "Be brief."})
    messages.append({"role": "user", "content": rng.choice(["hello", "Grüße 🙂", "a\nb"])})
    if rng.random() < 0.3:
        parts = [{"type": "text", "text": "What is it?"}]
        if rng.random() < 0.5:
            parts.append({"type": "image_url", "image_url": {"url": PIXEL}})
        messages += [
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": parts},
        ]
    if rng.random() < 0.3:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"what": "it"}'},
        }
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "found"},
        ]
    return messages


def make_request(rng: random.Random) -> tuple[list[dict[str, Any]], dict[str, Any], bool]:
    names = rng.sample(sorted(PARAMS), rng.randint(0, 4))
    params = {name: rng.choice(PARAMS[name]) for name in names}
    messages = conversation(rng)
    if "tool_choice" in params or "parallel_tool_calls" in params or rng.random() < 0.4:
        params["tools"] = TOOLS
    if any(message["role"] == "tool" for message in messages):
        params["tools"] = TOOLS
    return messages, params, rng.random() < 0.5


async def send_with_litellm(
    server: MockProvider, provider: str, model: str, base_url: str, asked: tuple[Any, Any, bool]
) -> Any:
    """What acompletion sends, or None where it refuses to send anything."""
    messages, params, stream = asked
    before = len(server.requests)
    account: dict[str, Any] = {}
    if provider == "bedrock":
        account = {
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "x" * 40,
            "aws_region_name": "us-east-1",
        }
    try:
        answer = await load().acompletion(
            model=f"{provider}/{model}",
            messages=json.loads(json.dumps(messages)),
            api_base=base_url,
            api_key=None if provider == "bedrock" else KEY,
            stream=stream,
            max_retries=0,
            drop_params=True,
            _skip_mcp_handler=True,
            timeout=30,
            **({"stream_options": {"include_usage": True}} if stream else {}),
            **account,
            **copy.deepcopy(params),  # litellm appends to the list of tools
        )
        if stream:
            await answer.fetch_stream() if hasattr(answer, "fetch_stream") else None
    except Exception:
        pass
    return server.requests[before] if len(server.requests) > before else None


def write(provider: str, model: str, base_url: str, asked: tuple[Any, Any, bool]) -> Any:
    messages, params, stream = asked
    return write_request(
        OutgoingRequest(
            type=provider,
            base_url=base_url,
            model_id=model,
            messages=messages,
            params=params,
            stream=stream,
            key=Secret(KEY),
        )
    )


def differences(provider: str, params: Mapping[str, Any], ours: Any, theirs: Any) -> list[str]:
    """What differs and is not wanted."""
    found = []
    if ours.url.partition("/")[2].partition("/")[2].partition("/")[2] != theirs.path.lstrip("/"):
        found.append(f"path {ours.url} / {theirs.path}")
    mine_body = json.loads(ours.body)
    if provider == "cohere_chat" and "reasoning_effort" in params:
        del mine_body["thinking"]  # litellm's class for Cohere does not know it
    found += differences_of_bodies(params, mine_body, dict(theirs.json))
    mine, its = plain_headers(ours.headers), plain_headers(theirs.headers)
    for name in sorted(mine.keys() | its.keys()):
        if name in NOT_SENT.get(provider, ()) and name not in mine:
            continue
        if name not in SENT_TOO.get(provider, ()) and mine.get(name) != its.get(name):
            found.append(f"header {name}: {mine.get(name)!r} / {its.get(name)!r}")
    return found


def differences_of_bodies(
    params: Mapping[str, Any], mine: Mapping[str, Any], its: dict[str, Any]
) -> list[str]:
    if its.get("stream") is False and "stream" not in mine:
        del its["stream"]  # acompletion sends it although it is the default
    its.pop("max_retries", None)  # an option of litellm's that its Hugging Face class lets out
    # litellm drops a parameter where it does not know that the model takes it; here the provider
    # decides. Usage is always requested.
    sent_too = {name for name in mine if name not in its and name in (*params, "stream_options")}
    return [
        f"body.{name}: {mine.get(name)!r} / {its.get(name)!r}"
        for name in sorted((mine.keys() | its.keys()) - sent_too)
        if mine.get(name) != its.get(name)
    ]


def plain_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that say what is sent, not who sends it."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in lowered.items()
        if not name.startswith(_CLIENT_HEADERS) and name != "content-type"
    }


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_the_adapter_writes_what_acompletion_sends(provider: str) -> None:
    model, path = PROVIDERS[provider]
    rng = random.Random(provider)

    async def compare() -> tuple[list[str], int]:
        problems, compared = [], 0
        with MockProvider() as server:
            server.enqueue(status=400, body=b"{}", times=10 * REQUESTS_EACH)
            base_url = server.origin + path
            for _ in range(REQUESTS_EACH):
                asked = make_request(rng)
                theirs = await send_with_litellm(server, provider, model, base_url, asked)
                if theirs is None:
                    continue
                try:
                    ours = write(provider, model, base_url, asked)
                except RequestNotBuilt as refused:
                    # Wanted: litellm leaves out a picture that a class has no place for.
                    if isinstance(refused.reason, ContentNotTaken):
                        assert PIXEL.partition(",")[2].encode() not in theirs.body
                        compared += 1
                        continue
                    problems.append(f"refused here: {refused}")
                    continue
                compared += 1
                problems += differences(provider, asked[1], ours, theirs)
        return problems, compared

    problems, compared = asyncio.run(compare())
    assert problems == []
    assert compared >= REQUESTS_EACH * 2 // 3


def test_the_caller_s_own_tools_are_not_changed() -> None:
    tools = copy.deepcopy(TOOLS)
    asked = (
        [{"role": "user", "content": "hi"}],
        {"tools": tools, "response_format": SCHEMA},
        False,
    )
    for provider in ("fireworks_ai", "anthropic"):
        model, path = PROVIDERS[provider]
        write(provider, model, "http://127.0.0.1:1" + path, asked)
        assert tools == TOOLS
