"""Every format of the gateway in front of every API of a provider, by the clients' own parsers.

The provider is scripted once, in no API's terms; what a client makes of the answer must be the
same whichever of the seven APIs it came in, whole and streamed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest

from tests.api.every_api import PROVIDERS, Gateway, model_of

USAGE = {"prompt_tokens": 7, "completion_tokens": 5}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CITIES = ({"city": "Bonn"}, {"city": "Köln"})
CALLS = [
    {
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps(city, ensure_ascii=False)},
    }
    for index, city in enumerate(CITIES)
]
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"


@dataclass
class Seen:
    """What a client made of an answer.

    Attributes:
        finish: `stop`, `length` or `tools`, whatever the format calls it.
        usage: input and output tokens.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = ""
    usage: tuple[int, int] | None = None


# ---- clients ------------------------------------------------------------------------------------


def ask_chat(gateway: Gateway, api: str, stream: bool, **more: Any) -> Seen:
    client = gateway.openai
    options: Any = {"model": model_of(api), "messages": _messages(more), **_chat_options(more)}
    if stream:
        return _read_chunks(client, options)
    answer = client.chat.completions.create(**options)
    (choice,) = answer.choices
    message, usage = choice.message, answer.usage
    return Seen(
        text=message.content or "",
        reasoning=getattr(message, "reasoning_content", None) or "",
        calls=[
            (call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or ()
        ],
        finish={"tool_calls": "tools"}.get(choice.finish_reason, choice.finish_reason),
        usage=None if usage is None else (usage.prompt_tokens, usage.completion_tokens),
    )


def _read_chunks(client: openai.OpenAI, options: dict[str, Any]) -> Seen:
    seen = Seen()
    calls: dict[int, list[str]] = {}
    more = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in client.chat.completions.create(**options, **more):
        if chunk.usage:
            seen.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            delta = choice.delta
            seen.text += delta.content or ""
            seen.reasoning += getattr(delta, "reasoning_content", None) or ""
            for call in delta.tool_calls or ():
                parts = calls.setdefault(call.index, [call.function.name or ""])
                parts.append(call.function.arguments or "")
            if reason := choice.finish_reason:
                seen.finish = {"tool_calls": "tools"}.get(reason, reason)
    seen.calls = [(name, json.loads("".join(parts))) for name, *parts in calls.values()]
    return seen


def _messages(more: dict[str, Any]) -> list[dict[str, Any]]:
    if not more.get("picture"):
        return [{"role": "user", "content": "hi"}]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}
    return [{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}]


