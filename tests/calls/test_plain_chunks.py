"""Plain chunks of OpenAI's streams are read at less cost, and nothing else is read differently."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.calls.parsers.parsed_response import ParsedResponse
from toolkit.calls.parsers.styles.openai_chat import OpenAIChatParser

CALL = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": "{}"}}


def chunk(delta: Any, choice: Any = None, **members: Any) -> dict[str, Any]:
    inner = {"index": 0, "delta": delta, "finish_reason": None, **(choice or {})}
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [inner],
    } | members


PLAIN = chunk({"content": "more "})
ODD = [
    chunk({"content": "end"}, {"finish_reason": "stop"}),
    chunk({"content": "sure"}, {"logprobs": {"content": [{"token": "sure", "logprob": -1}]}}),
    chunk({"content": "second"}, {"index": 1}),
    chunk({"content": "none"}, {"index": None}),
    chunk({"content": "three"}, {"index": "0"}),
    chunk({"content": "said", "reasoning_content": "thought"}),
    chunk({"content": "called", "tool_calls": [CALL]}),
    chunk({"content": ["text"]}),
    chunk({"content": ""}),
    chunk({"content": None}),
    chunk({"role": "assistant", "content": "again"}),
    chunk({"content": "counted"}, usage={"prompt_tokens": 3, "completion_tokens": 2}),
    chunk({"content": "null"}, usage=None),
    chunk({"content": "tier"}, service_tier="flex"),
    chunk({"content": "print"}, system_fingerprint="fp_1"),
    chunk({"content": "cited"}, citations=["https://a.example"]),
    chunk({"content": "new"}, unheard_of=1),
    chunk({"content": "new"}, {"unheard_of": 1}),
    chunk(None),
    chunk("text"),
    {**PLAIN, "choices": [*PLAIN["choices"], *PLAIN["choices"]]},
    {**PLAIN, "choices": []},
    {**PLAIN, "choices": None},
    {**PLAIN, "choices": {}},
    {**PLAIN, "choices": [None]},
    {**PLAIN, "choices": ["text"]},
]


def read(chunks: list[dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
    parser = OpenAIChatParser()
    pieces = [piece for value in chunks for piece in parser.parse_event(None, value)]
    pieces += parser.finish()
    reading: ParsedResponse = parser.reading
    return pieces, {
        name: getattr(reading, name)
        for name in dir(reading)
        if not name.startswith("_") and not callable(getattr(reading, name))
    }


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_chunk_with_more_than_text_is_read_whole(odd, monkeypatch):
    first = chunk({"role": "assistant", "content": ""})
    stream = [first, PLAIN, PLAIN, odd, PLAIN, odd, chunk({}, {"finish_reason": "stop"})]
    quick = read(stream)
    monkeypatch.setattr(OpenAIChatParser, "_find_plain_text", lambda parser, value: None)
    slow = read(stream)
    assert quick[0] == slow[0]
    assert repr(quick[1]) == repr(slow[1])


def test_plain_chunks_take_the_quick_way(monkeypatch):
    taken = []
    whole = OpenAIChatParser._take

    def take(parser, value, part):
        taken.append(value)
        return whole(parser, value, part)

    monkeypatch.setattr(OpenAIChatParser, "_take", take)
    pieces, reading = read([chunk({"content": "start "}), *[PLAIN] * 9])
    assert (len(pieces), len(taken)) == (10, 1)
    assert "".join(reading["text"]) == "start " + "more " * 9
