"""Misshapen answers: types swapped, members dropped, doubled, nested, texts cut.

Whatever is done to a good answer, parsing it gives an error of ours, or an answer that has the
text it had, or a flag that says that something is odd. It never raises anything else.
"""

from __future__ import annotations

import copy
import json
import random
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from toolkit.calls.parsers.error_classes import reading_error, words_error
from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.json_text import decode_json
from toolkit.calls.parsers.parsed_response import ParsedResponse, ResponseParser
from toolkit.calls.parsers.stream_parser import choose_reader, read_body
from toolkit.calls.transport.exchange_record import AnswerRefused, Deadlines, WireRecord
from toolkit.errors import CallError

MUTATIONS = 300
TEXT = "The answer is 42."

_CALL = {"name": "look_up", "arguments": '{"city": "Paris"}'}
_CHAT = {
    "id": "c1",
    "model": "m",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": TEXT,
                "reasoning_content": "hm",
                "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": _CALL}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16},
}
_MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": TEXT},
        {"type": "tool_use", "id": "t", "name": "look_up", "input": {"city": "Paris"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 7, "output_tokens": 9},
}
_CONTENT = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": TEXT},
                    {"functionCall": {"name": "look_up", "args": {"city": "Paris"}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 9, "totalTokenCount": 16},
    "modelVersion": "m",
}
_RESPONSE = {
    "id": "r1",
    "object": "response",
    "model": "m",
    "status": "completed",
    "output": [
        {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
        {"type": "function_call", "call_id": "f", **_CALL},
    ],
    "usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16},
}
_CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                {"text": TEXT},
                {"toolUse": {"toolUseId": "t", "name": "look_up", "input": {"city": "Paris"}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16},
}
_COHERE = {
    "id": "c",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": TEXT}],
        "tool_calls": [{"id": "t", "type": "function", "function": _CALL}],
    },
    "usage": {"tokens": {"input_tokens": 7, "output_tokens": 9}},
}
_OLLAMA = {
    "model": "m",
    "done": True,
    "done_reason": "stop",
    "message": {
        "role": "assistant",
        "content": TEXT,
        "thinking": "hm",
        "tool_calls": [{"function": {"name": "look_up", "arguments": {"city": "Paris"}}}],
    },
    "prompt_eval_count": 7,
    "eval_count": 9,
}
GOOD: dict[str, dict[str, Any]] = {
    "openai": _CHAT,
    "anthropic": _MESSAGE,
    "gemini": _CONTENT,
    "responses": _RESPONSE,
    "converse": _CONVERSE,
    "cohere": _COHERE,
    "ollama": _OLLAMA,
}
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 42, -1, 10**20, 1.5, "", "hello", [], [None], ["hello"], [[]], {}, {"a": 1}),
    *([{}], {"error": None}, "\u0000", [42]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from _places(item, (*path, key))


def mutate(good: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], bool]:
    """One changed copy, and whether a value became one of another type.

    What is missing, null or empty is "not said", which is no fault; another type is one.
    """
    value = copy.deepcopy(good)
    *path, key = rng.choice(list(_places(value)))
    holder: Any = value
    for step in path:
        holder = holder[step]
    old, how = holder[key], rng.randrange(6)
    if how == 0 and isinstance(holder, dict):
        del holder[key]
        return value, False
    if how == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(old))
        return value, False
    odd = copy.deepcopy(rng.choice(ODD_VALUES))
    holder[key] = [old] if how == 2 else {"nested": old} if how == 3 else odd
    is_empty = holder[key] in (None, "", [], {}, [None])
    is_models_own = key in ("city", "arguments")  # the model may write anything there
    return value, not (is_empty or is_models_own) and type(holder[key]) is not type(old)


def parse(style: Any, body: bytes) -> tuple[ParsedResponse, CallError | str | None]:
    """What became of a whole body."""
    parser: ResponseParser = choose_reader(style)
    try:
        read_body(body, parser)
    except AnswerRefused:
        return parser.reading, "refused"
    return parser.reading, reading_error(parser.reading, _record())


