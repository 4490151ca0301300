"""smolagents, with its model class for OpenAI's API."""

from __future__ import annotations

import json
import os
from typing import ClassVar

from smolagents import OpenAIServerModel, Tool

from tests.api.clients.asking import PICTURE, SCHEMA, chosen, fails, tell


class Weather(Tool):
    name = "weather"
    description = "The weather."
    inputs: ClassVar = {"city": {"type": "string", "description": "Which city."}}
    output_type = "string"

    def forward(self, city: str) -> str:
        return city


def model(name=None):
    return OpenAIServerModel(
        model_id=name or chosen(),
        api_base=os.environ["GATEWAY_URL"],
        api_key=os.environ["GATEWAY_TOKEN"],
        client_kwargs={"max_retries": 0},
    )


def said(*content):
    return [{"role": "user", "content": [{"type": "text", "text": "hi"}, *content]}]


def whole():
    answer = model().generate(said())
    return [answer.content, answer.token_usage.output_tokens]


def stream():
    pieces = list(model().generate_stream(said()))
    text = "".join(piece.content or "" for piece in pieces)
    return [text, sum(piece.token_usage.output_tokens for piece in pieces if piece.token_usage)]


def tools():
    (call,) = model().generate(said(), tools_to_call_from=[Weather()]).tool_calls
    arguments = call.function.arguments
    return [
        call.function.name,
        json.loads(arguments) if isinstance(arguments, str) else arguments,
    ]


def streamed_tools():
    pieces = model().generate_stream(said(), tools_to_call_from=[Weather()])
    deltas = [delta for piece in pieces for delta in piece.tool_calls or ()]
    names = [delta.function.name for delta in deltas if delta.function.name]
    arguments = "".join(delta.function.arguments or "" for delta in deltas)
    return [names[0], json.loads(arguments)]


def picture():
    image = {"type": "image_url", "image_url": {"url": PICTURE}}
    return model().generate(said(image)).content


def schema():
    form = {"name": "place", "schema": SCHEMA, "strict": True}
    answer = model().generate(said(), response_format={"type": "json_schema", "json_schema": form})
    return json.loads(answer.content)


tell(
    {
        "whole": whole,
        "stream": stream,
        "tools": tools,
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": schema,
        "error": lambda: fails(lambda: model("nobody/m").generate(said())),
        "broken stream": lambda: fails(lambda: list(model().generate_stream(said()))),
    }
)
