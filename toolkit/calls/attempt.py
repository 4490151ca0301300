"""One attempt: one HTTP request at one provider, and the one row that tells of it.

`Attempt.run` asks for a whole answer, `Attempt.open` for a stream whose first piece has come.
Whatever happens, success, failure or cancellation, ends in `_close`, which hands the row over
before the caller gets the end of the result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from toolkit.calls.adapters.litellm_sender import Door
from toolkit.calls.adapters.parameters import may_drop
from toolkit.calls.adapters.request_builder import Ask, RequestNotBuilt, style_of
from toolkit.calls.parsers import error_classes
from toolkit.calls.parsers.embedding_vectors import EmbeddingsParser
from toolkit.calls.parsers.parsed_response import ParsedResponse, choose_reader
from toolkit.calls.parsers.stream_parser import Delta, StreamParser, read_body
from toolkit.calls.recorder import AttemptResult, CallRecorder
from toolkit.calls.timing import LagMeter
from toolkit.calls.transport.exchange_record import (
    AnswerRefused,
    Deadlines,
    WireFailure,
    WireRecord,
)
from toolkit.errors import CallError, CassetteError, KeyRequired, ToolkitError
from toolkit.records import AttemptKind, Call, ChatRequest, Reply, Status
from toolkit.secret import Secret
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDeps:
    """What every attempt of a client works with."""

    settings: Settings
    door: Door
    ledger: CallRecorder
    lag: LagMeter = field(default_factory=LagMeter)
    without_usage: set[str] = field(default_factory=set)  # origins that refuse `stream_options`


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How a try ended, as policy needs to know it.

    Attributes:
        status: `ok`, `error` or `cancelled`.
        error: why it failed.
        total_tokens: input and output tokens, where the provider counted them.
    """

    status: Status
    error: CallError | None = None
    total_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class AttemptSpec:
    """Which try this is.

    Attributes:
        provider, model_id: what is asked.
        key: the key in force, or None.
        number, kind: its place among the attempts of the request, and why it is made.
        queue_ms: how long it waited in our own queue.
        total_at: the request's deadline, a moment of `time.monotonic`.
        calls: the rows of the request so far; this try adds its own.
        settle: told once how the try ended (a stream: at its end).
    """

    provider: Provider
    model_id: str
    key: ResolvedKey | None = None
    number: int = 1
    kind: AttemptKind = "first"
    queue_ms: float | None = None
    total_at: float
    calls: list[Call] = field(default_factory=list)
    settle: Callable[[AttemptEnd], None] = lambda end: None

    @property
    def model(self) -> str:
        """`provider/model_id`."""
        return f"{self.provider.name}/{self.model_id}"


