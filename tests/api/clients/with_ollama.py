"""Ollama's own Python client."""

from __future__ import annotations

import asyncio
import json
import os

import ollama

from tests.api.clients.asking import PICTURE, SCHEMA, WEATHER, chosen, fails, tell

HOST = os.environ["GATEWAY_URL"].removesuffix("/v1")
OPTIONS = {"host": HOST, "headers": {"Authorization": f"Bearer {os.environ['GATEWAY_TOKEN']}"}}
CLIENT = ollama.Client(**OPTIONS)
HI = [{"role": "user", "content": "hi"}]


def chat(messages=HI, model=None, **options):
    return CLIENT.chat(model=model or chosen(), messages=messages, **options)


def whole():
    answer = chat()
    return [answer.message.content, answer.eval_count]


def stream():
    pieces = list(chat(stream=True))
    return ["".join(piece.message.content or "" for piece in pieces), pieces[-1].eval_count]


def asynchronous():
    async def go():
        client = ollama.AsyncClient(**OPTIONS)
        made = await client.chat(model=chosen(), messages=HI, stream=True)
        return "".join([piece.message.content or "" async for piece in made])

    return asyncio.run(go())


def called(calls):
    (call,) = calls
    return [call.function.name, dict(call.function.arguments)]


def streamed_tools():
    pieces = list(chat(tools=[WEATHER], stream=True))
    return called([call for piece in pieces for call in piece.message.tool_calls or ()])


def picture():
    image = PICTURE.partition(",")[2]
    return chat([{"role": "user", "content": "what?", "images": [image]}]).message.content


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "tools": lambda: called(chat(tools=[WEATHER]).message.tool_calls),
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": lambda: json.loads(chat(format=SCHEMA).message.content),
        "models": lambda: "mock/m" in [model.model for model in CLIENT.list().models],
        "error": lambda: fails(lambda: chat(model="nobody/m")),
        "broken stream": lambda: fails(lambda: list(chat(stream=True))),
    }
)
