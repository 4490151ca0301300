"""One attempt: one HTTP request to one provider, and the one row that records it.

`Attempt.run` waits for a whole answer, `Attempt.open` for a stream whose first piece has come.
However it ends, in success, failure or cancellation, its row is written before the caller gets
the end of the result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

from toolkit.calls.adapters import HttpRequest, OutgoingRequest, RequestNotBuilt, write_request
from toolkit.calls.adapters.differences import may_drop
from toolkit.calls.adapters.identities import Identities
from toolkit.calls.adapters.request import UnsupportedParams
from toolkit.calls.adapters.request_signing import RequestSigner
from toolkit.calls.attempt_spec import AttemptEnd, AttemptSpec
from toolkit.calls.parsers import error_classes
from toolkit.calls.parsers.embedding_vectors import EmbeddingsParser
from toolkit.calls.parsers.parsed_response import ParsedResponse, ResponseParser
from toolkit.calls.parsers.stream_parser import (
    Delta,
    Offer,
    StreamParser,
    choose_reader,
    read_body,
)
from toolkit.calls.recorder import AttemptResult, CallRecorder
from toolkit.calls.transport.exchange_record import (
    AnswerRefused,
    Deadlines,
    LagMeter,
    Limits,
    LoopLag,
    WireFailure,
    WireRecord,
)
from toolkit.calls.transport.guarded import Guard
from toolkit.errors import CallError, CassetteError, KeyRequired, ToolkitError
from toolkit.records import Call, ChatRequest, Reply, Status
from toolkit.secret import Secret
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.calls.transport.connections import Sessions
    from toolkit.keys.service import ResolvedKey


_LARGE_BYTES: Final = 256 * 1024
"""Size of request and answer together from which the row is written in a thread."""
_SLOW_S: Final = 10.0  # until a large row is ingested and gone from the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDeps:
    """What every attempt of a client works with."""

    settings: Settings
    sessions: Sessions
    ledger: CallRecorder
    identities: Identities
    lag: LagMeter = field(default_factory=LagMeter)
    trace_headers: Callable[[str, str], Mapping[str, str]] = lambda request_id, call_id: {}


class Attempt:
    """One attempt of one request; use it once.

    Attributes:
        this: what it is to do.
        written: the request as it was sent; None before.
        reading: the answer as far as it was read.
        left_out: parameters that are not in the request that was sent.
        reply: the reply, after a success.
        call: its row, once it has ended.
    """

    def __init__(self, tools: AttemptDeps, this: AttemptSpec) -> None:
        self.this = this
        self.request: ChatRequest = this.request
        self.key: ResolvedKey | None = this.key
        self.started_at: datetime = datetime.now(UTC)
        self.call_id: str = new_id()
        self.written: HttpRequest | None = None
        self.left_out: list[str] = list(this.dropped)
        self.reading: ParsedResponse = ParsedResponse()
        self.listener: StreamParser | None = None
        self.reply: Reply | None = None
        self.call: Call | None = None
        self.record: WireRecord = WireRecord(
            origin=this.provider.origin,
            stream=this.request.stream,
            deadlines=_deadlines(tools.settings, this),
            limits=_limits(tools.settings),
        )
        self._tools = tools
        self._lag: LoopLag | None = None
        self._first: list[Delta] = []
        self._is_closed = False

    async def run(self) -> Reply:
        """Send the request and wait for the whole answer.

        Raises:
            CallError: why there is none; its row is written.
        """
        with self._closing():
            await self._send()
            self._read_whole()
            return await self._succeed()

    async def open(self) -> Attempt:
        """Send the request and wait for the first piece of the stream, kept for `deltas`.

        Raises:
            CallError: no piece came; the row of the failure is written.
        """
        with self._closing():
            written = await self._send()
            assert self.record.stream_body is not None
            self.listener = StreamParser(
                self.record.stream_body, self.record, self._make_parser(written)
            )
            self.reading = self.listener.reading
            self._first = await self.listener.next()
            if not self._first:
                self._require_sound()
        return self

    async def deltas(self, offer: Offer | None = None) -> AsyncGenerator[list[Delta]]:
        """The pieces of an opened stream, in the batches in which they arrived.

        After the last one the row is written and `reply` is set.

        Args:
            offer: gets each batch when it arrives; those that it takes are not yielded.

        Raises:
            CallError: the stream broke; `partial_text` holds what came.
        """
        listener, batch = self.listener, self._first
        assert listener is not None
        with self._closing():
            while batch:
                yield batch
                batch = await listener.next(offer)
            self._require_sound()
            if self.record.closed_ns is None:
                self.record.closed_ns = time.monotonic_ns()
            assert self.record.stream_body is not None
            await self.record.stream_body.drain()
            self.reply = await self._succeed()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Write the row of whatever goes wrong in the block, and raise it as an error of ours."""
        try:
            yield
        except (CallError, WireFailure, AnswerRefused) as error:
            self._fail(error)
        except CassetteError as missing:  # a cassette holds no answer; a retry would not help
            self._end("error", missing)
            raise missing from None
        except BaseException:  # Ctrl+C and cancellation: the attempt gets its row
            self._end("cancelled")
            raise

    async def _send(self) -> HttpRequest:
        """Write and send the request; afterwards the record holds a 2xx answer."""
        self._lag = self._tools.lag.enter()
        signer = await self._authorize()
        written = self._write()
        if signer is not None:
            written = await asyncio.to_thread(signer.sign, written)
        self.written = written
        record = self.record
        guard = Guard(self._tools.sessions, local=self.this.provider.is_local)
        headers = written.headers
        if traced := self._tools.trace_headers(self.request.request_id, self.call_id):
            headers = {**traced, **headers}
        await guard.exchange(record, written.url, headers, written.body, written.method)
        if record.status is None or record.status >= 400:
            raise error_classes.status_error(record, self._context())
        return written

    def _write(self) -> HttpRequest:
        this, request = self.this, self.request
        try:
            written = write_request(
                OutgoingRequest(
                    type=this.provider.type,
                    base_url=this.provider.base_url,
                    model_id=this.model_id,
                    messages=request.messages,
                    params=request.params,
                    stream=request.stream,
                    key=self.key.secret if self.key else None,
                    headers=this.provider.headers,
                    operation=request.operation,
                    inputs=request.inputs,
                    wants_usage=this.wants_usage,
                )
            )
            if written.left_out and not may_drop(request):
                raise RequestNotBuilt(UnsupportedParams(written.left_out))
        except RequestNotBuilt as refused:
            raise error_classes.refused_by_litellm(refused.reason, self._context()) from None
        self.left_out += written.left_out
        return written

    async def _authorize(self) -> RequestSigner | None:
        """Use a cloud identity where there is no key; return what signs the request, if anything.

        A key that the provider's token service exchanges becomes its token here.

        Raises:
            KeyRequired: the provider needs a key, and there is neither a key nor an identity.
        """
        provider = self.this.provider
        if self.key is not None:
            self.key = await self._tools.identities.exchange(provider, self.key)
            return None
        signer = await self._tools.identities.find_signer(provider)
        if signer is not None:
            return signer
        self.key = await self._tools.identities.find_token(provider)
        if self.key is None and provider.needs_key:
            raise KeyRequired(
                f"{provider.name} needs an API key and none was found",
                provider=provider.name,
                model=self.this.model,
                request_id=self.request.request_id,
                cause="no_key",
                hint=provider.key_hint,
            )
        return None

    def _read_whole(self) -> None:
        if self.request.operation == "embeddings":
            self._read_vectors()
            return
        assert self.written is not None
        reader = self._make_parser(self.written)
        self.reading = reader.reading
        read_body(self.record.body or b"", reader)
        self._require_sound()

    def _make_parser(self, written: HttpRequest) -> ResponseParser:
        """The parser of the answer: the style's, or litellm's where there is none of ours."""
        if written.make_parser is not None:
            return written.make_parser()
        asked = self.request.params.get("n")
        choices = asked if type(asked) is int and asked > 0 else 1
        return choose_reader(written.style, choices)

    def _read_vectors(self) -> None:
        """One sound vector for each text, of the length that was requested."""
        reader = EmbeddingsParser(len(self.request.inputs))
        self.reading = reading = reader.reading
        read_body(self.record.body or b"", reader)
        self._require_sound()
        wanted = self.request.params.get("dimensions")
        problem = reader.problem
        if problem is None and wanted not in (None, len(reading.vectors[0])):
            problem = f"{wanted} dimensions were requested and {len(reading.vectors[0])} returned"
            if may_drop(self.request):
                self.left_out.append("dimensions")
                return
        if problem is not None:
            raise error_classes.cause_error("bad_body", problem, self._context())

    def _require_sound(self) -> None:
        """Raise when the answer was read to its end and is not an answer."""
        if error := error_classes.reading_error(self.reading, self.record, self._context()):
            raise error

    async def _succeed(self) -> Reply:
        """Write the row and return the reply."""
        is_large = self._size_bytes() >= _LARGE_BYTES
        result, ledger = self._result("ok"), self._tools.ledger
        if not is_large and time.monotonic() >= ledger.slow_until:
            reply = ledger.reply(result)
            self._settle(reply)
            return reply
        # Writing a row of 10 MB takes a tenth of a second, and those after it wait until SQLite has
        # moved it from its log to its file: the event loop would serve nobody meanwhile. A
        # cancellation does not stop the thread; the row and the limits are settled all the same.
        if is_large:
            ledger.slow_until = time.monotonic() + _SLOW_S
        writing = asyncio.ensure_future(asyncio.to_thread(ledger.reply, result))
        writing.add_done_callback(self._note_written)
        return await asyncio.shield(writing)

    def _note_written(self, writing: asyncio.Future[Reply]) -> None:
        if not writing.cancelled() and writing.exception() is None:
            self._settle(writing.result())

    def _settle(self, reply: Reply) -> None:
        self.call = reply.attempts[-1]
        self.this.settle(
            AttemptEnd(status="ok", total_tokens=reply.usage.total_tokens, call=self.call)
        )

    def _size_bytes(self) -> int:
        sent = len(self.written.body) if self.written is not None else 0
        return sent + len(self.record.body or b"") + sum(map(len, self.reading.text))

    def _fail(self, error: CallError | WireFailure | AnswerRefused) -> NoReturn:
        """Write the row and raise the error, without the chain of what caused it."""
        context = self._context()
        if isinstance(error, WireFailure):
            error = error_classes.wire_error(self.record.failure or error, context)
        elif isinstance(error, AnswerRefused):
            error = error_classes.body_error(self.record.body or b"", self.record, context)
        error.status = error.status or self.record.status
        error.partial_text = "".join(self.reading.text)
        self._end("error", error)
        raise error from None

    def _end(self, status: Status, error: ToolkitError | None = None) -> None:
        """Close the connection and write the row of an attempt that did not succeed."""
        if self._is_closed:
            return
        if self.record.stream_body is not None:
            self.record.stream_body.close()
        elif self.record.closed_ns is None:
            self.record.closed_ns = time.monotonic_ns()
        self.call = self._tools.ledger.failure(self._result(status, error))
        known = error if isinstance(error, CallError) else None
        self.this.settle(AttemptEnd(status=status, error=known, call=self.call))

    def _result(self, status: Status, error: ToolkitError | None = None) -> AttemptResult:
        self._is_closed = True
        ended_ns = time.monotonic_ns()
        lag_ms = None
        if self._lag is not None:
            lag_ms = self._lag.worst_since_ms(self.record.opened_ns)
            self._lag.leave()
        return AttemptResult(
            attempt=self, status=status, error=error, ended_ns=ended_ns, loop_lag_ms=lag_ms
        )

    @property
    def calls(self) -> tuple[Call, ...]:
        """The rows of the request so far, this attempt's own included once it has ended."""
        return self.this.earlier if self.call is None else (*self.this.earlier, self.call)

    def _context(self) -> error_classes.Context:
        return error_classes.Context(
            provider=self.this.provider.name,
            model=self.this.model,
            request_id=self.request.request_id,
            secrets=self.secrets,
        )

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The key in use and the provider's secret headers, to be taken out of messages."""
        provider = self.this.provider
        headers = {name.lower() for name in provider.secret_headers}
        values = [value for name, value in provider.headers.items() if name.lower() in headers]
        # The key itself, and the token for which it was exchanged.
        keys = {held.secret.reveal(): held.secret for held in (self.this.key, self.key) if held}
        return (*keys.values(), *(Secret(value) for value in values if value))


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    from uuid_utils import uuid7

    return str(uuid7())


def _deadlines(settings: Settings, this: AttemptSpec) -> Deadlines:
    return Deadlines(
        connect_s=settings.connect_timeout_s,
        first_token_s=settings.first_token_timeout_s,
        chunk_s=settings.chunk_timeout_s,
        total_at=this.total_at,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_event_mib=settings.max_event_mib,
        max_body_mib=settings.max_body_mib,
        max_stream_events=settings.max_stream_events,
    )
