"""LlamaIndex: its default class, which asks for text completions, and the same for chat."""

from __future__ import annotations

import asyncio
import os

from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from tests.api.clients.asking import PICTURE, chosen, fails, tell

OPTIONS = {
    "api_base": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
}


def weather(city: str) -> str:
    """The weather."""
    return city


TOOL = FunctionTool.from_defaults(fn=weather)


def completing(model=None):
    return OpenAILike(model=model or chosen(), **OPTIONS)


def chatting(**options):
    chat = {"is_chat_model": True, "is_function_calling_model": True}
    return OpenAILike(model=chosen(), **chat, **options, **OPTIONS)


def whole():
    answer = chatting().chat([ChatMessage("hi")])
    return [answer.message.content, answer.raw.usage.completion_tokens]


def stream():
    asked = {"stream_options": {"include_usage": True}}
    answers = list(chatting(additional_kwargs=asked).stream_chat([ChatMessage("hi")]))
    return [answers[-1].message.content, answers[-1].raw.usage.completion_tokens]


async def streamed():
    return "".join([answer.delta async for answer in await completing().astream_complete("hi")])


def called(response):
    (call,) = chatting().get_tool_calls_from_response(response)
    return [call.tool_name, call.tool_kwargs]


def streamed_tools():
    answers = list(chatting().stream_chat_with_tools([TOOL], user_msg="hi"))
    return called(answers[-1])


def picture():
    blocks = [TextBlock(text="what?"), ImageBlock(url=PICTURE)]
    return chatting().chat([ChatMessage(role="user", blocks=blocks)]).message.content


tell(
    {
        "whole": whole,
        "stream": stream,
        "completion": lambda: completing().complete("hi").text,
        "asynchronous": lambda: asyncio.run(streamed()),
        "tools": lambda: called(chatting().chat_with_tools([TOOL], user_msg="hi")),
        "streamed tools": streamed_tools,
        "picture": picture,
        "error": lambda: fails(lambda: completing("nobody/m").complete("hi")),
        "broken stream": lambda: fails(lambda: list(completing().stream_complete("hi"))),
    }
)
