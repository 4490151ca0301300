"""Pacing: requests and tokens per minute at one provider, waited for in order.

No 60 seconds ever hold more than the limit: what was sent counts until a minute has passed,
as providers count it. A request takes its place in a queue; one that is cancelled leaves it and
has used nothing, and one that could only be sent too late is refused at once. Tokens are charged
by an estimate and set right when the true number is known.
`read_ratelimit_headers` reads what is left of a provider's own limits from its answers.
"""

from __future__ import annotations

import asyncio
import math
import re
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from toolkit.errors import RateLimited

MINUTE_S: Final = 60.0
RECHECK_S: Final = 1.0  # a corrected estimate may let the first one through sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What one provider accepts.

    Attributes:
        provider: its name.
        rpm: requests per window, or None.
        tpm: tokens per window, or None.
        window_s: length of the window, seconds.
    """

    provider: str
    rpm: int | None
    tpm: int | None
    window_s: float


class Limiter(Protocol):
    """Paces the requests to one provider: here, or in the process that keeps the limit."""

    async def wait(self, tokens: int, *, deadline: float, provider: str) -> Reservation:
        """Wait until one request may be sent; see `RateLimiter.wait`."""


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

    def __init__(
        self, waited_ms: float, set_tokens: Callable[[int], None] = lambda total_tokens: None
    ) -> None:
        self.waited_ms: float = waited_ms
        self._set_tokens = set_tokens

    def correct(self, total_tokens: int) -> None:
        """Set the request's tokens right after the fact."""
        self._set_tokens(total_tokens)


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
            return Reservation(0.0)
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
        waited_ms = (self._clock() - began) * 1000
        sent = taken[0]
        if sent is None:
            return Reservation(waited_ms)
        return Reservation(waited_ms, lambda total_tokens: self.correct(sent, total_tokens))

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


_MAX_COUNT: Final = 10**15
_MAX_RESET_S: Final = 366 * 86_400.0
_EPOCH_FROM_S: Final = 1_000_000_000.0
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_UNIT_S: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0,
}  # fmt: skip

# Where "limit", "remaining" and "reset" are in a name, by what is counted; each name is one
# window of one provider, and the first window that is there counts. Anthropic, OpenAI and those
# who copy them, Cerebras, Mistral, Fireworks, Together, GitHub, Hugging Face, OpenRouter.
_WINDOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": (
        "x-ratelimit-{}-requests",
        "anthropic-ratelimit-requests-{}",
        "x-ratelimit-{}-requests-minute",
        "x-ratelimit-{}-req-minute",
        "x-ratelimit-{}-minute",
        "x-ratelimit-{}-requests-day",
        "ratelimit-{}-requests",
        "x-ratelimit-{}",
        "ratelimit-{}",
        "x-rate-limit-{}",
    ),
    "tokens": (
        "x-ratelimit-{}-tokens",
        "anthropic-ratelimit-tokens-{}",
        "anthropic-ratelimit-input-tokens-{}",
        "x-ratelimit-{}-tokens-minute",
        "x-ratelimitbysize-{}-minute",
        "ratelimitbysize-{}",
        "x-ratelimit-{}-tokens-prompt",
        "ratelimit-{}-tokens",
    ),
}


def read_ratelimit_headers(
    headers: Mapping[str, str], at: datetime | None = None
) -> dict[str, Any]:
    """The `ratelimit_*` columns of a row; None where the provider does not say.

    Args:
        headers: response headers, names in lower case.
        at: when they came, UTC, against which dates and epochs are read.

    Returns:
        `ratelimit_limit_requests`, `..._remaining_...` (counts) and `..._reset_..._s` (seconds
        until it is full again), for requests and tokens.
    """
    if not any("ratelimit" in name or "rate-limit" in name for name in headers):
        return {}
    at = at or datetime.now(UTC)
    columns: dict[str, Any] = {}
    for counted, windows in _WINDOWS.items():
        window = _find_window(headers, windows)
        limit, remaining, reset = (
            headers.get(window.format(word)) if window else None
            for word in ("limit", "remaining", "reset")
        )
        reset_s = _read_reset(reset, at)
        period_s = _read_reset(headers.get(f"x-ratelimit-renewalperiod-{counted}"), at)
        if reset_s is not None and period_s is not None and reset_s > period_s:
            reset_s /= 1000  # Azure: later than a whole period can only be milliseconds
        columns[f"ratelimit_limit_{counted}"] = _read_count(limit)
        columns[f"ratelimit_remaining_{counted}"] = _read_count(remaining)
        columns[f"ratelimit_reset_{counted}_s"] = reset_s
    return columns


def _find_window(headers: Mapping[str, str], windows: Iterable[str]) -> str | None:
    """The window with most headers: what remains of one is not a share of another's limit."""

    def said(window: str) -> int:
        return sum(window.format(word) in headers for word in ("limit", "remaining", "reset"))

    best = max(windows, key=lambda window: (window.format("remaining") in headers, said(window)))
    return best if said(best) else None


def _read_count(text: str | None) -> int | None:
    """A whole number; several of them (`100;w=60, 1000`) give the first.

    Some say 2^63 or 2^64 for "no limit": what no account can have is unknown.
    """
    if text is None:
        return None
    first = re.split(r"[,;\s]", text.strip(), maxsplit=1)[0]
    try:
        value = float(first)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and 0 <= value <= _MAX_COUNT else None


def _read_reset(text: str | None, at: datetime) -> float | None:
    """Seconds from a duration (`6m0s`, `20ms`), a number, an epoch or a date."""
    if text is None:
        return None
    text = text.strip()
    seconds = _read_seconds(text, at)
    if seconds is None or not math.isfinite(seconds) or seconds > _MAX_RESET_S:
        return None
    return max(0.0, seconds)


def _read_seconds(text: str, at: datetime) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return _read_duration(text) if _PART.match(text) else _read_date(text, at)
    if value >= _EPOCH_FROM_S * 1000:
        value /= 1000
    return value - at.timestamp() if value >= _EPOCH_FROM_S else value


def _read_duration(text: str) -> float | None:
    if _PART.sub("", text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def _read_date(text: str, at: datetime) -> float | None:
    try:
        reset = datetime.fromisoformat(text)
    except ValueError:
        return None
    reset = reset if reset.tzinfo else reset.replace(tzinfo=UTC)
    return (reset - at).total_seconds()
