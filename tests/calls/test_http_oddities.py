"""Rare but lawful HTTP, and JSON that says two things: the right end, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.calls.asking import Asking, asking
from toolkit.errors import MalformedResponse, RateLimited, StreamInterrupted, ToolkitError
from toolkit.records import Reply

DONE = b"data: [DONE]\n\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
INTERIM = {
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "early_hints": HINTS,
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n",
    "several": b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + HINTS,
}
TRAILERS = {
    "one": b"x-checksum: abc\r\n",
    "several": b"x-checksum: abc\r\nserver-timing: total;dur=12\r\ngrpc-status: 0\r\n",
    "a_header_again": b"content-type: text/html\r\nretry-after: 99\r\n",
}


class Wire:
    """A server that sends the next of some prepared answers, byte by byte as they are."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._read_request(connection)
                self.requests += 1
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def _read_request(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)


@pytest.fixture
def wire() -> Iterator[Wire]:
    running = Wire()
    yield running
    running.close()


def event(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


WHOLE = json.dumps(
    {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello there"},
             "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
).encode()  # fmt: skip
EVENTS = event("hello ") + event("there") + event(None, "stop") + DONE


def http(body: bytes, media_type: str, *, before: bytes = b"", trailers: bytes = b"",
         status: str = "200 OK", headers: bytes = b"") -> bytes:  # fmt: skip
    """An answer in chunks, with what comes before its head and behind its body."""
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:half], body[half:]) if p)
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n"
    return before + head.encode() + headers + b"\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


def ask(wire: Wire, *, stream: bool) -> tuple[Reply | ToolkitError, Asking]:
    by = asking(wire.url)

    async def go() -> Reply:
        if not stream:
            reply: Reply = await by.complete()
            return reply
        running = by.stream()
        async for _ in running:
            pass
        last: Reply = running.reply
        return last

    try:
        return asyncio.run(go()), by
    except ToolkitError as error:
        return error, by


def answer(*, stream: bool, **parts: bytes) -> bytes:
    return http(EVENTS if stream else WHOLE, kind_of(stream=stream), **parts)


def kind_of(*, stream: bool) -> str:
    return "text/event-stream" if stream else "application/json"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(INTERIM))
def test_interim_answers_are_passed_over(wire: Wire, name: str, stream: bool) -> None:
    wire.answer = answer(stream=stream, before=INTERIM[name])
    reply, by = ask(wire, stream=stream)
    assert isinstance(reply, Reply), reply
    assert (reply.text, reply.finish_reason) == ("hello there", "stop")
    (call,) = by.calls
    assert (call.http_status, wire.requests) == (200, 1)


def test_an_error_behind_an_interim_answer_is_that_error(wire: Wire) -> None:
    body = b'{"error": {"message": "slow down"}}'
    wire.answer = http(
        body, "application/json", before=HINTS, status="429 Too Many Requests",
        headers=b"retry-after: 7\r\n", trailers=TRAILERS["a_header_again"],
    )  # fmt: skip
    error, _ = ask(wire, stream=False)
    assert isinstance(error, RateLimited)
    assert (error.status, error.retry_after) == (429, 7.0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(TRAILERS))
def test_trailers_change_nothing(wire: Wire, name: str, stream: bool) -> None:
    wire.answer = answer(stream=stream, trailers=TRAILERS[name])
    reply, by = ask(wire, stream=stream)
    assert isinstance(reply, Reply), reply
    assert (reply.text, reply.finish_reason) == ("hello there", "stop")
    assert by.calls[0].status == "ok"


def test_a_body_that_is_cut_before_its_trailers_end_is_whole_all_the_same(wire: Wire) -> None:
    """The API's own end mark counts; the stream said all that it had to say."""
    wire.answer = answer(stream=True, trailers=TRAILERS["one"])[:-6]
    reply, _ = ask(wire, stream=True)
    assert isinstance(reply, Reply), reply
    assert reply.text == "hello there"


DOUBLED: dict[str, Any] = {
    "content": b'{"choices":[{"index":0,"message":{"content":"one","content":"two"},'
    b'"finish_reason":"stop"}]}',
    "choices": b'{"choices":[{"message":{"content":"one"},"finish_reason":"stop"}],"choices":[]}',
    "usage": b'{"choices":[{"message":{"content":"one"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"prompt_tokens":300,"completion_tokens":1}}',
    "spaced": b'{ "choices" : [ { "message" : { "content"\t: "one", "content"\n: "two" } } ] }',
    "finish": b'{"choices":[{"message":{"content":"a: b"},"finish_reason":"stop",'
    b'"finish_reason":"length"}]}',
}


@pytest.mark.parametrize("name", list(DOUBLED))
def test_a_body_that_says_one_thing_twice_is_refused(wire: Wire, name: str) -> None:
    wire.answer = http(DOUBLED[name], "application/json")
    error, by = ask(wire, stream=False)
    assert isinstance(error, MalformedResponse), error
    assert by.calls[0].error_code == "PARSE_ERROR"


def test_an_event_that_says_one_thing_twice_ends_the_stream_and_keeps_its_text(
    wire: Wire,
) -> None:
    doubled = b'data: {"choices":[{"index":0,"delta":{"content":"lost","content":"kept"}}]}\n\n'
    wire.answer = http(event("hello ") + doubled + EVENTS, "text/event-stream")
    error, by = ask(wire, stream=True)
    assert isinstance(error, MalformedResponse | StreamInterrupted), error
    assert "same key twice" in str(error)
    assert error.partial_text == "hello "
    assert by.calls[0].output_text == "hello "


def test_colons_and_keys_in_a_text_are_no_doubled_keys(wire: Wire) -> None:
    text = 'at 12:30: {"content": "a", "content": "b"} http://x/ \\u00e9 é'
    wire.answer = http(event(text) + event(None, "stop") + DONE, "text/event-stream")
    reply, _ = ask(wire, stream=True)
    assert isinstance(reply, Reply), reply
    assert reply.text == text
