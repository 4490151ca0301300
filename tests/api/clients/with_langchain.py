"""LangChain, with its package for OpenAI's API."""

from __future__ import annotations

import asyncio
import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.api.clients.asking import PICTURE, SCHEMA, WEATHER, chosen, fails, tell

OPTIONS = {
    "base_url": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
}


def chat(model=None, **options):
    return ChatOpenAI(model=model or chosen(), **OPTIONS, **options)


def whole():
    answer = chat().invoke("hi")
    return [answer.text, answer.usage_metadata["output_tokens"]]


def stream():
    total = None
    for chunk in chat(stream_usage=True).stream("hi"):
        total = chunk if total is None else total + chunk
    return [total.text, total.usage_metadata["output_tokens"]]


def asynchronous():
    async def go():
        return "".join([chunk.text async for chunk in chat().astream("hi")])

    return asyncio.run(go())


def called(message):
    (call,) = message.tool_calls
    return [call["name"], call["args"]]


def streamed_tools():
    total = None
    for chunk in chat().bind_tools([WEATHER]).stream("hi"):
        total = chunk if total is None else total + chunk
    return called(total)


def picture():
    parts = [{"type": "text", "text": "what?"}]
    parts.append({"type": "image_url", "image_url": {"url": PICTURE}})
    return chat().invoke([{"role": "user", "content": parts}]).text


def schema():
    form = {"title": "place", "description": "A place.", **SCHEMA}
    return chat().with_structured_output(form, method="json_schema", strict=True).invoke("hi")


def embeddings():
    # Texts instead of token numbers: which tokenizer the model has, only its provider knows.
    made = OpenAIEmbeddings(model="mock/emb", check_embedding_ctx_length=False, **OPTIONS)
    return made.embed_query("one")


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "tools": lambda: called(chat().bind_tools([WEATHER]).invoke("hi")),
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": schema,
        "embeddings": embeddings,
        "error": lambda: fails(lambda: chat("nobody/m").invoke("hi")),
        "broken stream": lambda: fails(lambda: list(chat().stream("hi"))),
    }
)