class Attempt:
    """One try of one request; use it once."""

    def __init__(self, tools: AttemptDeps, request: ChatRequest, this: AttemptSpec) -> None:
        self.request = request
        self.reply: Reply | None = None
        self.this = this
        self.started_at = datetime.now(UTC)
        self.call_id = new_id()
        self.key = this.key
        self.reading = ParsedResponse()
        self.listener: StreamParser | None = None
        self.record = WireRecord(
            origin=this.provider.origin,
            stream=request.stream,
            deadlines=_deadlines(tools.settings, this),
        )
        self._tools = tools
        self._style = style_of(this.provider.type)
        self._lag = tools.lag.enter()
        self._first: list[Delta] = []
        self._closed = False

    async def run(self) -> Reply:
        """Ask and wait for the whole answer.

        Raises:
            CallError: why there is none; its row is written.
        """
        try:
            await self._send()
            return self._accept_whole()
        except (CallError, WireFailure, AnswerRefused) as error:
            self._fail(error)
        except CassetteError as missing:
            self._refuse(missing)
        except BaseException:
            self._cancel()
            raise

    async def open(self) -> Attempt:
        """Ask for a stream and wait for its first piece, kept for `deltas`.

        Raises:
            CallError: no piece came; the row of the failure is written.
        """
        try:
            await self._send()
            assert self.record.stream_body is not None
            self.listener = StreamParser(self.record.stream_body, self.record, self._style)
            self.reading = self.listener.reading
            self._first = await self.listener.next()
            if not self._first:
                self._require_sound()
        except (CallError, WireFailure, AnswerRefused) as error:
            self._fail(error)
        except CassetteError as missing:
            self._refuse(missing)
        except BaseException:
            self._cancel()
            raise
        return self

    async def deltas(self) -> AsyncGenerator[list[Delta]]:
        """The pieces of an opened stream, in the batches in which they arrived.

        After the last one the row is written and `reply` is there.

        Raises:
            CallError: the stream broke; `partial_text` holds what came.
        """
        listener, batch = self.listener, self._first
        assert listener is not None
        try:
            while batch:
                yield batch
                batch = await listener.next()
            self._require_sound()
            self._note_end()
            assert self.record.stream_body is not None
            await self.record.stream_body.drain()
            self.reply = self._succeed()
        except (CallError, WireFailure, AnswerRefused) as error:
            self._fail(error)
        except BaseException:
            self._cancel()
            raise

    async def _send(self) -> None:
        """Through the door; afterwards the wire's record holds a 2xx answer."""
        self._require_key()
        record, this = self.record, self.this
        ask = Ask(
            call_id=self.call_id,
            type=this.provider.type,
            base_url=this.provider.base_url,
            model_id=this.model_id,
            messages=self.request.messages,
            params=self.request.params,
            stream=self.request.stream,
            key=self.key.secret if self.key else None,
            headers=this.provider.headers,
            is_local=this.provider.is_local,
            wants_usage=record.origin not in self._tools.without_usage,
            may_drop=may_drop(self.request),
            operation=self.request.operation,
            inputs=self.request.inputs,
        )
        record.has_key = self.key is not None
        try:
            async with asyncio.timeout(record.deadlines.left_s() + 0.5):
                await self._tools.door.send(ask, record)
        except RequestNotBuilt as refused:
            raise error_classes.refused_by_litellm(refused.reason, self._context()) from None
        except TimeoutError:  # litellm itself hangs: the transport's deadlines come first
            raise record.fail("deadline", "no answer before the total deadline") from None
        if record.failure is not None:
            raise record.failure
        if record.not_recorded is not None:
            raise record.not_recorded
        if record.status is None or record.status >= 400:
            raise error_classes.status_error(record, self._context())

    def _require_key(self) -> None:
        provider = self.this.provider
        if self.key is None and provider.needs_key:
            raise KeyRequired(
                f"{provider.name} needs an API key and none was found",
                provider=provider.name,
                model=self.this.model,
                request_id=self.request.request_id,
                cause="no_key",
            )

    def _accept_whole(self) -> Reply:
        if self.request.operation == "embeddings":
            self._read_vectors()
        else:
            reader = choose_reader(self._style)
            self.reading = reader.reading
            read_body(self.record.body or b"", reader)
            self._require_sound()
        return self._succeed()

    def _read_vectors(self) -> None:
        """One sound vector for each text, of the length that was asked for."""
        reader = EmbeddingsParser(len(self.request.inputs))
        self.reading = reading = reader.reading
        read_body(self.record.body or b"", reader)
        self._require_sound()
        asked = self.request.params.get("dimensions")
        problem = reader.problem
        if problem is None and asked not in (None, len(reading.vectors[0])):
            problem = f"{asked} dimensions were asked for and {len(reading.vectors[0])} came"
            if may_drop(self.request):
                self.record.dropped.append("dimensions")
                return
        if problem is not None:
            raise error_classes.cause_error("bad_body", problem, self._context())

    def _require_sound(self) -> None:
        """Raise when the answer was read to its end and is no answer."""
        if error := error_classes.reading_error(self.reading, self.record, self._context()):
            raise error

    def _note_end(self) -> None:
        if self.record.closed_ns is None:
            self.record.closed_ns = time.monotonic_ns()

    def _succeed(self) -> Reply:
        reply = self._tools.ledger.reply(self._outcome("ok"))
        self.this.settle(AttemptEnd(status="ok", total_tokens=reply.usage.total_tokens))
        return reply

    def _fail(self, error: CallError | WireFailure | AnswerRefused) -> NoReturn:
        """Write the row and raise the error, without the chain of what caused it."""
        context = self._context()
        if isinstance(error, WireFailure):
            error = error_classes.wire_error(self.record.failure or error, context)
        elif isinstance(error, AnswerRefused):
            error = error_classes.body_error(self.record.body or b"", self.record, context)
        error.status = error.status or self.record.status
        error.partial_text = "".join(self.reading.text)
        self._shut()
        self._tools.ledger.failure(self._outcome("error", error))
        self.this.settle(AttemptEnd(status="error", error=error))
        raise error from None

    def _refuse(self, missing: CassetteError) -> NoReturn:
        """An open cassette holds no answer: a row of it, and nobody tries again."""
        self._shut()
        self._tools.ledger.failure(self._outcome("error", missing))
        raise missing from None

    def _cancel(self) -> None:
        if not self._closed:
            self._shut()
            self._tools.ledger.failure(self._outcome("cancelled"))
            self.this.settle(AttemptEnd(status="cancelled"))

    def _shut(self) -> None:
        """Close the connection of a body that was not read to its end."""
        if self.record.stream_body is not None:
            self.record.stream_body.close()
        elif self.record.closed_ns is None:
            self.record.closed_ns = time.monotonic_ns()

    def _outcome(self, status: Status, error: ToolkitError | None = None) -> AttemptResult:
        self._closed = True
        ended_ns = time.monotonic_ns()
        lag_ms = self._lag.worst_since_ms(self.record.opened_ns)
        self._lag.leave()
        return AttemptResult(
            attempt=self, status=status, error=error, ended_ns=ended_ns, loop_lag_ms=lag_ms
        )

    def _context(self) -> error_classes.Context:
        return error_classes.Context(
            provider=self.this.provider.name,
            model=self.this.model,
            request_id=self.request.request_id,
            secrets=self.secrets,
        )

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The key in use, to be taken out of the provider's words."""
        return (self.key.secret,) if self.key else ()


def new_id() -> str:
    """A UUIDv7 text."""
    from uuid_utils import uuid7

    return str(uuid7())


def _deadlines(settings: Settings, this: AttemptSpec) -> Deadlines:
    return Deadlines(
        connect_s=settings.connect_timeout_s,
        first_token_s=settings.first_token_timeout_s,
        chunk_s=settings.chunk_timeout_s,
        total_at=this.total_at,
    )
