"""Processors around a call, in order: each may change the request, refuse it, or read the reply.

Going in, `before` runs first to last, and `before_retry` ahead of each further attempt; coming
out, `after` (of an answer) or `on_error` (of a failure) runs last to first. `ended` runs for every
processor whose `before` ran, whatever happened, so that what was reserved is given back. A
processor is any object with some of these methods; `Processor` has all of them, doing nothing:

    class Calm(Processor):
        def before(self, request):
            return dataclasses.replace(request, params={**request.params, "temperature": 0})
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from toolkit.errors import CallError
from toolkit.records import Call, ChatRequest, Reply


class Processor:
    """What a processor may do; take what you need."""

    def before(self, request: ChatRequest) -> ChatRequest:
        """The request as it shall go on; raise a `ToolkitError` to refuse it."""
        return request

    def before_retry(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """`attempts` have failed and another is to be made; raise a `CallError` to refuse it."""

    def after(self, request: ChatRequest, reply: Reply) -> Reply:
        """The reply as it shall go back. A stream's pieces were shown by then."""
        return reply

    def on_error(self, request: ChatRequest, error: CallError) -> None:
        """The request failed with this error."""

    def on_text(self, request: ChatRequest, text: str) -> None:
        """A piece of a streamed answer came; raise a `CallError` to end the stream."""

    def ended(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """The request is over, whatever came of it; `attempts` are its rows."""


class Pipeline:
    """The processors of one client, in order."""

    def __init__(self, processors: Iterable[Any] = ()) -> None:
        self.processors: tuple[Any, ...] = tuple(processors)

    def enter(self, request: ChatRequest) -> PipelineRun:
        """Run `before` of every processor.

        Raises:
            ToolkitError: a processor refuses; those before it have `ended`.
        """
        run = PipelineRun(request)
        try:
            for processor in self.processors:
                before = getattr(processor, "before", None)
                if before is not None:
                    run.request = before(run.request)
                run.entered.append(processor)
        except BaseException:  # what was entered is left, also on Ctrl+C
            run.leave(())
            raise
        return run


class PipelineRun:
    """One request on its way through the pipeline.

    Attributes:
        request: the request as the processors left it.
        entered: processors that it has passed.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.entered: list[Any] = []

    def find_text_hooks(self) -> list[Callable[[ChatRequest, str], None]]:
        """Return the `on_text` of every processor that has one."""
        hooks = (getattr(processor, "on_text", None) for processor in self.entered)
        return [hook for hook in hooks if hook is not None]

    def retrying(self, attempts: Sequence[Call]) -> None:
        """Run `before_retry` of every processor.

        Raises:
            CallError: a processor refuses another attempt.
        """
        for processor in self.entered:
            before_retry = getattr(processor, "before_retry", None)
            if before_retry is not None:
                before_retry(self.request, attempts)

    @contextmanager
    def passing(self, rows: Callable[[], Sequence[Call]] = tuple) -> Iterator[None]:
        """Run the call in the block; whatever goes wrong in it ends the run.

        `rows` returns those of a request that is given up; an error has its own.
        """
        try:
            yield
        except CallError as error:
            self.fail(error)
            raise
        except BaseException:  # a cancelled call leaves its processors, too
            self.leave(rows())
            raise

    def finish(self, reply: Reply) -> Reply:
        """Run `after` of every processor, last one first, and leave."""
        try:
            for processor in reversed(self.entered):
                after = getattr(processor, "after", None)
                if after is not None:
                    reply = after(self.request, reply)
        finally:
            self.leave(reply.attempts)
        return reply

    def fail(self, error: CallError) -> None:
        """Run `on_error` of every processor, last one first, and leave."""
        try:
            for processor in reversed(self.entered):
                on_error = getattr(processor, "on_error", None)
                if on_error is not None:
                    on_error(self.request, error)
        finally:
            self.leave(error.attempts)

    def leave(self, attempts: Sequence[Call]) -> None:
        """Call `ended` of every processor with the rows of the request, once."""
        while self.entered:
            ended = getattr(self.entered.pop(), "ended", None)
            if ended is not None:
                ended(self.request, attempts)
