"""Pacing: requests and tokens per minute at one provider, waited for in order.

No 60 seconds ever hold more than the limit: what was sent counts until a minute has passed,
as providers count it. A request takes its place in a queue; one that is cancelled leaves it and
has used nothing, and one that could only be sent too late is refused at once. Tokens are charged
by an estimate and set right when the true number is known.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from toolkit.errors import RateLimited

MINUTE_S: Final = 60.0
RECHECK_S: Final = 1.0  # a corrected estimate may let the first one through sooner


class _Sent:
    """What one request counts for, from a moment on."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: float) -> None:
        self.at: float = at
        self.amount: float = amount


class Window:
    """Counts amounts over a sliding window of time, at most `limit` of them.

    An amount beyond the limit is let through alone, when nothing else counts any more:
    a request that is too large for the limit is the provider's to refuse, not ours.
    """

    def __init__(self, limit: float, length_s: float = MINUTE_S) -> None:
        self.limit = limit
        self.length_s = length_s
        self._sent: deque[_Sent] = deque()
        self._total = 0.0

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits."""
        self._expire(now)
        excess = self._total + min(amount, self.limit) - self.limit
        for sent in self._sent:
            if excess <= 0:
                break
            excess -= sent.amount
            wait_s = sent.at + self.length_s - now
            if excess <= 0:
                return max(wait_s, 0.0)
        return 0.0

    def take(self, amount: float, now: float) -> _Sent:
        """Count `amount` from now on, fitting or not."""
        sent = _Sent(now, amount)
        self._sent.append(sent)
        self._total += amount
        return sent

    def correct(self, sent: _Sent, amount: float) -> None:
        """It was really `amount`."""
        if self._sent and sent.at >= self._sent[0].at:
            self._total += amount - sent.amount
            sent.amount = amount

    def _expire(self, now: float) -> None:
        while self._sent and self._sent[0].at + self.length_s <= now:
            self._total -= self._sent.popleft().amount
        if not self._sent:
            self._total = 0.0  # what floats have gathered


class Reservation:
    """A request that was let through.

    Attributes:
        waited_ms: how long it waited.
    """

    def __init__(self, limiter: RateLimiter, waited_ms: float, tokens: _Sent | None) -> None:
        self._limiter = limiter
        self.waited_ms = waited_ms
        self._tokens = tokens

    def correct(self, total_tokens: int) -> None:
        """Set the request's tokens right after the fact."""
        if self._tokens is not None:
            self._limiter.correct(self._tokens, total_tokens)


class RateLimiter:
    """One provider's limits, shared by all event loops of the process.

    Args:
        rpm: requests per window, or None.
        tpm: tokens per window, or None.
        window_s: length of the window, seconds.
    """

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        *,
        window_s: float = MINUTE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._requests = Window(rpm, window_s) if rpm else None
        self._tokens = Window(tpm, window_s) if tpm else None
        self._guard = threading.Lock()
        self._waiting = 0
        # A lock hands itself on in the order of asking, and belongs to one event loop.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def wait(self, tokens: int, *, deadline: float, provider: str) -> Reservation:
        """Wait until one request with so many tokens may be sent, and take it.

        Args:
            tokens: estimate of the request's tokens.
            deadline: moment of the clock past which nothing is waited for.
            provider: name for the error.

        Raises:
            RateLimited: the wait would pass the deadline; nothing is taken.
        """
        if self._requests is None and self._tokens is None:
            return Reservation(self, 0.0, None)
        began = self._clock()
        self._require_in_time(deadline, provider)
        self._waiting += 1
        try:
            async with self._queued(deadline - began, provider):
                while (taken := self._try_take(tokens)) is None:
                    wait_s = self._wait_s(tokens)
                    if self._clock() + wait_s > deadline:
                        raise _too_long(provider, wait_s)
                    await self._sleep(min(wait_s, RECHECK_S))
        finally:
            self._waiting -= 1
        return Reservation(self, (self._clock() - began) * 1000, taken[0])

    def correct(self, sent: _Sent, total_tokens: int) -> None:
        """Set the tokens of one request right."""
        if self._tokens is not None:
            with self._guard:
                self._tokens.correct(sent, total_tokens)

    def _require_in_time(self, deadline: float, provider: str) -> None:
        """Refuse at once what cannot be in time behind those who wait already.

        With `limit` requests ahead the next one goes a minute after the first of them.
        """
        if self._requests is None:
            return
        wait_s = self._waiting // self._requests.limit * self._requests.length_s
        if wait_s and self._clock() + wait_s > deadline:
            raise _too_long(provider, wait_s)

    @asynccontextmanager
    async def _queued(self, wait_s: float, provider: str) -> AsyncIterator[None]:
        """Be the first of the queue while the block runs."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await lock.acquire()
        except TimeoutError:
            raise _too_long(provider, None) from None
        try:
            yield
        finally:
            lock.release()

    def _try_take(self, tokens: int) -> tuple[_Sent | None] | None:
        """Take the request and return its tokens' entry, or None where it must wait."""
        now = self._clock()
        with self._guard:
            if self._longest_wait_s(tokens, now) > 0:
                return None
            if self._requests is not None:
                self._requests.take(1, now)
            return (self._tokens.take(tokens, now) if self._tokens is not None else None,)

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        with self._guard:
            return self._longest_wait_s(tokens, now)

    def _longest_wait_s(self, tokens: int, now: float) -> float:
        waits = [0.0]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now))
        return max(waits)


def _too_long(provider: str, wait_s: float | None) -> RateLimited:
    wait = "in time" if wait_s is None else f"for another {wait_s:.1f} s"
    return RateLimited(
        f"the rate limit set for {provider} does not admit this request {wait}",
        provider=provider,
        retry_after=wait_s,
        blame="policy",
        cause="own_limit",
        hint="Raise the provider's `rpm` or `tpm`, or give the request more time.",
    )
