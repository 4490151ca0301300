"""The official client of the Responses API, which newer SDKs use by default."""

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
TOOL = {"type": "function", **WEATHER["function"], "strict": True}


def ask(input="hi", model=None, **options):
    return CLIENT.responses.create(model=model or chosen(), input=input, **options)


def whole():
    answer = ask()
    return [answer.output_text, answer.usage.output_tokens]


def stream():
    with CLIENT.responses.stream(model=chosen(), input="hi") as made:
        text = "".join(e.delta for e in made if e.type == "response.output_text.delta")
        return [text, made.get_final_response().usage.output_tokens]


def asynchronous():
    async def go():
        async with openai.AsyncOpenAI(**OPTIONS) as client:
            made = await client.responses.create(model=chosen(), input="hi", stream=True)
            return "".join([e.delta async for e in made if e.type == "response.output_text.delta"])

    return asyncio.run(go())


def _called(answer):
    (call,) = [item for item in answer.output if item.type == "function_call"]
    return [call.name, json.loads(call.arguments)]


def streamed_tools():
    with CLIENT.responses.stream(model=chosen(), input="hi", tools=[TOOL]) as made:
        made.until_done()
        return _called(made.get_final_response())


def picture():
    parts = [{"type": "input_text", "text": "what?"}]
    parts.append({"type": "input_image", "image_url": PICTURE})
    return ask([{"role": "user", "content": parts}]).output_text


def schema():
    form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
    return json.loads(ask(text={"format": form}).output_text)


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": asynchronous,
        "tools": lambda: _called(ask(tools=[TOOL])),
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": schema,
        "error": lambda: fails(lambda: ask(model="nobody/m")),
        "broken stream": lambda: fails(lambda: list(ask(stream=True))),
    }
)
