"""DSPy, whose language model is litellm's client."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": tempfile.mkdtemp()}

import dspy

from tests.api.clients.asking import WEATHER, chosen, fails, tell

OPTIONS = {
    "api_base": os.environ["GATEWAY_URL"],
    "api_key": os.environ["GATEWAY_TOKEN"],
    "cache": False,
    "num_retries": 0,
}


def model(name=None):
    return dspy.LM(f"openai/{name or chosen()}", **OPTIONS)


def whole():
    lm = model()
    (text,) = lm("hi")
    return [text, lm.history[-1]["usage"]["completion_tokens"]]


def tools():
    (answer,) = model()("hi", tools=[WEATHER], tool_choice="auto")
    (call,) = answer["tool_calls"]
    return [call.function.name, json.loads(call.function.arguments)]


def schema():
    with dspy.context(lm=model(), adapter=dspy.JSONAdapter()):
        return {"city": dspy.Predict("question -> city")(question="where?").city}


tell(
    {
        "whole": whole,
        "asynchronous": lambda: asyncio.run(model().acall("hi"))[0],
        "tools": tools,
        "schema": schema,
        "error": lambda: fails(lambda: model("nobody/m")("hi")),
    }
)
