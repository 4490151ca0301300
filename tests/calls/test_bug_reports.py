"""Answers that public bug reports describe, rebuilt byte by byte and played to the real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calls.asking import asking, quick_settings
from tests.calls.report_server import ReportServer
from toolkit.errors import CallError
from toolkit.records import Reply

FOLDER = Path(__file__).with_name("reports")
REPORTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
Check = Callable[[Reply], bool]


def _tools(*wanted: tuple[str, str]) -> Check:
    return lambda reply: [(call.name, call.arguments) for call in reply.tool_calls] == list(wanted)


def _text(wanted: str) -> Check:
    return lambda reply: reply.text == wanted


def _usage(wanted_in: int | None, wanted_out: int | None) -> Check:
    return lambda reply: (
        (reply.usage.input_tokens, reply.usage.output_tokens) == (wanted_in, wanted_out)
    )


# What each report must come to: a check of the reply, or the code of the error.
RIGHT: dict[str, Check | str] = {
    "01": lambda r: [json.loads(c.arguments) for c in r.tool_calls] == [{"x": "1"}, {"x": "2"}],
    "02": lambda r: [c.name for c in r.tool_calls] == ["alpha", "beta"],
    "04": lambda r: [json.loads(c.arguments) for c in r.tool_calls] == [{"x": "1"}, {"x": "2"}],
    "05": lambda r: len(r.tool_calls) == 1,
    "07": lambda r: len(r.tool_calls) == 1 and r.tool_calls[0].name == "alpha",
    "08": lambda r: len(r.tool_calls) == 1 and r.finish_reason == "tool_calls",
    "10": lambda r: bool(r.text) and r.finish_reason is None and "no_finish_reason" in r.flags,
    "11": "STREAM_ERROR",
    "12": "RATE_LIMIT_EXCEEDED",
    "14": _text("Hello"),
    "15": _text("Hello there"),
    "16": lambda r: "\u2028" in r.text and "\u2029" in r.text,
    "18": _usage(10, 3),
    "20": lambda r: r.text.strip() == "42" and "think_tags" in r.flags and bool(r.reasoning),
    "21": lambda r: r.text == "42" and r.reasoning == "hm",
    "26": lambda r: len(r.choices) == 2 and r.choices[1].text.startswith("B"),
    "37": lambda r: r.text == "ab" and r.finish_reason == "stop",
    "38": "PARSE_ERROR",
    "39": _text("a"),
    "40": _text("a"),
    "40b": _text("a"),
    "41": lambda r: len(r.text) == 1_500_001,
    "43": lambda r: bool(r.text),
    "45": lambda r: [part.type for part in r.parts] == ["image"],
    "48": lambda r: bool(r.text),
    "49": lambda r: bool(r.text) and "not_streamed" in r.flags,
    "50": _text("ok"),
    "52": _text("Hello"),
    "54": _usage(10, 3),
    "55": _usage(10, 3),
    "56": lambda r: r.finish_reason == "length" and "tool_arguments_invalid" in r.flags,
    "58": "SERVER_ERROR",
    "61": "STREAM_ERROR",
    "62": "SERVER_ERROR",
    "67": lambda r: bool(r.logprobs) and "logprob" in r.logprobs[0],
    "69": lambda r: bool(r.text),
    "82": _usage(10, 3),
    "84": _text("Hi"),
}
RUNS = [
    (name, mode) for name, report in REPORTS.items() for mode in report.get("modes", ["stream"])
]


@pytest.fixture(scope="module")
def server() -> Iterator[ReportServer]:
    with ReportServer() as running:
        yield running


@pytest.mark.parametrize(("name", "mode"), RUNS)
def test_report(name: str, mode: str, server: ReportServer) -> None:
    report = REPORTS[name]
    server.put_on(report)
    style = "anthropic" if "anthropic" in report.get("provider", {}).get("type", "") else "openai"
    # A wait for the silence after a finish would fail by these.
    settings = quick_settings(chunk_timeout_s=30.0, total_timeout_s=15.0)
    asked = asking(server.base_url + ("/v1" if style == "openai" else ""), style, settings=settings)
    options: dict[str, Any] = {"n": 2} if name.startswith("26") else {}

    async def ask() -> Reply:
        if mode == "complete":
            reply: Reply = await asked.complete(**options)
            return reply
        stream = asked.stream(**options)
        text = "".join([piece async for piece in stream])
        assert text == stream.reply.text
        streamed: Reply = stream.reply
        return streamed

    right = RIGHT[name.split("-")[0]]
    if isinstance(right, str):
        with pytest.raises(CallError) as caught:
            asyncio.run(ask())
        assert caught.value.code == right
        return
    reply = asyncio.run(ask())
    assert right(reply), reply
    assert server.requests == 1


def test_every_report_has_its_check() -> None:
    assert {name.split("-")[0] for name in REPORTS} == set(RIGHT)
