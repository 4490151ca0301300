"""Processors around a call, in order: each may change the request, refuse it, or read the reply.

Going in, `before` runs first to last; coming out, `after` runs last to first. `ended` runs for
every processor whose `before` ran, whatever happened, so that what was reserved is given back.
A processor is any object with some of these three methods:

    class Shout:
        def before(self, request):
            return dataclasses.replace(request, params={**request.params, "temperature": 0})
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from toolkit.records import Call, ChatRequest, Reply


class Pipeline:
    """The processors of one client, in order."""

    def __init__(self, processors: Iterable[Any] = ()) -> None:
        self.processors: tuple[Any, ...] = tuple(processors)

    def enter(self, request: ChatRequest) -> Passage:
        """Run `before` of every processor.

        Raises:
            ToolkitError: a processor refuses; those before it have `ended`.
        """
        passage = Passage(request)
        try:
            for processor in self.processors:
                before = getattr(processor, "before", None)
                if before is not None:
                    passage.request = before(passage.request)
                passage.entered.append(processor)
        except BaseException:
            passage.leave(())
            raise
        return passage


class Passage:
    """One request on its way through the pipeline.

    Attributes:
        request: the request as the processors left it.
        entered: processors that it has passed.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.entered: list[Any] = []

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

    def leave(self, attempts: Sequence[Call]) -> None:
        """Tell every processor that the request is over, with its rows; only once."""
        while self.entered:
            ended = getattr(self.entered.pop(), "ended", None)
            if ended is not None:
                ended(self.request, attempts)
