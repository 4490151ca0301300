"""litellm as a client of the gateway."""

from __future__ import annotations

import asyncio
import json
import os

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}

import litellm

from tests.api.clients.asking import PICTURE, SCHEMA, WEATHER, chosen, fails, tell

OPTIONS = {
    "api_base": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
    "num_retries": 0,
}
HI = [{"role": "user", "content": "hi"}]


def _model():
    return f"openai/{chosen()}"


def ask(messages=HI, model=None, **options):
    return litellm.completion(model=model or _model(), messages=messages, **OPTIONS, **options)


def whole():
    answer = ask()
    return [answer.choices[0].message.content, answer.usage.completion_tokens]


def stream(**options):
    chunks = list(ask(stream=True, stream_options={"include_usage": True}, **options))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return [text, litellm.stream_chunk_builder(chunks).usage.completion_tokens]


def asynchronous():
    async def go():
        made = await litellm.acompletion(model=_model(), messages=HI, stream=True, **OPTIONS)
        return "".join([c.choices[0].delta.content or "" async for c in made if c.choices])

    return asyncio.run(go())


def called(message):
    (call,) = message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


def ask_with_tools(**options):
    # With tools litellm wants a package that it does not install, unless told to go without.
    return ask(tools=[WEATHER], _skip_mcp_handler=True, **options)


def streamed_tools():
    chunks = list(ask_with_tools(stream=True))
    return called(litellm.stream_chunk_builder(chunks).choices[0].message)


def picture():
    parts = [{"type": "text", "text": "what?"}]
    parts.append({"type": "image_url", "image_url": {"url": PICTURE}})
    return ask([{"role": "user", "content": parts}]).choices[0].message.content


def schema():
    form = {"name": "place", "schema": SCHEMA, "strict": True}
    answer = ask(response_format={"type": "json_schema", "json_schema": form})
    return json.loads(answer.choices[0].message.content)


def embeddings():
    made = litellm.embedding(
        model="openai/mock/emb", input=["one"], encoding_format="float", **OPTIONS
    )
    return made.data[0]["embedding"]


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "tools": lambda: called(ask_with_tools().choices[0].message),
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": schema,
        "embeddings": embeddings,
        "error": lambda: fails(lambda: ask(model="openai/nobody/m")),
        "broken stream": lambda: fails(lambda: list(ask(stream=True))),
    }
)
