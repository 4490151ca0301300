"""The official client, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import json
import os

import openai

from tests.api.clients.asking import PICTURE, SCHEMA, WEATHER, chosen, fails, tell

OPTIONS = {
    "base_url": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
}
CLIENT = openai.OpenAI(**OPTIONS)
HI = [{"role": "user", "content": "hi"}]


def ask(messages=HI, model=None, **options):
    return CLIENT.chat.completions.create(model=model or chosen(), messages=messages, **options)


def whole():
    answer = ask()
    return [answer.choices[0].message.content, answer.usage.completion_tokens]


def stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return [text, chunks[-1].usage.completion_tokens]


def asynchronous():
    async def go():
        async with openai.AsyncOpenAI(**OPTIONS) as client:
            made = await client.chat.completions.create(model=chosen(), messages=HI, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in made if c.choices])

    return asyncio.run(go())


def tools():
    (call,) = ask(tools=[WEATHER]).choices[0].message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


def streamed_tools():
    with CLIENT.chat.completions.stream(model=chosen(), messages=HI, tools=[WEATHER]) as made:
        (call,) = made.get_final_completion().choices[0].message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


def picture():
    parts = [{"type": "text", "text": "what?"}]
    parts.append({"type": "image_url", "image_url": {"url": PICTURE}})
    return ask([{"role": "user", "content": parts}]).choices[0].message.content


def schema():
    form = {"name": "place", "schema": SCHEMA, "strict": True}
    answer = ask(response_format={"type": "json_schema", "json_schema": form})
    return json.loads(answer.choices[0].message.content)


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "completion": lambda: (
            CLIENT.completions.create(model=chosen(), prompt="hi").choices[0].text
        ),
        "tools": tools,
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": schema,
        "embeddings": lambda: (
            CLIENT.embeddings.create(model="mock/emb", input=["one"]).data[0].embedding
        ),
        "models": lambda: "mock/m" in [model.id for model in CLIENT.models.list()],
        "error": lambda: fails(lambda: ask(model="nobody/m")),
        "broken stream": lambda: fails(lambda: list(ask(stream=True))),
    }
)
