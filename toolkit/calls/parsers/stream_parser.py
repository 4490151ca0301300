"""Parsing of one stream: bytes become stamped pieces of text, under deadlines and bounds.

The stamp of a piece is the moment its bytes were read from the socket. A stream is complete when
the API's own end mark or a finish reason was received; one that ends with neither is raised as
an error, never returned.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from toolkit.calls.parsers.event_stream import BadFrame, FrameSplitter
from toolkit.calls.parsers.json_text import BadJson, decode_json
from toolkit.calls.parsers.parsed_response import Kind, ParsedResponse, Piece, ResponseParser, Style
from toolkit.calls.parsers.sse import Event, EventSplitter, LineSplitter, LineTooLong
from toolkit.calls.parsers.styles.anthropic_messages import AnthropicParser
from toolkit.calls.parsers.styles.bedrock_converse import ConverseParser
from toolkit.calls.parsers.styles.cohere_chat import CohereParser
from toolkit.calls.parsers.styles.gemini_content import GeminiParser
from toolkit.calls.parsers.styles.ollama_chat import OllamaParser
from toolkit.calls.parsers.styles.openai_chat import OpenAIChatParser
from toolkit.calls.parsers.styles.openai_responses import ResponsesParser
from toolkit.calls.transport.exchange_record import (
    AnswerRefused,
    StreamedBody,
    WireFailure,
    WireRecord,
    describe_limit,
)

_BODY_STARTS: Final = b'{[<"0123456789ntf-'
_QUIET: Final = ("ping",)
_IN_EVENTS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
_END_MARK_BYTES: Final = 12
_END_MARKS: Final = re.compile(rb"(?:\s*data:\s*\[DONE\])+\s*\Z")
# After every choice has its finish reason, usage and the end mark follow at once, or never.
_AFTER_FINISH_S: Final = 3.0
_AFTER_USAGE_S: Final = 1.0
_WITHOUT_END_MARK_S: Final = 5.0

_READERS: Final[Mapping[Style, type[ResponseParser]]] = {
    "openai": OpenAIChatParser,
    "anthropic": AnthropicParser,
    "gemini": GeminiParser,
    "responses": ResponsesParser,
    "converse": ConverseParser,
    "cohere": CohereParser,
    "ollama": OllamaParser,
    "litellm": OpenAIChatParser,
}


def choose_reader(style: Style, expected_choices: int = 1) -> ResponseParser:
    """A fresh reader for an API style."""
    reader = _READERS[style]()
    reader.expected_choices = expected_choices
    return reader


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


Offer = Callable[[list[Delta]], bool]
"""Gets a batch of pieces and returns whether it has taken them."""


class StreamParser:
    """Reads one stream to its proper end.

    Args:
        body: the stream's bytes.
        record: what the transport notes about the attempt.
        style: the API style in which the provider answers, or a reader of one's own.
        expected_choices: how many choices were asked for (`n`).

    Attributes:
        reading: what the answer has said so far.
        stamps_ns: when each event with content arrived.
        first_answer_ns: when the first piece arrived that is not reasoning.
    """

    def __init__(
        self,
        body: StreamedBody,
        record: WireRecord,
        style: Style | ResponseParser,
        expected_choices: int = 1,
    ) -> None:
        self._body = body
        self._record = record
        self._reader = (
            style if isinstance(style, ResponseParser) else choose_reader(style, expected_choices)
        )
        self._splitter = self._choose_splitter()
        self._whole: list[bytes] | None = None
        self._began = False
        self._events = 0
        self._most_events = record.limits.max_stream_events
        self._received_at = time.monotonic()
        self._sent_ns = record.sent_ns or record.opened_ns
        self._over = False
        self._goes_on = False  # content came after a finish reason: it does not mean the end
        self._offer: Offer | None = None
        self._wake: asyncio.Future[list[Delta]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.reading: ParsedResponse = self._reader.reading
        self.stamps_ns: list[int] = []
        self.first_answer_ns: int | None = None

    def _choose_splitter(self) -> EventSplitter | LineSplitter | FrameSplitter:
        most = self._record.limits.event_bytes
        if "vnd.amazon.eventstream" in self._record.headers.get("content-type", ""):
            return FrameSplitter(most)
        is_ndjson = isinstance(self._reader, OllamaParser)
        return LineSplitter(most) if is_ndjson else EventSplitter(most)

    async def next(self, offer: Offer | None = None) -> list[Delta]:
        """The pieces that arrive next; an empty list at the proper end of the stream.

        Args:
            offer: gets the pieces in the callback of the event loop in which they arrive, because
                waking a task for each of them costs more than reading it. What it does not take,
                and the last pieces, are returned.

        Raises:
            WireFailure: `stream_stall`, `deadline`, `stream_cut`, `stream_truncated`,
                `stream_error`, `too_large`, ...
            AnswerRefused: the body is not a stream; the record holds it as a whole.
        """
        if self.stamps_ns:  # while the reader wanted nothing more, the silence was ours
            self._received_at = time.monotonic()
        while not self._over:
            if offer is not None and self.stamps_ns and self._whole is None:
                if deltas := await self._offer_arriving(offer):
                    return deltas
                if self._over:
                    break
            if deltas := await self._step():
                return deltas
        return []

    async def _offer_arriving(self, offer: Offer) -> list[Delta]:
        """Offer what arrives until something else is to be done; return what was not taken."""
        self._offer, self._wake = offer, asyncio.get_running_loop().create_future()
        try:
            if not self._body.listen(self._read_arrived):
                return []
            self._watch()
            self._read_arrived()
            return await self._wake
        except WireFailure as failure:
            return self._forgive(failure)
        finally:
            self._body.listen(None)
            self._wake = None
            if self._timer is not None:
                self._timer.cancel()

    def _read_arrived(self) -> None:
        """Read and offer what has come; wake the task at the end, and whenever that fails."""
        wake, offer = self._wake, self._offer
        if wake is None or offer is None or wake.done():
            return
        try:
            while (data := self._body.read_arrived()) is not None:
                deltas = self._take(data)
                if self._over or (deltas and not offer(deltas)):
                    wake.set_result(deltas)
                    return
            if self._body.has_ended:
                wake.set_result([])
            elif self.reading.finish is not None:
                self._watch()  # after the finish, less silence is allowed
        except Exception as error:  # noqa: BLE001 - the task raises it
            wake.set_exception(error)

    def _watch(self) -> None:
        """Wake the task when the silence is too long; `_read` then raises what it means."""
        if self._timer is not None:
            self._timer.cancel()
        if self._wake is None or self._wake.done():
            return
        left_s = self._find_wait_until() - time.monotonic()
        if left_s <= 0:
            self._wake.set_result([])
        else:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._watch)

    async def _step(self) -> list[Delta]:
        try:
            data = await self._read()
        except WireFailure as failure:
            return self._forgive(failure)
        if not self._began and data:
            self._began = True
            is_body = data.strip() and data.lstrip()[:1] in _BODY_STARTS
            if is_body and not isinstance(self._splitter, LineSplitter):
                self._whole = []
        if self._whole is not None:
            return self._gather(data)
        return self._take(data) if data else self._end()

    async def _read(self) -> bytes:
        """Read on; a silence longer than allowed is a failure, keep-alives are silence."""
        record, until = self._record, self._find_wait_until()
        wait_s = until - time.monotonic()
        try:
            return await self._body.read(max(wait_s, 0.0))
        except TimeoutError:
            is_total = record.deadlines.total_at <= until
            cause = "deadline" if is_total else "stream_stall"
            raise record.fail(cause, f"nothing for {max(wait_s, 0):.1f} s") from None

    def _find_wait_until(self) -> float:
        """How long the next event is waited for, a moment of `time.monotonic`."""
        deadlines = self._record.deadlines
        if self.stamps_ns or self.reading.finish is not None:
            until = self._received_at + min(deadlines.chunk_s, self._longest_silence_s())
        else:
            until = self._sent_ns / 1e9 + deadlines.first_token_s
        return min(until, deadlines.total_at)

    def _longest_silence_s(self) -> float:
        """How long a silence may last: a finished answer is not waited for."""
        reading = self.reading
        has_all = 1 + len(reading.others) >= self._reader.expected_choices
        if not reading.is_finished or not has_all or self._goes_on:
            return float("inf")
        if not self._reader.has_end_mark:
            return _WITHOUT_END_MARK_S
        return _AFTER_USAGE_S if reading.tokens.get("output_tokens") else _AFTER_FINISH_S

    def _take(self, data: bytes) -> list[Delta]:
        try:
            events = self._splitter.feed(data)
        except LineTooLong:
            size = self._record.limits.max_event_mib
            detail = f"one event is longer than {size} MiB; {describe_limit('max_event_mib')}"
            raise self._record.fail("too_large", detail) from None
        except BadFrame as error:
            raise self._record.fail("stream_error", str(error)) from None
        stamp_ns = self._record.last_byte_ns or time.monotonic_ns()
        deltas: list[Delta] = []
        for event in events:
            if self._over:
                self.reading.flags.add("data_after_end")
                break
            self._read_event(event, stamp_ns, deltas)
        return deltas

    def _read_event(self, event: Event, stamp_ns: int, deltas: list[Delta]) -> None:
        self._events += 1
        if self._events > self._most_events:
            detail = f"over {self._most_events:,} events; {describe_limit('max_stream_events')}"
            raise self._record.fail("too_large", detail)
        data = event.data.strip()
        if len(data) < _END_MARK_BYTES and _is_end_mark(data):
            if self._events == 1:
                raise self._record.fail("stream_truncated", "the end mark came before any answer")
            self._complete(stamp_ns, deltas)
            return
        # Some gateways send on a comment as data.
        if not data or data == b"null" or data.startswith(b":") or event.name in _QUIET:
            return
        reading = self.reading
        was_finished = reading.finish is not None and not reading.others
        pieces = self._reader.parse_event(event.name, self._decode(data, event.name))
        self._received_at = stamp_ns / 1e9
        if pieces:
            self._goes_on = self._goes_on or was_finished
            self._stamp(pieces, stamp_ns, deltas)
        if reading.is_ended or reading.error is not None or reading.problem is not None:
            self._complete(stamp_ns, deltas)

    def _decode(self, data: bytes, name: str | None) -> Mapping[str, Any]:
        if name == "chunk":
            data = _unpack_chunk(data)
        try:
            value, had_surrogates = decode_json(data, whole=True)
        except BadJson as error:
            if name == "error":  # in plain words
                return {"message": data[:1000].decode("utf-8", "replace")}
            raise self._record.fail("stream_error", str(error)) from None
        if had_surrogates:
            self.reading.flags.add("lone_surrogate")
        if isinstance(value, list) and len(value) == 1:  # as Gemini sends its errors
            value = value[0]
        if not isinstance(value, dict):
            if name == "error":
                return {"message": str(value)[:1000]}
            raise self._record.fail("stream_error", "an event is not a JSON object")
        return value

    def _stamp(self, pieces: Any, stamp_ns: int, deltas: list[Delta]) -> None:
        self.stamps_ns.append(stamp_ns)
        at_ms = (stamp_ns - self._sent_ns) / 1e6
        for kind, text in pieces:
            if kind != "reasoning" and self.first_answer_ns is None:
                self.first_answer_ns = stamp_ns
            deltas.append(Delta(kind, text, at_ms))

    def _complete(self, stamp_ns: int, deltas: list[Delta]) -> None:
        """The stream is over: what was kept back until now is given out."""
        self._over = True
        pieces = self._reader.finish()
        if pieces:
            self._stamp(pieces, stamp_ns, deltas)
        _note_finish(self.reading)

    def _is_answered(self) -> bool:
        """Whether the stream has said that it is done, or that it failed."""
        reading = self.reading
        if reading.finish or reading.error or reading.refusal or reading.problem:
            return True
        return self._events > 0 and not reading.is_recognised  # a stream of another API

    def _end(self) -> list[Delta]:
        """The HTTP body is over: was the answer?"""
        deltas: list[Delta] = []
        stamp_ns = self._record.last_byte_ns or time.monotonic_ns()
        try:
            events = self._splitter.finish()
        except BadFrame as error:
            raise self._record.fail("stream_cut", str(error)) from None
        for event in events:
            if not self._over and self._is_whole(event):
                self._read_event(event, stamp_ns, deltas)
        if self._over:
            return deltas
        foreign = bytes(self._splitter.foreign)
        if not self._events and (foreign.strip() or not self._is_event_stream()):
            self._record.body = foreign
            raise AnswerRefused("no event stream")
        if not self._is_answered():
            raise self._record.fail("stream_truncated", "no finish before the end of the body")
        self._complete(stamp_ns, deltas)
        return deltas

    def _is_whole(self, event: Event) -> bool:
        """Whether the last event, which no empty line ends, was not cut by the end of the body."""
        is_said = self._events == 0 or event.name == "error"  # an error may be in plain words
        if is_said or not event.data.lstrip().startswith(b"{"):
            return True
        try:
            decode_json(event.data.strip(), whole=True)
        except BadJson:
            return False
        return True

    def _is_event_stream(self) -> bool:
        return "event-stream" in self._record.headers.get("content-type", "")

    def _forgive(self, failure: WireFailure) -> list[Delta]:
        """After a finish reason, what breaks costs at most the usage."""
        forgivable = ("stream_cut", "stream_stall", "deadline", "bad_body")
        is_over = self.reading.is_finished and not self._goes_on
        if not is_over or failure.cause not in forgivable:
            raise failure
        self._record.failure = None
        self.reading.flags.add("ended_without_end_mark")
        deltas: list[Delta] = []
        self._complete(self._record.last_byte_ns or time.monotonic_ns(), deltas)
        return deltas

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


def _is_end_mark(data: bytes) -> bool:
    """Whether the data of an event are `[DONE]`, as some gateways spell it."""
    return data.strip(b'"').upper() in (b"[DONE]", b"DONE")


def read_body(body: bytes, reader: ResponseParser) -> list[Piece]:
    """Read a whole body and return its pieces.

    Raises:
        AnswerRefused: it is not an answer of this API.
    """
    reading = reader.reading
    if body.lstrip().startswith(_IN_EVENTS):
        _read_events(body, reader)
    else:
        value, had_surrogates = _decode_body(body)
        if isinstance(value, dict):
            reader.parse_body(value)
        else:
            _read_list(value, reader)
        reading.raw = value
        if had_surrogates:
            reading.flags.add("lone_surrogate")
    reader.finish()
    is_failure = reading.error or reading.refusal or reading.problem
    if not reading.is_recognised and not is_failure:
        raise AnswerRefused("not an answer of this API")
    _note_finish(reading)
    pieces: list[Piece] = [("reasoning", text) for text in reading.reasoning]
    pieces += [("text", text) for text in reading.text]
    pieces += [("tool_call", call.arguments) for call in reading.tool_calls()]
    return pieces


def _decode_body(body: bytes) -> tuple[Any, bool]:
    try:
        return decode_json(body, whole=True)
    except BadJson as error:
        shorter = _END_MARKS.sub(b"", body) if b"[DONE]" in body[-200:] else body
        if len(shorter) == len(body):
            raise AnswerRefused(str(error)) from None
    try:
        return decode_json(shorter, whole=True)
    except BadJson as error:
        raise AnswerRefused(str(error)) from None


def _read_events(body: bytes, reader: ResponseParser) -> None:
    """A server that streams without being asked to: its events are one answer."""
    splitter, reading = EventSplitter(len(body) + 1), reader.reading
    is_marked = False
    for event in (*splitter.feed(body), *splitter.finish()):
        data = event.data.strip()
        is_marked = is_marked or _is_end_mark(data)
        if is_marked or not data or data == b"null" or event.name in _QUIET:
            continue
        try:
            value, _ = decode_json(data)
        except BadJson as error:
            raise AnswerRefused(str(error)) from None
        if not isinstance(value, dict):
            raise AnswerRefused("an event is not a JSON object")
        reader.parse_event(event.name, value)
    reading.flags.add("streamed")
    if not (is_marked or reading.is_ended or reading.finish or reading.error):
        reading.problem = reading.problem or "the events end without a finish"


def _read_list(value: Any, reader: ResponseParser) -> None:
    """Gemini streams without events: one list of the bodies that would have been events."""
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        raise AnswerRefused("the body is not an object")
    if reader.has_list_bodies and len(value) == 1:
        reader.parse_body(value[0])
        return
    for part in value:
        reader.parse_event(None, part)


def _note_finish(reading: ParsedResponse) -> None:
    if reading.finish is None and reading.error is None and not reading.vectors:
        reading.flags.add("no_finish_reason")


def _unpack_chunk(data: bytes) -> bytes:
    """Bedrock wraps the events of other APIs: `{"bytes": base64}`."""
    try:
        inner = orjson.loads(data)
        packed = inner.get("bytes") if isinstance(inner, dict) else None
        return base64.b64decode(packed) if isinstance(packed, str) else data
    except (orjson.JSONDecodeError, binascii.Error, ValueError):
        return data
