"""Recorded answers of the APIs that are not OpenAI's: Responses, Converse, Cohere, Ollama.

They are parsed directly; that the client requests them is tested with the adapters. What each
body means is read here from the APIs' documents, sharing no line with the parsers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.corpus.interactions import FOLDER
from toolkit.calls.parsers.error_classes import reading_error
from toolkit.calls.parsers.parsed_response import ParsedResponse
from toolkit.calls.parsers.sse import EventSplitter, LineSplitter
from toolkit.calls.parsers.stream_parser import choose_reader, read_body
from toolkit.calls.transport.exchange_record import Deadlines, WireRecord

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded traffic is not here")
STYLES = ("responses", "converse", "cohere", "ollama")


def _style_of(line: Mapping[str, Any]) -> str | None:
    url = line["url"].split("?")[0]
    if line["status"] != 200:
        return None
    if line["endpoint_kind"] == "responses":
        return "responses"
    if line["endpoint_kind"] != "chat":
        return None
    endings = (("/converse", "converse"), ("/v2/chat", "cohere"), ("/api/chat", "ollama"))
    return next((style for ending, style in endings if url.endswith(ending)), None)


def _recorded(style: str) -> Iterator[Mapping[str, Any]]:
    for path in sorted(FOLDER.glob("*.jsonl")):
        if not path.name.endswith(".models.jsonl"):
            for line in path.open(encoding="utf-8"):
                value = json.loads(line)
                if _style_of(value) == style:
                    yield value


def _parse(style: Any, line: Mapping[str, Any]) -> ParsedResponse:
    body = line["response_body"]
    text = body if isinstance(body, str) else json.dumps(body)
    parser = choose_reader(style)
    if not line["stream"]:
        read_body(text.encode(), parser)
        return parser.reading
    splitter = LineSplitter() if style == "ollama" else EventSplitter()
    for event in (*splitter.feed(text.encode()), *splitter.finish()):
        if event.data.strip() not in (b"", b"[DONE]"):
            parser.parse_event(event.name, json.loads(event.data))
    parser.finish()
    assert parser.reading.is_ended
    return parser.reading


def _objects(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The JSON objects of a body, whichever way they are framed."""
    body = line["response_body"]
    if not isinstance(body, str):
        return [body]
    try:
        return [json.loads(body)]
    except ValueError:
        lines = (text.removeprefix("data:").strip() for text in body.splitlines())
        return [json.loads(text) for text in lines if text.startswith("{")]


def _summary_of_responses(objects: list[dict[str, Any]]) -> tuple[Any, ...]:
    last = objects[-1].get("response", objects[-1])
    text, thought, tools = "", "", []
    for item in last["output"]:
        for part in item.get("content") or []:
            text += part["text"] if part["type"] == "output_text" else ""
            thought += part["text"] if part["type"] == "reasoning_text" else ""
        thought += "".join(part["text"] for part in item.get("summary") or [])
        if item["type"] == "function_call":
            tools.append((item["name"], item["arguments"]))
        if item["type"] == "custom_tool_call":
            tools.append((item["name"], item["input"]))
    usage = last["usage"]
    return text, thought, tools, usage["input_tokens"], usage["output_tokens"]


def _summary_of_converse(objects: list[dict[str, Any]]) -> tuple[Any, ...]:
    text, thought, tools = "", "", []
    for block in objects[0]["output"]["message"]["content"]:
        text += block.get("text", "")
        thought += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
        if use := block.get("toolUse"):
            tools.append((use["name"], use["input"]))
    if text.startswith("<thinking>"):  # Amazon Nova
        thought, _, text = text.removeprefix("<thinking>").partition("</thinking>")
    usage = objects[0]["usage"]
    cached = usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
    return text, thought, tools, usage["inputTokens"] + cached, usage["outputTokens"]


def _summary_of_cohere(objects: list[dict[str, Any]]) -> tuple[Any, ...]:
    text, thought = "", ""
    usage: dict[str, Any] = {}
    tools: list[list[str]] = []
    for value in objects:
        delta = value.get("delta", value)
        message = delta.get("message") or {}
        thought += message.get("tool_plan") or ""
        content = message.get("content") or []
        for part in content if isinstance(content, list) else [content]:
            text += part.get("text", "")
            thought += part.get("thinking", "")
        calls = message.get("tool_calls") or []
        for call in calls if isinstance(calls, list) else [calls]:
            if call.get("id"):
                tools.append([call["function"]["name"], call["function"]["arguments"]])
            else:
                tools[-1][1] += call["function"]["arguments"]
        usage = delta.get("usage") or usage
    counts = usage.get("tokens") or {}
    pairs = [(name, arguments) for name, arguments in tools]
    return text, thought, pairs, counts.get("input_tokens"), counts.get("output_tokens")


def _summary_of_ollama(objects: list[dict[str, Any]]) -> tuple[Any, ...]:
    messages = [value["message"] for value in objects]
    text = "".join(message["content"] for message in messages)
    thought = "".join(message.get("thinking") or "" for message in messages)
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    tools = [(call["name"], call["arguments"]) for call in calls]
    last = objects[-1]
    return text, thought, tools, last.get("prompt_eval_count"), last.get("eval_count")


_SUMMARIES = {
    "responses": _summary_of_responses,
    "converse": _summary_of_converse,
    "cohere": _summary_of_cohere,
    "ollama": _summary_of_ollama,
}


def _as_value(arguments: Any) -> Any:
    try:
        return json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


@pytest.mark.parametrize("style", STYLES)
def test_every_recorded_answer_means_what_it_says(style: str) -> None:
    wrong, count = [], 0
    for line in _recorded(style):
        count += 1
        objects = _objects(line)
        text, thought, tools, asked, answered = _SUMMARIES[style](objects)
        reading = _parse(style, line)
        error = reading_error(reading, _record())
        usage = reading.usage()
        got = (
            "".join(reading.text),
            "".join(reading.reasoning),
            [(call.name, _as_value(call.arguments)) for call in reading.tool_calls()],
            usage.input_tokens,
            usage.output_tokens,
        )
        expected = (text, thought, [(n, _as_value(a)) for n, a in tools], asked, answered)
        if error is not None or got != expected:
            pairs = zip(got, expected, strict=True)
            wrong.append((line["id"], error, [p for p in pairs if p[0] != p[1]]))
    assert not wrong, wrong
    assert count >= 30


def _record() -> WireRecord:
    deadlines = Deadlines(connect_s=1, first_token_s=1, chunk_s=1, total_at=float("inf"))
    return WireRecord(origin="http://127.0.0.1:1", stream=False, deadlines=deadlines, status=200)
