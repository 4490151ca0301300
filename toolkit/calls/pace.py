"""Pacing: requests and tokens per minute at one provider, waited for in order.

Two token buckets that hold one minute's worth. A waiter takes its place in a queue; one that
is cancelled leaves it and takes nothing. Tokens are charged by an estimate beforehand and set
right when the true number is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from toolkit.errors import RateLimited


class Bucket:
    """Holds up to `per_minute`, refills evenly; may be overdrawn by corrections."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.size = per_minute
        self._level = per_minute
        self._at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` (at most the whole bucket) is there."""
        self._refill(now)
        missing = min(amount, self.size) - self._level
        return max(0.0, missing * 60.0 / self.size)

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, which may overdraw."""
        self._refill(now)
        self._level -= amount

    def _refill(self, now: float) -> None:
        self._level = min(self.size, self._level + (now - self._at) * self.size / 60.0)
        self._at = now


class Pace:
    """One provider's limits, shared by all event loops of the process.

    Args:
        rpm: requests per minute, or None.
        tpm: tokens per minute, or None.
    """

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._requests = Bucket(rpm, clock()) if rpm else None
        self._tokens = Bucket(tpm, clock()) if tpm else None
        # A lock hands itself on in the order of asking, and belongs to one event loop.
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def wait(self, tokens: int, *, deadline: float, provider: str) -> float:
        """Wait until one request with so many tokens may be sent, and take it.

        Args:
            tokens: estimate of the request's tokens.
            deadline: moment of the clock past which nobody waits.
            provider: name for the error.

        Returns:
            Milliseconds waited.

        Raises:
            RateLimited: the wait would pass the deadline; nothing is taken.
        """
        began = self._clock()
        if self._requests is None and self._tokens is None:
            return 0.0
        try:
            turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
            async with asyncio.timeout(max(0.0, deadline - began)):
                await turn.acquire()
        except TimeoutError:
            raise _too_long(provider, None) from None
        try:
            while (wait_s := self._wait_s(tokens)) > 0:
                if self._clock() + wait_s > deadline:
                    raise _too_long(provider, wait_s)
                await self._sleep(wait_s)
            self._take(tokens)
        finally:
            turn.release()
        return (self._clock() - began) * 1000

    def correct(self, more_tokens: int) -> None:
        """Set the token count right after the fact; negative gives back."""
        if self._tokens is not None:
            self._tokens.take(more_tokens, self._clock())

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        waits = [0.0]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now))
        return max(waits)

    def _take(self, tokens: int) -> None:
        now = self._clock()
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)


def _too_long(provider: str, wait_s: float | None) -> RateLimited:
    wait = "in time" if wait_s is None else f"for another {wait_s:.1f} s"
    return RateLimited(
        f"our own limit for {provider} does not let this request through {wait}",
        provider=provider,
        retry_after=wait_s,
        blame="policy",
        cause="own_limit",
        hint="Raise the provider's `rpm` or `tpm`, or give the request more time.",
    )
