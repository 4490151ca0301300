"""A reply that is still arriving, as the caller holds it.

A task of its own reads the stream and stamps it, so that a slow reader does not distort the
measurements, and the reader takes what has arrived. A stream that is left (closed, dropped, its
reader cancelled) is cancelled: its connection closes and its row says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.calls.stream_buffer import Answering, End, Progress, Source, StreamBuffer, progress_of
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Call, ChatRequest, Reply


class ReplyStream:
    """Iterates over the text of a reply as it arrives; complete after the last piece.

    `async for text in stream` gives text only; `deltas()` gives reasoning and tool calls too.
    Use it in `async with`, or read it to the end.
    """

    def __init__(self, request: ChatRequest, open_attempt: Callable[[], Awaitable[Source]]) -> None:
        self.request = request
        self._open_attempt = open_attempt
        self._feed = StreamBuffer()
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
            self._task.add_done_callback(_mark_retrieved)

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
        """Which attempt answers; None before the first piece, and where none did."""
        return self._feed.answering

    @property
    def tools(self) -> Mapping[int, ToolDraft]:
        """Tool calls by the provider's index, as far as they have come: at least to the newest
        delta that was read.
        """
        return self._feed.tools

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        feed = self._feed
        while True:
            delta = feed.take() if feed.pieces else await self._next()
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
        """The state of the stream now."""
        return progress_of(self._feed)

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


async def _pump(open_attempt: Callable[[], Awaitable[Source]], feed: StreamBuffer) -> None:
    """Read one stream to its end into the feed."""
    end: End = None
    try:
        attempt = await open_attempt()
        feed.answering, feed.tools = attempt.answering, attempt.tools
        async with contextlib.aclosing(attempt.deltas(feed.offer)) as batches:
            async for batch in batches:
                feed.put(batch)
                if feed.is_full:
                    attempt.note_held_back()
                    await feed.make_room()
        end = attempt.reply
    except ToolkitError as error:
        end = error
    except Exception as bug:  # a user's own processor may raise anything: the reader gets it
        end = bug
        raise
    finally:
        feed.close(end)


def _mark_retrieved(task: asyncio.Task[None]) -> None:
    """Keep asyncio from logging a failure that the reader gets from the buffer."""
    if not task.cancelled():
        task.exception()