def _record() -> WireRecord:
    deadlines = Deadlines(connect_s=1, first_token_s=1, chunk_s=1, total_at=time.monotonic() + 9)
    return WireRecord(origin="http://127.0.0.1:1", stream=False, deadlines=deadlines, status=200)


def _summary(reading: ParsedResponse) -> tuple[Any, ...]:
    choices = [
        ("".join(c.text), "".join(c.reasoning), c.tool_calls(), c.all_parts())
        for c in (reading, *reading.others.values())
    ]
    return (choices, reading.finish_reason, reading.usage())


@pytest.mark.parametrize("style", GOOD)
def test_the_good_answer_is_read(style: str) -> None:
    reading, error = parse(style, json.dumps(GOOD[style]).encode())
    assert error is None and not reading.flags
    assert "".join(reading.text) == TEXT and "".join(reading.reasoning) == "hm"
    assert [call.name for call in reading.tool_calls()] == ["look_up"]
    assert json.loads(reading.tool_calls()[0].arguments) == {"city": "Paris"}
    assert reading.finish_reason == "tool_calls"
    assert (reading.usage().input_tokens, reading.usage().output_tokens) == (7, 9)


@pytest.mark.parametrize("style", GOOD)
def test_no_value_of_another_type_is_passed_over(style: str) -> None:
    rng = random.Random(f"mutations of {style}")
    good, _ = parse(style, json.dumps(GOOD[style]).encode())
    swapped = 0
    for _ in range(MUTATIONS):
        value, is_swapped = mutate(GOOD[style], rng)
        reading, error = parse(style, json.dumps(value).encode())
        assert error is None or error == "refused" or isinstance(error, CallError)
        if is_swapped:
            swapped += 1
            is_noticed = error is not None or reading.flags
            assert is_noticed or _summary(reading) == _summary(good), json.dumps(value)
    assert swapped >= MUTATIONS / 4


@pytest.mark.parametrize("style", GOOD)
def test_a_cut_body_is_refused(style: str) -> None:
    body = json.dumps(GOOD[style]).encode()
    for end in range(1, len(body), 7):
        assert parse(style, body[:end])[1] == "refused"


