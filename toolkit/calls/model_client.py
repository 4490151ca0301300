"""What a service needs in order to call models: one interface, kept by `Toolkit` and by tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Unpack

from toolkit.calls.options import CallOptions
from toolkit.calls.reply_stream import ReplyStream
from toolkit.calls.sync_calls import Portal, SyncReplyStream
from toolkit.keys.service import Keys
from toolkit.records import Message, Reply
from toolkit.settings import Settings
from toolkit.store.store import Store


class ModelClient(Protocol):
    """Calls models and records each attempt; comparisons, evals and suites work with it."""

    @property
    def settings(self) -> Settings:
        """The settings of the home: whether prompts are recorded, limits, deadlines."""

    @property
    def store(self) -> Store:
        """The database that the calls are recorded in."""

    @property
    def keys(self) -> Keys:
        """API keys; their values must not appear in what a service writes."""

    @property
    def portal(self) -> Portal:
        """The background event loop that runs asynchronous calls for synchronous callers."""

    def complete(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> Reply:
        """Call one model and wait; see `toolkit.complete`."""

    def stream(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> SyncReplyStream:
        """Call one model and iterate over its text; see `toolkit.stream`."""

    async def acomplete(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> Reply:
        """Call one model; see `toolkit.acomplete`."""

    def astream(
        self, model: str, prompt: str | Sequence[Message], **options: Unpack[CallOptions]
    ) -> ReplyStream:
        """Call one model and iterate over its text; see `toolkit.astream`."""
