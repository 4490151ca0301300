"""Anthropic's official client, on whose API Claude Code and many agents are built."""

from __future__ import annotations

import asyncio
import os

import anthropic

from tests.api.clients.asking import PICTURE, WEATHER, chosen, fails, tell

OPTIONS = {
    "base_url": os.environ["GATEWAY_URL"].removesuffix("/v1"),
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
}
CLIENT = anthropic.Anthropic(**OPTIONS)
HI = [{"role": "user", "content": "hi"}]
FUNCTION = WEATHER["function"]
TOOL = {"name": FUNCTION["name"], "input_schema": FUNCTION["parameters"]}


def ask(messages=HI, model=None, **options):
    return CLIENT.messages.create(
        model=model or chosen(), max_tokens=100, messages=messages, **options
    )


def whole():
    answer = ask()
    return [answer.content[0].text, answer.usage.output_tokens]


def stream():
    with CLIENT.messages.stream(model=chosen(), max_tokens=100, messages=HI) as made:
        return ["".join(made.text_stream), made.get_final_message().usage.output_tokens]


def asynchronous():
    async def go():
        async with (
            anthropic.AsyncAnthropic(**OPTIONS) as client,
            client.messages.stream(model=chosen(), max_tokens=100, messages=HI) as made,
        ):
            return "".join([text async for text in made.text_stream])

    return asyncio.run(go())


def _called(answer):
    (use,) = [block for block in answer.content if block.type == "tool_use"]
    return [use.name, use.input]


def streamed_tools():
    with CLIENT.messages.stream(model=chosen(), max_tokens=100, messages=HI, tools=[TOOL]) as made:
        return _called(made.get_final_message())


def picture():
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]}
    parts = [{"type": "text", "text": "what?"}, {"type": "image", "source": source}]
    return ask([{"role": "user", "content": parts}]).content[0].text


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "tools": lambda: _called(ask(tools=[TOOL])),
        "streamed tools": streamed_tools,
        "picture": picture,
        "models": lambda: "mock/m" in [model.id for model in CLIENT.models.list()],
        "error": lambda: fails(lambda: ask(model="nobody/m")),
        "broken stream": lambda: fails(lambda: list(ask(stream=True))),
    }
)
