"""pydantic-ai, with its model class for OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import base64
import os

import openai
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, DeferredToolRequests, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import ExternalToolset

from tests.api.clients.asking import PICTURE, WEATHER, chosen, fails, tell

CLIENT = openai.AsyncOpenAI(
    base_url=os.environ["GATEWAY_URL"], api_key=os.environ["GATEWAY_TOKEN"], max_retries=0
)
FUNCTION = WEATHER["function"]
TOOLS = ExternalToolset(
    [ToolDefinition(name=FUNCTION["name"], parameters_json_schema=FUNCTION["parameters"])]
)


class Place(BaseModel):
    city: str


def agent(model=None, **options):
    chat = OpenAIChatModel(model or chosen(), provider=OpenAIProvider(openai_client=CLIENT))
    return Agent(chat, retries=0, **options)


LOOP = asyncio.new_event_loop()


def run(work):
    return LOOP.run_until_complete(work)


def whole():
    made = run(agent().run("hi"))
    usage = made.usage() if callable(made.usage) else made.usage
    return [made.output, usage.output_tokens]


async def streamed():
    async with agent().run_stream("hi") as made:
        text = "".join([piece async for piece in made.stream_text(delta=True)])
        usage = made.usage() if callable(made.usage) else made.usage
        return [text, usage.output_tokens]


def tools():
    deferred = agent(toolsets=[TOOLS], output_type=[str, DeferredToolRequests])
    (call,) = run(deferred.run("hi")).output.calls
    return [call.tool_name, call.args_as_dict()]


async def streamed_tools():
    deferred = agent(toolsets=[TOOLS], output_type=[str, DeferredToolRequests])
    async with deferred.run_stream("hi") as made:
        (call,) = (await made.get_output()).calls
    return [call.tool_name, call.args_as_dict()]


def picture():
    image = BinaryContent(base64.b64decode(PICTURE.partition(",")[2]), media_type="image/png")
    return run(agent().run(["what?", image])).output


tell(
    {
        "whole": whole,
        "stream": lambda: run(streamed()),
        "asynchronous": lambda: run(streamed())[0],
        "tools": tools,
        "streamed tools": lambda: run(streamed_tools()),
        "picture": picture,
        "schema": lambda: run(agent(output_type=NativeOutput(Place)).run("hi")).output.model_dump(),
        "error": lambda: fails(lambda: run(agent("nobody/m").run("hi"))),
        "broken stream": lambda: fails(lambda: run(streamed())),
    }
)
