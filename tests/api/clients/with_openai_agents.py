"""openai-agents, with its default model class (the Responses API)."""

from __future__ import annotations

import asyncio
import json
import os

import agents
import openai
from pydantic import BaseModel

from tests.api.clients.asking import PICTURE, chosen, fails, tell

agents.set_tracing_disabled(True)
agents.set_default_openai_client(
    openai.AsyncOpenAI(
        base_url=os.environ["GATEWAY_URL"], api_key=os.environ["GATEWAY_TOKEN"], max_retries=0
    ),
    use_for_tracing=False,
)
LOOP = asyncio.new_event_loop()


class Place(BaseModel):
    city: str


@agents.function_tool
def weather(city: str) -> str:
    """The weather."""
    return json.dumps(["weather", {"city": city}])


def agent(model=None, **options):
    client = agents.models.openai_provider.OpenAIProvider().get_model(model or chosen())
    return agents.Agent(name="tester", model=client, **options)


def run(given="hi", **options):
    return LOOP.run_until_complete(agents.Runner.run(agent(**options), given))


def whole():
    made = run()
    return [made.final_output, made.raw_responses[-1].usage.output_tokens]


async def streamed(**options):
    made = agents.Runner.run_streamed(agent(**options), "hi")
    text = ""
    async for event in made.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    return [text, made]


def stream():
    text, made = LOOP.run_until_complete(streamed())
    return [text, made.raw_responses[-1].usage.output_tokens]


CALL = {"tools": [weather], "tool_use_behavior": "stop_on_first_tool"}


def streamed_tools():
    return json.loads(LOOP.run_until_complete(streamed(**CALL))[1].final_output)


def picture():
    parts = [{"type": "input_text", "text": "what?"}]
    parts.append({"type": "input_image", "image_url": PICTURE, "detail": "auto"})
    return run([{"role": "user", "content": parts}]).final_output


tell(
    {
        "whole": whole,
        "stream": stream,
        "asynchronous": lambda: LOOP.run_until_complete(streamed())[0],
        "tools": lambda: json.loads(run(**CALL).final_output),
        "streamed tools": streamed_tools,
        "picture": picture,
        "schema": lambda: run(output_type=Place).final_output.model_dump(),
        "error": lambda: fails(lambda: run(model="nobody/m")),
        "broken stream": lambda: fails(lambda: LOOP.run_until_complete(streamed())),
    }
)
