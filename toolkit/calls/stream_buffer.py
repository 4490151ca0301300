"""The buffer between the task that reads a stream and the consumer of its pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta, Offer
from toolkit.records import Reply


class Source(Protocol):
    """An opened stream: its pieces, and its reply after the last one."""

    @property
    def reply(self) -> Reply | None:
        """The whole reply, once `deltas` is at its end."""

    @property
    def answering(self) -> Answering:
        """Who answers."""

    @property
    def tools(self) -> Mapping[int, ToolDraft]:
        """Tool calls by the provider's index, as far as they have come."""

    def note_held_back(self) -> None:
        """From here on the reader makes the pace, and no longer the provider."""

    def deltas(self, offer: Offer | None = None) -> AsyncGenerator[list[Delta]]:
        """The pieces, in the batches in which they arrived, without those that `offer` took."""


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
    """The state of a stream at one moment.

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


class StreamBuffer:
    """What the reading task has and the reader has not yet."""

    def __init__(self) -> None:
        self.pieces: deque[Delta] = deque()
        self.end: End = None
        self.is_over: bool = False
        self.answering: Answering | None = None
        self.tools: Mapping[int, ToolDraft] = {}
        self.most_waiting: int | None = None
        self.waiting: int = 0
        self.chunks: int = 0
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
        self.waiting += _count_chars(batch)
        self._wake()

    def offer(self, batch: list[Delta]) -> bool:
        """Take one batch as `put` does, if it may wait for the reader."""
        most = self.most_waiting
        if most is not None and self.waiting + _count_chars(batch) > most:
            return False
        self.put(batch)
        return True

    def take(self) -> Delta:
        """Give the oldest piece to the reader."""
        delta = self.pieces.popleft()
        self.waiting -= len(delta.text)
        if self.most_waiting is not None:
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


def _count_chars(batch: list[Delta]) -> int:
    return len(batch[0].text) if len(batch) == 1 else sum(len(delta.text) for delta in batch)


def progress_of(feed: StreamBuffer) -> Progress:
    """The state of the stream now."""
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
