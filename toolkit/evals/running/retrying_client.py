"""A client that waits where waiting helps: for reservations of a budget, and for a provider whose
circuit breaker is open. Without it, one bad minute would fail all remaining samples.

How many calls may be in flight at one provider is found out: as many as it accepts without a 429.
Slow start (Jacobson 1988), then additive increase and multiplicative decrease (Chiu & Jain 1989),
as TCP does: until the first 429 each answer opens one more place, which doubles them with each
round; after that one more for a whole round without a 429, and half after one. It grows only while
all places are taken: what was not used has shown nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from toolkit.errors import BudgetExceeded, NoProviderAvailable
from toolkit.evals.scoring.run_client import RunClient
from toolkit.records import Message, Reply

START: Final = 8
_PAUSE_S: Final = 1.0  # calls that were in flight with the first 429 add no information


class AdaptiveLimit:
    """A gate whose width follows what the provider says.

    Args:
        most: the widest it may become.
    """

    def __init__(self, most: int, start: int = START) -> None:
        self.most: int = max(1, most)
        self.width: int = min(start, self.most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._good = 0
        self._is_slow_start = True
        self._narrowed_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether there is a place at once."""
        return self._inside < self.width and not self._waiting

    def note(self, *, was_limited: bool) -> None:
        """A call is over: was any of its attempts answered with 429?"""
        if was_limited:
            now = time.monotonic()
            if now - self._narrowed_at >= _PAUSE_S:
                self._narrowed_at = now
                self.width = max(1, self.width // 2)
            self._good, self._is_slow_start = 0, False
        elif self._inside >= self.width:
            self._good += 1
            is_round = self._is_slow_start or self._good >= self.width
            if is_round and self.width < self.most:
                self.width += 1
                self._good = 0
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self.width:
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)

    async def enter(self) -> None:
        """Wait for a place; `leave` gives it back."""
        if self.is_open:
            self._inside += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the slot was granted as the caller was cancelled
            raise

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1
        self._let_in()


MAX_WAIT_S: Final = 120.0
_GRACE_S: Final = 0.05


class RetryingClient:
    """Sends requests through another client.

    Args:
        client: sends the requests.
        provider_of: the name of a model's provider.
        max_wait_s: so long a failing provider is waited for since it last answered (or since
            the beginning); after that its calls fail at once.
        may_release: whether a call of another process may still release a reservation; awaited
            when no call here can, and answered when one has.
    """

    def __init__(
        self,
        client: RunClient,
        provider_of: Callable[[str], str],
        max_wait_s: float = MAX_WAIT_S,
        may_release: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._client = client
        self._provider_of = provider_of
        self._max_wait_s = max_wait_s
        self._may_release = may_release
        self._began_at = time.monotonic()
        self._answered_at: dict[str, float] = {}
        self._in_flight = 0
        self._exhausted: BudgetExceeded | None = None
        self._settled = asyncio.Event()

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Ask a model.

        Raises:
            BudgetExceeded: nothing is in flight any more and the cap still refuses.
            ToolkitError: what else went wrong.
        """
        provider = self._provider_of(model)
        while True:
            try:
                reply = await self._ask_within_cap(model, messages, params)
            except NoProviderAvailable as error:
                silent_s = time.monotonic() - self._answered_at.get(provider, self._began_at)
                if error.retry_after is None or silent_s > self._max_wait_s:
                    raise
                await asyncio.sleep(min(error.retry_after, self._max_wait_s) + _GRACE_S)
                continue
            self._answered_at[provider] = time.monotonic()
            return reply

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
        return await self._client.embed(model, texts)

    def supports_schema(self, model: str) -> bool:
        """Whether the model is known to accept a JSON schema."""
        return self._client.supports_schema(model)

    async def _ask_within_cap(
        self, model: str, messages: Sequence[Message], params: dict[str, Any]
    ) -> Reply:
        """Call; where the cap refuses, wait for a call in flight to release its reservation."""
        while True:
            settled, self._in_flight = self._settled, self._in_flight + 1
            is_refused = is_settled_elsewhere = False
            try:
                return await self._client.complete(model, messages, **params)
            except BudgetExceeded as error:
                is_refused = True
                if self._in_flight == 1:
                    if self._may_release is None or not await self._may_release():
                        # Nothing can release a reservation: waiting would never end.
                        self._exhausted = self._exhausted or error
                        raise
                    is_settled_elsewhere = True
            finally:
                self._in_flight -= 1
                if not is_refused or self._exhausted is not None:
                    self._settled.set()
                    self._settled = asyncio.Event()
            if not is_settled_elsewhere:
                await settled.wait()
            if self._exhausted is not None:
                raise self._exhausted
