"""AWS event stream frames: names, payloads, checksums, and the Converse stream in them."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from toolkit.calls.parsers.event_stream import BadFrame, FrameSplitter
from toolkit.calls.parsers.sse import Event, LineTooLong
from toolkit.calls.parsers.stream_parser import choose_reader


def frame(payload: Any, kind: str = "event", name: str = "contentBlockDelta") -> bytes:
    """One frame, as the service writes it."""
    pairs = {":message-type": kind, f":{kind}-type": name, ":content-type": "application/json"}
    headers = b""
    for key, value in pairs.items():
        headers += bytes([len(key)]) + key.encode()
        headers += struct.pack(">BH", 7, len(value)) + value.encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return start + struct.pack(">I", zlib.crc32(start))


def delta(text: str) -> bytes:
    return frame({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abc"})


@pytest.mark.parametrize("size", [1, 3, 17, 10_000])
def test_frames_may_be_split_anywhere(size: int) -> None:
    data = delta("Hel") + delta("lo")
    splitter, events = FrameSplitter(), []
    for at in range(0, len(data), size):
        events += splitter.feed(data[at : at + size])
    assert splitter.finish() == []
    assert [event.name for event in events] == ["contentBlockDelta"] * 2
    assert [json.loads(event.data)["delta"]["text"] for event in events] == ["Hel", "lo"]


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_flipped_bit_is_noticed(place: int) -> None:
    data = bytearray(delta("Hello"))
    data[place] ^= 1
    splitter = FrameSplitter()
    with pytest.raises((BadFrame, LineTooLong)):
        splitter.feed(bytes(data))
        splitter.finish()


def test_half_a_frame_at_the_end_is_noticed() -> None:
    splitter = FrameSplitter()
    splitter.feed(delta("Hello")[:-5])
    with pytest.raises(BadFrame):
        splitter.finish()


def test_a_frame_over_the_bound_is_refused() -> None:
    with pytest.raises(LineTooLong):
        FrameSplitter(max_bytes=100).feed(delta("x" * 200))


def test_botocore_reads_the_same() -> None:
    eventstream = pytest.importorskip("botocore.eventstream")
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(delta("Hello"))
    theirs = [(m.headers[":event-type"], m.payload) for m in buffer]
    ours = [(event.name, event.data) for event in FrameSplitter().feed(delta("Hello"))]
    assert theirs == ours


def parse(*frames: bytes) -> Any:
    parser = choose_reader("converse")
    for event in FrameSplitter().feed(b"".join(frames)):
        parser.parse_event(event.name, json.loads(event.data))
    parser.finish()
    return parser.reading


def test_a_converse_stream() -> None:
    thought = {"reasoningContent": {"text": "hm"}}
    signed = {"reasoningContent": {"signature": "S"}}
    use = {"toolUse": {"toolUseId": "t", "name": "look_up"}}
    usage = {"inputTokens": 7, "outputTokens": 9, "cacheReadInputTokens": 3, "totalTokens": 19}
    reading = parse(
        frame({"role": "assistant"}, name="messageStart"),
        frame({"contentBlockIndex": 0, "delta": thought}),
        frame({"contentBlockIndex": 0, "delta": signed}),
        frame({"contentBlockIndex": 0}, name="contentBlockStop"),
        frame({"contentBlockIndex": 1, "delta": {"text": "Hello"}}),
        frame({"contentBlockIndex": 2, "start": use}, name="contentBlockStart"),
        frame({"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"city": '}}}),
        frame({"contentBlockIndex": 2, "delta": {"toolUse": {"input": '"Paris"}'}}}),
        frame({"stopReason": "tool_use"}, name="messageStop"),
        frame({"usage": usage, "metrics": {"latencyMs": 1}}, name="metadata"),
    )
    assert ("".join(reading.text), "".join(reading.reasoning)) == ("Hello", "hm")
    (call,) = reading.tool_calls()
    assert (call.name, call.arguments) == ("look_up", '{"city": "Paris"}')
    assert reading.finish_reason == "tool_calls" and not reading.flags
    assert (reading.usage().input_tokens, reading.usage().cached_input_tokens) == (10, 3)
    block = {"type": "thinking", "thinking": "hm", "signature": "S"}
    assert reading.next_turn == {"thinking_blocks": [block]}


def test_an_exception_in_the_stream_is_an_error() -> None:
    exception = frame({"message": "Too many tokens"}, "exception", "throttlingException")
    reading = parse(delta("Hel"), exception)
    assert reading.error is not None
    assert (reading.error.type, reading.error.message) == ("throttlingException", "Too many tokens")


def test_events_of_another_api_are_unpacked() -> None:
    """InvokeModel streams Anthropic's events in chunks of base64."""
    from toolkit.calls.parsers.stream_parser import _unpack_chunk

    inner = b'{"type": "message_stop"}'
    data = json.dumps({"bytes": base64.b64encode(inner).decode()}).encode()
    events = FrameSplitter().feed(frame(data, name="chunk"))
    assert events == [Event("chunk", data)]
    assert _unpack_chunk(data) == inner