WRONG_SHAPES = [
    ("openai", {**_CHAT, "choices": [None]}),
    ("openai", {**_CHAT, "choices": ["hello"]}),
    ("openai", {**_CHAT, "choices": [{"index": 0, "message": {"content": 42}}]}),
    ("openai", {**_CHAT, "error": {"code": 502, "message": "bad gateway"}}),
    ("anthropic", {**_MESSAGE, "content": ["hello"]}),
    ("anthropic", {**_MESSAGE, "content": 42}),
    ("anthropic", {**_MESSAGE, "content": {"type": "text", "text": "x"}}),
    ("anthropic", {**_MESSAGE, "content": [{"type": "text", "text": None}]}),
    ("anthropic", {**_MESSAGE, "error": {"type": "api_error", "message": "x"}}),
    ("gemini", {**_CONTENT, "candidates": [None]}),
    ("gemini", {**_CONTENT, "candidates": [{"content": 42, "finishReason": "STOP"}]}),
    ("gemini", {**_CONTENT, "candidates": [{"content": {"parts": [{"text": None}]}}]}),
    ("gemini", {**_CONTENT, "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}),
    ("gemini", {**_CONTENT, "error": {"code": 500, "message": "x"}}),
]


@pytest.mark.parametrize(("style", "value"), WRONG_SHAPES)
def test_a_wrong_shape_is_an_error(style: str, value: dict[str, Any]) -> None:
    _, error = parse(style, json.dumps(value).encode())
    assert error is not None


@pytest.mark.parametrize("finish", [["STOP"], {"a": 1}, 42, True])
def test_a_finish_reason_of_a_wrong_type_is_flagged(finish: Any) -> None:
    candidate = {**_CONTENT["candidates"][0], "finishReason": finish}  # type: ignore[index]
    reading, error = parse("gemini", json.dumps({"candidates": [candidate]}).encode())
    assert error is None and "".join(reading.text) == TEXT
    assert reading.finish is None and "wrong_types" in reading.flags


def test_an_index_of_a_wrong_type_keeps_the_text() -> None:
    for style, name in (("openai", "choices"), ("gemini", "candidates")):
        good = GOOD[style]
        value = {**good, name: [{**good[name][0], "index": "zero"}]}
        reading, error = parse(style, json.dumps(value).encode())
        assert error is None and "".join(reading.text) == TEXT
        assert "wrong_types" in reading.flags


@pytest.mark.parametrize(
    "message", ["x" * 24_000_000, {"a" * 10: ["model " * 100_000] * 30}, ["x" * 1000] * 20_000]
)
def test_the_length_of_an_error_message_costs_nothing(message: Any) -> None:
    """Counted in CPU of this thread, which other processes do not use."""
    words = find_error({"error": {"message": message}})
    assert words is not None
    began = time.thread_time()
    error = words_error(words, _record())
    assert time.thread_time() - began < 0.05
    assert len(str(error)) < 2000


def test_a_hostile_body_stays_small_in_memory() -> None:
    """Eight megabytes of members that are not known: kept by their beginning only."""
    unknown = {f"field_{n}": "x" * 8000 for n in range(1000)}
    body = json.dumps({**_CHAT, **unknown}).encode()
    parser = choose_reader("openai")
    tracemalloc.start()
    try:
        read_body(body, parser)
        parser.reading.raw = None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
    assert len(parser.reading.unread) <= 64


def _chunk(delta: Any, finish: Any = None) -> dict[str, Any]:
    return {
        "id": "c1",
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _parts(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "index": 0, **members}]}


def _cohere(kind: str, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": {"message": message}}


STREAMS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        _chunk({"role": "assistant", "reasoning_content": "hm"}),
        _chunk({"content": "The answer "}),
        _chunk({"content": "is 42."}),
        _chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look_up"}}]}),
        _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Paris"}'}}]}),
        _chunk({}, "tool_calls"),
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {}}},
        _start(0, type="thinking", thinking=""),
        _delta(0, type="thinking_delta", thinking="hm"),
        _start(1, type="text", text=""),
        _delta(1, type="text_delta", text=TEXT),
        _start(2, type="tool_use", id="t", name="look_up", input={}),
        _delta(2, type="input_json_delta", partial_json='{"city": "Paris"}'),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ],
    "gemini": [
        _parts({"text": "hm", "thought": True}),
        _parts({"text": "The answer "}),
        _parts({"text": "is 42."}),
        _parts(
            {"functionCall": {"name": "look_up", "args": {"city": "Paris"}}}, finishReason="STOP"
        ),
    ],
    "responses": [
        {"type": "response.created", "response": {"id": "r1", "model": "m"}},
        {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "hm"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": TEXT},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "id": "f", "call_id": "t", "name": "look_up"},
        },
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "f",
            "delta": '{"city": "Paris"}',
        },
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
    # Without AWS's frames, the name of an event is the one member of an object.
    "converse": [
        {"messageStart": {"role": "assistant"}},
        {
            "contentBlockDelta": {
                "contentBlockIndex": 0,
                "delta": {"reasoningContent": {"text": "hm"}},
            }
        },
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": TEXT}}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 2,
                "start": {"toolUse": {"toolUseId": "t", "name": "look_up"}},
            }
        },
        {
            "contentBlockDelta": {
                "contentBlockIndex": 2,
                "delta": {"toolUse": {"input": '{"city": "Paris"}'}},
            }
        },
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}}},
    ],
    "cohere": [
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
        _cohere("content-delta", content={"thinking": "hm"}),
        _cohere("content-delta", content={"text": TEXT}),
        _cohere(
            "tool-call-start",
            tool_calls={"id": "t", "type": "function", "function": {"name": "look_up"}},
        ),
        _cohere("tool-call-delta", tool_calls={"function": {"arguments": '{"city": "Paris"}'}}),
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    ],
    "ollama": [
        {"model": "m", "message": {"thinking": "hm"}, "done": False},
        {"model": "m", "message": {"content": TEXT}, "done": False},
        {
            "model": "m",
            "message": {
                "tool_calls": [{"function": {"name": "look_up", "arguments": {"city": "Paris"}}}]
            },
            "done": False,
        },
        {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop"},
    ],
}


