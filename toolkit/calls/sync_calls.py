"""The same for synchronous callers: one background event loop in a thread of its own.

It works in scripts, threads, Streamlit and inside a running loop (Jupyter), because nothing
ever runs on the caller's loop. A stream hands over whole batches through a queue: no job is
submitted per chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from toolkit.calls.parsers.stream_parser import Delta
from toolkit.calls.reply_stream import ReplyStream
from toolkit.calls.stream_buffer import Progress
from toolkit.records import Call, Reply

T = TypeVar("T")
_CLOSE_S = 5.0
_POLL_S = 1.0  # a wait without end cannot be interrupted on every platform
_INTERRUPTIBLE = "_toolkit_interruptible"


class Portal:
    """One background event loop; started on first use, stopped by `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the background loop and wait for its result.

        Interrupting the wait (Ctrl-C) cancels the coroutine.

        Raises:
            RuntimeError: called from the background loop itself, which would never end.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the portal cannot wait for itself; use the asynchronous form")
        future = self.start(work)
        try:
            while not wait([future], _POLL_S).done:
                pass
            return future.result()
        except BaseException:  # Ctrl+C in the waiting thread must stop the call as well
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the background loop without waiting for it."""
        future: Future[T] = Future()
        context = contextvars.copy_context()
        self._require_loop().call_soon_threadsafe(_launch, work, future, context)
        return future

    def iterate(self, factory: Callable[[], ReplyStream]) -> SyncReplyStream:
        """Start a stream on the background loop and iterate over it here."""
        return SyncReplyStream(self, factory)

    def close(self) -> None:
        """Cancel what still runs, close every connection of the loop and stop the thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(_CLOSE_S)

    def _require_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="toolkit-portal", daemon=True
                )
                self._thread.start()
            return self._loop


def _launch(work: Coroutine[Any, Any, T], future: Future[T], context: contextvars.Context) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, context=context)

    def finished(done: asyncio.Task[T]) -> None:
        if done.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
        elif (error := done.exception()) is not None:
            if not future.cancelled():
                future.set_exception(error)
        elif not future.cancelled():
            future.set_result(done.result())

    def cancelled(done: Future[T]) -> None:
        if done.cancelled() and not loop.is_closed():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

    task.add_done_callback(finished)
    future.add_done_callback(cancelled)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        with contextlib.suppress(RuntimeError):
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()


class SyncReplyStream:
    """Iterates over the text of a reply as it arrives, in any thread.

    Use it in a `with` block, or read it to its end; one that is dropped is cancelled.
    """

    def __init__(self, portal: Portal, factory: Callable[[], ReplyStream]) -> None:
        self._portal = portal
        self._batches: queue.SimpleQueue[list[Delta] | None] = queue.SimpleQueue()
        self._pieces: deque[Delta] = deque()
        self._over = False
        self._stream = portal.run(_start(factory, self._batches))
        _stop_with_the_cell(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        while True:
            delta = self._next()
            if delta is None:
                raise StopIteration
            if delta.kind == "text" and delta.text:
                return delta.text

    def deltas(self) -> DeltaIterator:
        """Every piece: text, reasoning and tool calls."""
        return DeltaIterator(self._next)

    def _next(self) -> Delta | None:
        while not self._pieces:
            if self._over:
                self._stream.raise_failure()
                return None
            batch = self._take()
            if batch is None:
                self._over = True
            else:
                self._pieces.extend(batch)
        return self._pieces.popleft()

    def _take(self) -> list[Delta] | None:
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    return self._batches.get(timeout=_POLL_S)
        except KeyboardInterrupt:
            # The caller may hold on to this object, and the provider would go on answering.
            self.close()
            raise

    @property
    def reply(self) -> Reply:
        """The whole reply, after the last piece."""
        return self._stream.reply

    @property
    def progress(self) -> Progress:
        """The state of the stream now."""
        return self._stream.progress

    @property
    def attempts(self) -> tuple[Call, ...]:
        """The rows of the request, once it is over."""
        return self._stream.attempts

    def close(self) -> None:
        """Give up what has not arrived and wait until the row is written."""
        self._over = True
        if not self._stream.is_over:
            with contextlib.suppress(RuntimeError):
                self._portal.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class DeltaIterator:
    """Iterates over every piece of a stream."""

    def __init__(self, take: Callable[[], Delta | None]) -> None:
        self._take = take

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delta:
        delta = self._take()
        if delta is None:
            raise StopIteration
        return delta


class _CellStreams:
    """The streams that the cells of a notebook opened; an interrupted cell closes them.

    An interrupt can come while the cell prints what it has read, outside of this package, and the
    notebook keeps the variable that holds the stream.
    """

    def __init__(self) -> None:
        self.open: WeakSet[SyncReplyStream] = WeakSet()

    def close_interrupted(self, result: Any) -> None:
        """Close every open stream if the cell that ended was interrupted."""
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            for stream in tuple(self.open):
                stream.close()
            self.open.clear()


def _stop_with_the_cell(stream: SyncReplyStream) -> None:
    """Close a stream when the notebook cell that reads it is interrupted."""
    if "IPython" not in sys.modules or threading.current_thread() is not threading.main_thread():
        return
    from IPython import get_ipython

    if (shell := get_ipython()) is None:
        return
    streams = getattr(shell, _INTERRUPTIBLE, None)
    if streams is None:
        streams = _CellStreams()
        setattr(shell, _INTERRUPTIBLE, streams)
        shell.events.register("post_run_cell", streams.close_interrupted)
    streams.open.add(stream)


async def _start(
    factory: Callable[[], ReplyStream], batches: queue.SimpleQueue[list[Delta] | None]
) -> ReplyStream:
    stream = factory()
    stream.divert(batches.put, lambda: batches.put(None))
    stream.start()
    return stream