def _chat_options(more: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if more.get("tools"):
        function = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
        options["tools"] = [{"type": "function", "function": {**function, "strict": True}}]
    if more.get("schema"):
        schema = {"name": "place", "schema": SCHEMA, "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    if more.get("reasoning"):
        options["reasoning_effort"] = "low"
    return options


def ask_responses(gateway: Gateway, api: str, stream: bool, **more: Any) -> Seen:
    options: Any = {"model": model_of(api), "input": "hi"}
    if more.get("picture"):
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{DOT}"}
        content = [{"type": "input_text", "text": "hi"}, image]
        options["input"] = [{"role": "user", "content": content}]
    if more.get("tools"):
        options["tools"] = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
    if more.get("schema"):
        form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
        options["text"] = {"format": form}
    if more.get("reasoning"):
        options["reasoning"] = {"effort": "low", "summary": "auto"}
    client = gateway.openai
    if stream:
        # Not its accumulator, which knows no end but `response.completed`.
        answer = [*client.responses.create(**options, stream=True)][-1].response
    else:
        answer = client.responses.create(**options)
    calls = [item for item in answer.output if item.type == "function_call"]
    thoughts = [item for item in answer.output if item.type == "reasoning"]
    finish = "length" if answer.status == "incomplete" else "tools" if calls else "stop"
    usage = answer.usage
    return Seen(
        text=answer.output_text,
        reasoning="".join(part.text for item in thoughts for part in item.summary),
        calls=[(call.name, json.loads(call.arguments)) for call in calls],
        finish=finish,
        usage=None if usage is None else (usage.input_tokens, usage.output_tokens),
    )


def ask_messages(gateway: Gateway, api: str, stream: bool, **more: Any) -> Seen:
    options: Any = {"model": model_of(api), "max_tokens": 4000}
    options["messages"] = [{"role": "user", "content": "hi"}]
    if more.get("picture"):
        source = {"type": "base64", "media_type": "image/png", "data": DOT}
        content = [{"type": "text", "text": "hi"}, {"type": "image", "source": source}]
        options["messages"] = [{"role": "user", "content": content}]
    if more.get("tools"):
        options["tools"] = [{"name": "weather", "input_schema": SCHEMA}]
    if more.get("schema"):
        options["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    if more.get("reasoning"):
        options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    client = gateway.claude
    if stream:
        with client.messages.stream(**options) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**options)
    blocks = answer.content
    return Seen(
        text="".join(block.text for block in blocks if block.type == "text"),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        calls=[(block.name, block.input) for block in blocks if block.type == "tool_use"],
        finish={"end_turn": "stop", "max_tokens": "length", "tool_use": "tools"}[
            answer.stop_reason or ""
        ],
        usage=(answer.usage.input_tokens, answer.usage.output_tokens),
    )


def ask_ollama(gateway: Gateway, api: str, stream: bool, **more: Any) -> Seen:
    message: dict[str, Any] = {"role": "user", "content": "hi"}
    if more.get("picture"):
        message["images"] = [DOT]
    body: dict[str, Any] = {"model": model_of(api), "messages": [message], "stream": stream}
    if more.get("tools"):
        body["tools"] = [
            {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        ]
    if more.get("schema"):
        body["format"] = SCHEMA
    if more.get("reasoning"):
        body["think"] = "low"
    answer = gateway.post("/api/chat", body)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert stream or len(lines) == 1
    messages = [line["message"] for line in lines]
    calls = [call["function"] for item in messages for call in item.get("tool_calls", ())]
    return Seen(
        text="".join(item["content"] for item in messages),
        reasoning="".join(item.get("thinking", "") for item in messages),
        calls=[(call["name"], call["arguments"]) for call in calls],
        finish="tools" if calls else lines[-1]["done_reason"],
        usage=(lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]),
    )


FORMATS: dict[str, Callable[..., Seen]] = {
    "chat": ask_chat,
    "responses": ask_responses,
    "messages": ask_messages,
    "ollama": ask_ollama,
}


@pytest.fixture(autouse=True)
def nothing_left(gateway: Gateway) -> None:
    gateway.provider.forget()


every_pair = [
    pytest.param(form, api, id=f"{form}-of-{api}") for form in FORMATS for api in PROVIDERS
]
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@whole_and_streamed
@pytest.mark.parametrize(("form", "api"), every_pair)
def test_texts_tools_and_reasoning_are_the_same_through_every_api(
    gateway: Gateway, form: str, api: str, stream: bool
) -> None:
    ask = FORMATS[form]
    gateway.provider.enqueue(chunks=["Grüß ", "Gott"], reasoning="Hm.", usage=USAGE)
    seen = ask(gateway, api, stream, reasoning=True)
    assert seen == Seen("Grüß Gott", "Hm.", [], "stop", (7, 5))

    gateway.provider.enqueue(chunks=["cut ", "short"], usage=USAGE, finish_reason="length")
    assert ask(gateway, api, stream).finish == "length"

    scripted = {"tool_calls": CALLS, "tool_pieces": 3, "finish_reason": "tool_calls"}
    gateway.provider.enqueue(text="", usage=USAGE, **scripted)
    seen = ask(gateway, api, stream, tools=True)
    assert seen.calls == [("weather", city) for city in CITIES]
    assert (seen.finish, seen.usage) == ("tools", (7, 5))
    assert "weather" in gateway.provider.requests[-1].body.decode()

    gateway.provider.enqueue(text="both", usage=USAGE, **scripted)
    seen = ask(gateway, api, stream, tools=True)
    assert (seen.text, len(seen.calls)) == ("both", 2)


@pytest.mark.parametrize(("form", "api"), every_pair)
def test_pictures_and_schemas_reach_every_api(gateway: Gateway, form: str, api: str) -> None:
    ask = FORMATS[form]
    gateway.provider.enqueue(text="a dot", usage=USAGE)
    assert ask(gateway, api, False, picture=True).text == "a dot"
    assert DOT in gateway.provider.requests[-1].body.decode()

    gateway.provider.enqueue(text='{"city": "Bonn"}', usage=USAGE)
    seen = ask(gateway, api, False, schema=True)
    sent = gateway.provider.requests[-1].body.decode()
    assert json.loads(seen.text) == {"city": "Bonn"}
    assert "city" in sent


@pytest.mark.parametrize("api", PROVIDERS)
def test_an_error_of_every_api_is_one_of_the_client(gateway: Gateway, api: str) -> None:
    refusal = {"status": 429, "text": "slow down", "headers": {"retry-after": "7"}}
    gateway.provider.enqueue(**refusal)
    with pytest.raises(openai.RateLimitError, match="slow down") as chat:
        ask_chat(gateway, api, False)
    assert chat.value.code == "rate_limit_exceeded"
    assert chat.value.response.headers["retry-after"] == "7"
    gateway.provider.enqueue(**refusal)
    with pytest.raises(openai.RateLimitError, match="slow down"):
        ask_responses(gateway, api, True)
    gateway.provider.enqueue(**refusal)
    with pytest.raises(anthropic.RateLimitError, match="slow down") as message:
        ask_messages(gateway, api, True)
    assert message.value.body["error"]["type"] == "rate_limit_error"
    gateway.provider.enqueue(**refusal)
    body = {"model": model_of(api), "messages": [{"role": "user", "content": "hi"}]}
    answer = gateway.post("/api/chat", body)
    assert (answer.status_code, "slow down" in answer.json()["error"]) == (429, True)


@pytest.mark.parametrize("api", PROVIDERS)
def test_a_stream_that_is_cut_is_an_error_in_every_format(gateway: Gateway, api: str) -> None:
    def cut() -> None:
        gateway.provider.enqueue(chunks=["one ", "two ", "three"], drop_after=1)

    cut()
    with pytest.raises(openai.APIError, match=r"cut|stream"):
        ask_chat(gateway, api, True)
    cut()
    with pytest.raises(openai.APIError, match=r"cut|stream"):
        ask_responses(gateway, api, True)
    cut()
    with pytest.raises(anthropic.APIError, match=r"cut|stream"):
        ask_messages(gateway, api, True)
    cut()
    body = {"model": model_of(api), "messages": [{"role": "user", "content": "hi"}]}
    lines = gateway.post("/api/chat", body).text.splitlines()
    assert "error" in json.loads(lines[-1])
