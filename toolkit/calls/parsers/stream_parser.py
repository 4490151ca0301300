"""Listening to one stream: bytes become stamped pieces of text, under deadlines and bounds.

The stamp of a piece is the moment its bytes were read from the socket. A stream counts as
whole only when the API's own end was seen; what ends otherwise is raised, not returned.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from toolkit.calls.parsers.json_text import BadJson, decode_json
from toolkit.calls.parsers.parsed_response import Kind, Piece, Style, choose_reader
from toolkit.calls.parsers.sse import Event, EventSplitter, LineTooLong
from toolkit.calls.transport.body import StreamBody
from toolkit.calls.transport.exchange_record import (
    MAX_CHUNKS,
    AnswerRefused,
    WireFailure,
    WireRecord,
)

_BODY_STARTS: Final = b'{[<"0123456789ntf-'
_QUIET = ("ping",)


class Delta(NamedTuple):
    """One piece of a stream.

    Attributes:
        kind: `text`, `reasoning` or `tool_call`.
        text: what it adds (for a tool call: the next part of its JSON arguments).
        at_ms: when it arrived, milliseconds since the request was sent.
    """

    kind: Kind
    text: str
    at_ms: float


class StreamParser:
    """Reads one stream to its proper end.

    Attributes:
        reading: what the answer has said so far.
        stamps_ns: arrival of every content-bearing event.
        first_answer_ns: arrival of the first piece that is not reasoning.
    """

    def __init__(self, body: StreamBody, record: WireRecord, style: Style) -> None:
        self._body = body
        self._record = record
        self._reader = choose_reader(style)
        self._splitter = EventSplitter()
        self._whole: list[bytes] | None = None
        self._began = False
        self._events = 0
        self._heard_at = time.monotonic()
        self._sent_ns = record.sent_ns or record.opened_ns
        self._over = False
        self.reading = self._reader.reading
        self.stamps_ns: list[int] = []
        self.first_answer_ns: int | None = None

    async def next(self) -> list[Delta]:
        """The pieces that arrive next; an empty list at the proper end of the stream.

        Raises:
            WireFailure: `stream_stall`, `deadline`, `stream_cut`, `stream_truncated`,
                `stream_error`, `too_large`, ...
            AnswerRefused: the body is no stream; it stands in the record as a whole.
        """
        if self.stamps_ns:  # while nobody asked for more, the silence was ours
            self._heard_at = time.monotonic()
        while not self._over:
            if deltas := await self._step():
                return deltas
        return []

    async def _step(self) -> list[Delta]:
        try:
            data = await self._read()
        except WireFailure as failure:
            return self._forgive(failure)
        if not self._began and data:
            self._began = True
            if data.lstrip()[:1] in _BODY_STARTS and data.strip():
                self._whole = []
        if self._whole is not None:
            return self._gather(data)
        return self._take(data) if data else self._end()

    async def _read(self) -> bytes:
        """Read on; a silence longer than allowed is a failure, keep-alives are silence."""
        record = self._record
        deadlines, now = record.deadlines, time.monotonic()
        if self.stamps_ns:
            until = self._heard_at + deadlines.chunk_s
        else:
            until = self._sent_ns / 1e9 + deadlines.first_token_s
        wait_s = min(until, deadlines.total_at) - now
        try:
            return await self._body.read(max(wait_s, 0.0))
        except TimeoutError:
            is_total = deadlines.total_at <= until
            cause = "deadline" if is_total else "stream_stall"
            raise record.fail(cause, f"nothing for {max(wait_s, 0):.1f} s") from None

    def _take(self, data: bytes) -> list[Delta]:
        try:
            events = self._splitter.feed(data)
        except LineTooLong:
            raise self._record.fail("too_large", "one line is over 1 MB") from None
        stamp_ns = self._record.last_byte_ns or time.monotonic_ns()
        deltas: list[Delta] = []
        for event in events:
            if self._over:
                self.reading.flags.add("data_after_end")
                break
            self._take_event(event, stamp_ns, deltas)
        return deltas

    def _take_event(self, event: Event, stamp_ns: int, deltas: list[Delta]) -> None:
        self._events += 1
        if self._events > MAX_CHUNKS:
            raise self._record.fail("too_large", f"over {MAX_CHUNKS:,} events")
        data = event.data.strip()
        if data == b"[DONE]":
            self._finish(marked=True)
            return
        if not data or event.name in _QUIET:
            return
        pieces = self._reader.take_event(event.name, self._decode(data))
        self._heard_at = stamp_ns / 1e9
        if pieces:
            self._stamp(pieces, stamp_ns, deltas)
        if self.reading.error is not None or self.reading.is_ended:
            self._finish(marked=True)

    def _decode(self, data: bytes) -> Mapping[str, Any]:
        try:
            value, mended = decode_json(data)
        except BadJson as error:
            raise self._record.fail("stream_error", str(error)) from None
        if mended:
            self.reading.flags.add("lone_surrogate")
        if not isinstance(value, dict):
            raise self._record.fail("stream_error", "an event is no object")
        return value

    def _stamp(self, pieces: Any, stamp_ns: int, deltas: list[Delta]) -> None:
        self.stamps_ns.append(stamp_ns)
        at_ms = (stamp_ns - self._sent_ns) / 1e6
        for kind, text in pieces:
            if kind != "reasoning" and self.first_answer_ns is None:
                self.first_answer_ns = stamp_ns
            deltas.append(Delta(kind, text, at_ms))

    def _finish(self, *, marked: bool) -> None:
        self._over = True
        if marked and not self._is_answered():
            raise self._record.fail("stream_truncated", "the end mark came before any finish")

    def _is_answered(self) -> bool:
        """Whether the stream has said that it is done, or that it failed."""
        reading = self.reading
        return bool(reading.finish or reading.error or reading.refusal)

    def _end(self) -> list[Delta]:
        """The HTTP body is over: was the answer?"""
        deltas: list[Delta] = []
        stamp_ns = self._record.last_byte_ns or time.monotonic_ns()
        for event in self._splitter.finish():
            if not self._over:
                self._take_event(event, stamp_ns, deltas)
        if self._over:
            return deltas
        foreign = bytes(self._splitter.foreign)
        if not self._events and (foreign.strip() or not self._is_event_stream()):
            self._record.body = foreign
            raise AnswerRefused("no event stream")
        if not self._is_answered():
            raise self._record.fail("stream_truncated", "no finish before the end of the body")
        self._over = True
        return deltas

    def _is_event_stream(self) -> bool:
        return "event-stream" in self._record.headers.get("content-type", "")

    def _forgive(self, failure: WireFailure) -> list[Delta]:
        """A finish was seen: what breaks after it costs at most the usage."""
        if not self._is_answered() or failure.cause not in (
            "stream_cut",
            "stream_stall",
            "bad_body",
        ):
            raise failure
        self._record.failure = None
        self.reading.flags.add("ended_without_end_mark")
        self._over = True
        return []

    def _gather(self, data: bytes) -> list[Delta]:
        """A server that does not stream sends one body: read it as one."""
        assert self._whole is not None
        if data:
            self._whole.append(data)
            return []
        self._over = True
        body = self._record.body = b"".join(self._whole)
        pieces = read_body(body, self._reader)
        self.reading.flags.add("not_streamed")
        deltas: list[Delta] = []
        self._stamp(pieces, self._record.last_byte_ns or time.monotonic_ns(), deltas)
        return deltas


def read_body(body: bytes, reader: Any) -> list[Piece]:
    """Read a whole body and return its pieces.

    Raises:
        AnswerRefused: it is no answer of this API.
    """
    try:
        value, mended = decode_json(body, whole=True)
    except BadJson as error:
        raise AnswerRefused(str(error)) from None
    reading = reader.reading
    if isinstance(value, dict):
        reader.take_whole(value)
    else:
        _take_list(value, reader)
    if mended:
        reading.flags.add("lone_surrogate")
    if not reading.is_recognised and reading.error is None and reading.refusal is None:
        raise AnswerRefused("not an answer of this API")
    pieces: list[Piece] = [("reasoning", text) for text in reading.reasoning]
    pieces += [("text", text) for text in reading.text]
    pieces += [("tool_call", call.arguments) for call in reading.tool_calls()]
    return pieces


def _take_list(value: Any, reader: Any) -> None:
    """Gemini streams without events: one list of the bodies that would have been events."""
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        raise AnswerRefused("the body is no object")
    for part in value:
        reader.take_event(None, part)
