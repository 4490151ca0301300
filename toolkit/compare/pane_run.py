"""One try of one pane on the event loop: the task that asks, and how its end becomes the pane's."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from toolkit.compare.pane import LivePane, Pane
from toolkit.errors import ToolkitError
from toolkit.records import Call, Message
from toolkit.secret import Secret

if TYPE_CHECKING:
    from toolkit.calls.client import ReplyStream

_log = logging.getLogger(__name__)


class PaneRun:
    """One try of one pane: `live` may be read from anywhere, the rest belongs to the loop.

    Attributes:
        live: the pane as it happens.
        key: an explicit key for this pane's calls, if one was given.
        history: the earlier turns of this pane's conversation.
        over: set when the pane is over and recorded.
        task: the task that asks, once it has begun.
        stream: the call's stream, once it has begun.
        is_cancelled: it was stopped, perhaps before it began.
    """

    def __init__(
        self, pane: Pane, key: Secret | None = None, history: tuple[Message, ...] = ()
    ) -> None:
        self.live = LivePane(pane)
        self.key = key
        self.history = history
        self.over = threading.Event()
        self.task: asyncio.Task[None] | None = None
        self.stream: ReplyStream | None = None
        self.is_cancelled = False

    async def cancel(self) -> None:
        """Runs on the loop; a pane that has not begun is cancelled when it begins."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def settle(self) -> None:
        """Turn the end of the task into the end of the pane."""
        assert self.task is not None
        if self.task.cancelled():
            self.live.stop(self._attempts())
            return
        error = self.task.exception()
        if isinstance(error, ToolkitError):
            self.live.fail(error)
        elif error is not None:
            # A bug of ours must not hang the other panes, and must not be hidden either.
            _log.error("a pane broke", exc_info=error)
            self.live.fail(
                ToolkitError(
                    f"the toolkit itself failed: {type(error).__name__}",
                    model=self.live.snapshot().model,
                    hint="See the log; please report it with the board's id.",
                )
            )

    def _attempts(self) -> tuple[Call, ...]:
        return tuple(getattr(self.stream, "attempts", ()))