def parse_stream(style: Any, events: list[dict[str, Any]]) -> tuple[ParsedResponse, Any]:
    parser = choose_reader(style)
    for event in events:
        parser.parse_event(None, decode_json(json.dumps(event).encode())[0])
        if parser.reading.error is not None or parser.reading.problem is not None:
            break
    parser.finish()
    return parser.reading, reading_error(parser.reading, _record())


@pytest.mark.parametrize("style", STREAMS)
def test_the_good_stream_is_read(style: str) -> None:
    reading, error = parse_stream(style, STREAMS[style])
    assert error is None and not reading.flags, reading.flags
    assert ("".join(reading.text), "".join(reading.reasoning)) == (TEXT, "hm")
    (call,) = reading.tool_calls()
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"city": "Paris"})


@pytest.mark.parametrize("style", STREAMS)
def test_no_value_of_another_type_in_a_stream_is_passed_over(style: str) -> None:
    rng = random.Random(f"mutations of streams of {style}")
    good, _ = parse_stream(style, STREAMS[style])
    for _ in range(MUTATIONS):
        events = list(STREAMS[style])
        place = rng.randrange(len(events))
        events[place], is_swapped = mutate(events[place], rng)
        reading, error = parse_stream(style, events)
        if is_swapped:
            is_noticed = error is not None or reading.flags
            assert is_noticed or _summary(reading) == _summary(good), json.dumps(events[place])


@pytest.mark.parametrize("index", ["zero", 10**20, 1.5, [0]])
def test_an_odd_index_loses_no_tool_call(index: Any) -> None:
    events = copy.deepcopy(STREAMS["openai"])
    for event in events[3:5]:
        event["choices"][0]["delta"]["tool_calls"][0]["index"] = index
    reading, error = parse_stream("openai", events)
    assert error is None
    assert [call.arguments for call in reading.tool_calls()] == ['{"city": "Paris"}']


@pytest.mark.parametrize("logprobs", [42, "x", [None], {"a": 1}])
def test_odd_logprobs_of_ollama_do_not_lose_the_answer(logprobs: Any) -> None:
    body = json.dumps({**_OLLAMA, "logprobs": logprobs}).encode()
    reading, error = parse("ollama", body)
    assert error is None and "".join(reading.text) == TEXT


@pytest.mark.parametrize("odd", [0, False])
@pytest.mark.parametrize("style", ["openai", "anthropic", "gemini", "converse"])
def test_a_piece_that_is_a_zero_is_flagged(style: str, odd: object) -> None:
    value = copy.deepcopy(GOOD[style])
    pieces = {
        "openai": lambda v: v["choices"][0]["message"]["tool_calls"],
        "anthropic": lambda v: v["content"],
        "gemini": lambda v: v["candidates"][0]["content"]["parts"],
        "converse": lambda v: v["output"]["message"]["content"],
    }[style](value)
    pieces[-1] = odd
    reading, error = parse(style, json.dumps(value).encode())
    assert error is not None or "wrong_types" in reading.flags


@pytest.mark.parametrize("name", ["content", "summary"])
def test_a_part_of_responses_that_is_not_understood_is_kept(name: str) -> None:
    nested = {"v": {"type": "output_text", "text": "Test"}}
    said = {"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": TEXT}]}  # fmt: skip
    odd = {**said, "content": [nested]} if name == "content" else {"type": "reasoning"}
    odd |= {"summary": [nested]} if name == "summary" else {}
    value = {"id": "r", "object": "response", "status": "completed", "output": [odd, said]}
    reading, error = parse("responses", json.dumps(value).encode())
    assert error is None and "".join(reading.text) == TEXT
    assert [path for path in reading.unread if path.startswith(f"output[].{name}[]")]
