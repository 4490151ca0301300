"""instructor, over the official client of OpenAI."""

from __future__ import annotations

import os

import instructor
import openai
from pydantic import BaseModel

from tests.api.clients.asking import chosen, fails, tell

OPTIONS = {
    "base_url": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "max_retries": 0,
}
HI = [{"role": "user", "content": "hi"}]


class weather(BaseModel):
    """The weather."""

    city: str


def ask(mode, model=None, **options):
    client = instructor.from_openai(openai.OpenAI(**OPTIONS), mode=mode)
    return client.chat.completions.create(
        model=model or chosen(), messages=HI, response_model=weather, max_retries=0, **options
    )


def tools():
    made = ask(instructor.Mode.TOOLS)
    return [type(made).__name__, made.model_dump()]


def streamed_tools():
    client = instructor.from_openai(openai.OpenAI(**OPTIONS), mode=instructor.Mode.TOOLS)
    parts = client.chat.completions.create_partial(
        model=chosen(), messages=HI, response_model=weather, max_retries=0
    )
    return ["weather", list(parts)[-1].model_dump()]


def schema():
    return ask(instructor.Mode.JSON_SCHEMA).model_dump()


tell(
    {
        "tools": tools,
        "streamed tools": streamed_tools,
        "schema": schema,
        "error": lambda: fails(lambda: ask(instructor.Mode.TOOLS, model="nobody/m")),
    }
)
