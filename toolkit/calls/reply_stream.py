"""A reply that is still arriving, as the caller holds it.

A task of its own reads the stream and stamps it, so that a slow reader does not distort the
measurements, and the reader takes what has arrived. A stream that is left (closed, dropped, its
reader cancelled) is cancelled: its connection closes and its row says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Literal, Protocol, Self

from toolkit.calls.listening import Delta
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Call, ChatRequest, Reply


class Source(Protocol):
    """An opened stream: its pieces, and its reply after the last one."""

    @property
    def reply(self) -> Reply | None:
        """The whole reply, once `deltas` is at its end."""

    @property
    def answering(self) -> Answering:
        """Who answers."""

    def note_held_back(self) -> None:
        """From here on the reader makes the pace, and no longer the provider."""

    def deltas(self) -> AsyncGenerator[list[Delta]]:
        """The pieces, in the batches in which they arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Which attempt a stream comes from, known with its first piece.

    Attributes:
        model: `provider/model_id`.
        call_id: id of the attempt.
        attempts: how many attempts were made, this one included.
    """

    model: str
    call_id: str
    attempts: int


State = Literal["waiting", "streaming", "done", "failed", "cancelled"]
End = Exception | Reply | None
"""How a stream ended: with its reply, with an error, or (None) cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A stream as it stands at one moment.

    Attributes:
        state: `waiting`, `streaming`, `done`, `failed` or `cancelled`.
        ttft_ms, ttfo_ms: as in `Timing`, as soon as they are known.
        last_ms: when the newest piece came, milliseconds since the request was sent.
        chunks: content pieces so far.
        output_tokens: the provider's count at the end, an estimate (the pieces) before.
        output_tps: tokens per second so far, an estimate until the end.
        cost_usd: known at the end, None before or when unpriced.
        is_estimate: whether tokens and speed are estimates.
    """

    state: State = "waiting"
    ttft_ms: float | None = None
    ttfo_ms: float | None = None
    last_ms: float | None = None
    chunks: int = 0
    output_tokens: int | None = None
    output_tps: float | None = None
    cost_usd: Decimal | None = None
    is_estimate: bool = True


class Feed:
    """What the reading task has and the reader has not yet."""

    def __init__(self) -> None:
        self.pieces: deque[Delta] = deque()
        self.end: End = None
        self.is_over = False
        self.answering: Answering | None = None
        self.most_waiting: int | None = None
        self.waiting = 0
        self.chunks = 0
        self.first_ms: float | None = None
        self.first_answer_ms: float | None = None
        self.last_ms: float | None = None
        self.listener: Callable[[list[Delta]], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()

    def put(self, batch: list[Delta]) -> None:
        """Take one batch, as it arrived."""
        self.chunks += len(batch)
        if self.first_ms is None:
            self.first_ms = batch[0].at_ms
        if self.first_answer_ms is None:
            self.first_answer_ms = next((d.at_ms for d in batch if d.kind != "reasoning"), None)
        self.last_ms = batch[-1].at_ms
        if self.listener is not None:
            self.listener(batch)
            return
        self.pieces.extend(batch)
        self.waiting += sum(len(delta.text) for delta in batch)
        self._wake()

    def take(self) -> Delta:
        """Give the oldest piece to the reader."""
        delta = self.pieces.popleft()
        self.waiting -= len(delta.text)
        self._room.set()
        return delta

    @property
    def is_full(self) -> bool:
        """Whether more waits for the reader than may."""
        return self.most_waiting is not None and self.waiting > self.most_waiting

    async def make_room(self) -> None:
        """Wait until the reader has taken enough."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def close(self, end: End) -> None:
        """Nothing more will come."""
        self.end, self.is_over = end, True
        if self.on_end is not None:
            self.on_end()
        self._wake()

    async def wait(self) -> None:
        """Wait for a batch or the end."""
        if self.pieces or self.is_over:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ReplyStream:
    """Iterates over the text of a reply as it arrives; complete after the last piece.

    `async for text in stream` gives text only; `deltas()` gives reasoning and tool calls too.
    Use it in `async with`, or read it to the end.
    """

    def __init__(self, request: ChatRequest, open_attempt: Callable[[], Awaitable[Source]]) -> None:
        self.request = request
        self._open_attempt = open_attempt
        self._feed = Feed()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            self.start()

    def start(self) -> None:
        """Send the request, if that has not been done; needs a running event loop."""
        if self._task is None and not self._feed.is_over:
            self._loop = asyncio.get_running_loop()
            # The task knows the feed and not the stream, so that a dropped stream is noticed.
            self._task = self._loop.create_task(_pump(self._open_attempt, self._feed))
            self._task.add_done_callback(_take_note)

    def divert(self, listener: Callable[[list[Delta]], None], on_end: Callable[[], None]) -> None:
        """Hand every batch to `listener`, on the event loop, instead of keeping it for a reader."""
        self._feed.listener, self._feed.on_end = listener, on_end
        if self._feed.pieces:
            listener(list(self._feed.pieces))
            self._feed.pieces.clear()
        if self._feed.is_over:
            on_end()

    def hold_back(self, most_waiting: int) -> None:
        """Stop reading from the provider while more than so many characters wait for the reader.

        Memory is bounded then, and a slow reader makes the stream itself slow: its row carries
        the flag `held_back`, because its later times are not the provider's.
        """
        self._feed.most_waiting = most_waiting

    @property
    def answering(self) -> Answering | None:
        """Who answers; None before the first piece, and where nobody did."""
        return self._feed.answering

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            delta = await self._next()
            if delta is None:
                raise StopAsyncIteration
            if delta.kind == "text" and delta.text:
                return delta.text

    async def deltas(self) -> AsyncIterator[Delta]:
        """Every piece: text, reasoning and tool calls.

        Raises:
            ToolkitError: the stream failed; `partial_text` of the error holds what came.
        """
        while (delta := await self._next()) is not None:
            yield delta

    async def _next(self) -> Delta | None:
        self.start()
        feed = self._feed
        while not feed.pieces:
            if feed.is_over:
                self.raise_failure()
                return None
            try:
                await feed.wait()
            except asyncio.CancelledError:
                self.cancel()
                raise
        return feed.take()

    def raise_failure(self) -> None:
        """Raise the error that ended the stream, if one did."""
        end = self._feed.end
        if isinstance(end, ToolkitError):
            raise end.with_traceback(None)
        if isinstance(end, Exception):
            raise end

    @property
    def reply(self) -> Reply:
        """The whole reply.

        Raises:
            ToolkitError: the stream failed (its own error), or is not read to its end yet.
        """
        self.raise_failure()
        if isinstance(self._feed.end, Reply):
            return self._feed.end
        raise InvalidInput("the stream has not been read to its end, so its reply is not complete")

    @property
    def is_over(self) -> bool:
        """Whether nothing more will arrive."""
        return self._feed.is_over

    @property
    def attempts(self) -> tuple[Call, ...]:
        """The rows of the request, once it is over."""
        return tuple(getattr(self._feed.end, "attempts", ()))

    @property
    def progress(self) -> Progress:
        """The stream as it stands now."""
        return _progress(self._feed)

    def cancel(self) -> None:
        """Give the stream up; its connection closes and its row says `cancelled`."""
        if self._task is None:
            self._feed.is_over = True
        elif not self._task.done():
            self._task.cancel()

    async def aclose(self) -> None:
        """Give up what has not arrived and wait until the row is written."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        task, loop = self._task, self._loop
        if task is not None and loop is not None and not task.done() and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop closes at this moment
                loop.call_soon_threadsafe(task.cancel)


async def _pump(open_attempt: Callable[[], Awaitable[Source]], feed: Feed) -> None:
    """Read one stream to its end into the feed."""
    end: End = None
    try:
        attempt = await open_attempt()
        feed.answering = attempt.answering
        async with contextlib.aclosing(attempt.deltas()) as batches:
            async for batch in batches:
                feed.put(batch)
                if feed.is_full:
                    attempt.note_held_back()
                    await feed.make_room()
        end = attempt.reply
    except ToolkitError as error:
        end = error
    except Exception as bug:  # a user's own processor may raise anything: whoever reads sees it
        end = bug
        raise
    finally:
        feed.close(end)


def _take_note(task: asyncio.Task[None]) -> None:
    """The reader is told of a failure by the feed; asyncio need not complain as well."""
    if not task.cancelled():
        task.exception()


def _progress(feed: Feed) -> Progress:
    end = feed.end
    state: State = "streaming" if feed.chunks else "waiting"
    if feed.is_over:
        state = "failed" if isinstance(end, Exception) else "done" if end else "cancelled"
    reply = end if isinstance(end, Reply) else None
    span_ms = (feed.last_ms or 0.0) - (feed.first_ms or 0.0)
    tokens = reply.usage.output_tokens if reply else feed.chunks or None
    speed = (feed.chunks - 1) * 1000 / span_ms if span_ms > 0 else None
    return Progress(
        state=state,
        ttft_ms=feed.first_ms,
        ttfo_ms=feed.first_answer_ms,
        last_ms=feed.last_ms,
        chunks=feed.chunks,
        output_tokens=tokens,
        output_tps=reply.timing.output_tps if reply else speed,
        cost_usd=reply.receipt.cost_usd if reply else None,
        is_estimate=reply is None or reply.usage.source == "estimated",
    )
