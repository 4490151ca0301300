"""A CALL, FROM QUESTION TO RECORD: read this file first.

complete / stream      what the caller asks for
  -> _processed        the pipeline of processors may change or refuse the request
  -> _with_policy      pacing, retries, breaker, failover: each try is one
  -> Attempt           one HTTP request, one row                      (attempt.py)
  -> Door              litellm writes the request in the provider's language  (_litellm.py)
  -> GuardedTransport  stamps, bounds, deadlines; no redirects        (wire.py)
  -> Listener, Reader  what the answer really says                    (listening.py, reading.py)
  -> Ledger            the row, then the reply                        (ledger.py)
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from toolkit.calls._litellm import Door
from toolkit.calls.attempt import Attempt, Tools, Try
from toolkit.calls.ledger import Ledger
from toolkit.calls.listening import Delta
from toolkit.calls.reply_stream import Progress, ReplyStream
from toolkit.records import Call, ChatRequest, Reply
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.providers.keys import ResolvedKey
    from toolkit.providers.provider import Provider

__all__ = ["Client", "Delta", "Progress", "ReplyStream"]

T = TypeVar("T")


class Client:
    """The call path of one workbench.

    Args:
        settings: deadlines, recording policy, proxy.
        resolve: `"provider/model_id"` -> (provider, model_id); raises what is wrong with it.
        key_for: (provider, explicit key) -> the key in force, or None.
        record: acknowledges one row; called once per attempt.
    """

    def __init__(
        self,
        settings: Settings,
        resolve: Callable[[str], tuple[Provider, str]],
        key_for: Callable[[Provider, str | None], ResolvedKey | None],
        record: Callable[[Call], None],
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self.ledger = Ledger(record, settings.recording)
        self._tools = Tools(
            settings=settings, door=Door(settings), ledger=self.ledger, key_for=key_for
        )

    async def complete(self, request: ChatRequest, api_key: str | None = None) -> Reply:
        """Ask and wait for the whole reply.

        Raises:
            ToolkitError: what went wrong; every attempt has its row.
        """
        return await self._with_policy(request, api_key, Attempt.run)

    def stream(self, request: ChatRequest, api_key: str | None = None) -> ReplyStream:
        """Ask for a stream; it starts with the first `await` on it (or at once in a loop)."""
        return ReplyStream(request, lambda: self._with_policy(request, api_key, Attempt.open))

    async def _with_policy(
        self,
        request: ChatRequest,
        api_key: str | None,
        act: Callable[[Attempt], Awaitable[T]],
    ) -> T:
        provider, model_id = self._resolve(request.model)
        total_s = request.timeout_s or self._settings.total_timeout_s
        this = Try(provider=provider, model_id=model_id, total_at=time.monotonic() + total_s)
        return await act(Attempt(self._tools, request, this, api_key))

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        await self._tools.door.aclose()
