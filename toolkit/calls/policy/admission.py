"""The circuit breakers, rate limiters and retry quotas of one client.

`Gate` remembers every provider that was called. Where a cassette answers, no provider is called,
so its attempts pass without limits and leave no trace.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from toolkit.calls.attempt_spec import AttemptEnd
from toolkit.calls.policy.circuit_breaker import Breaker, BreakerState, Entry, Refusal
from toolkit.calls.policy.rate_limiter import RateLimiter, Reservation
from toolkit.calls.policy.retry import RetryQuota
from toolkit.calls.source import current_source
from toolkit.errors import CallError, NoProviderAvailable
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

_COUNTS_AGAINST: Final = frozenset({"provider", "network"})
_MAX_HELD_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A provider and the id of one of its models."""

    provider: Provider
    model_id: str

    @property
    def model(self) -> str:
        """`provider/model_id`."""
        return f"{self.provider.name}/{self.model_id}"


class Circuit:
    """One request's way through a circuit breaker, with all its attempts at one target.

    A request counts once, with its last attempt: its own retries must not open the breaker
    against the next request. A stream counts at its end, which may be after the block.
    """

    def __init__(self, breaker: Breaker, entry: Entry, clock: Callable[[], float]) -> None:
        self._breaker, self._entry, self._clock = breaker, entry, clock
        self._last: AttemptEnd | None = None
        self._was_attempted = False
        self._is_left = False

    def begin_attempt(self) -> None:
        """An attempt begins; how it ends is not known yet."""
        self._last, self._was_attempted = None, True

    def note(self, end: AttemptEnd) -> None:
        """Record how an attempt ended."""
        self._last = end
        if self._is_left:
            self._judge(end)

    def allows_retry(self) -> bool:
        """Return whether the breaker has not been opened meanwhile by other requests."""
        return self._breaker.state(self._clock()) != "open"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_left = True
        if self._last is not None:
            self._judge(self._last)
        elif error is not None or not self._was_attempted:
            self._breaker.forget(self._entry)

    def _judge(self, end: AttemptEnd) -> None:
        if end.status == "ok":
            self._breaker.succeed(self._entry, self._clock())
        elif end.error is not None and end.error.blame in _COUNTS_AGAINST:
            stated_s = end.error.retry_after
            held_s = stated_s if stated_s is not None and stated_s <= _MAX_HELD_S else None
            self._breaker.fail(self._entry, self._clock(), retry_after_s=held_s)
        else:
            self._breaker.forget(self._entry)


class Gate:
    """What one client remembers about its providers.

    Args:
        settings: rate limits where a provider has none of its own.
        clock, sleep, rng: time and chance, so that tests can control them.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._clock, self._sleep, self._rng = clock, sleep, rng
        self._quota = RetryQuota()
        self._limiters: dict[tuple[str, int | None, int | None, float], RateLimiter] = {}
        self._breakers: dict[tuple[str, str, str], Breaker] = {}

    def enter(self, target: Target, *, is_load_test: bool = False) -> Circuit:
        """Enter the circuit breaker of a target; use the result in a `with` block.

        A breaker belongs to one provider and model, not to a host: two providers may share a
        gateway. Another base URL is another server. A load test measures what an overloaded
        server does, so no breaker stops its requests, and its failures open none.

        Raises:
            NoProviderAvailable: the breaker is open (`cause` is `breaker_open`).
        """
        if is_load_test or current_source() == "replay":
            breaker = Breaker()
        else:
            name = (target.provider.name, target.provider.base_url, target.model_id)
            breaker = self._breakers.setdefault(name, Breaker(random=self._rng))
        entry = breaker.enter(self._clock())
        if isinstance(entry, Refusal):
            raise _circuit_open(target, entry.wait_s)
        return Circuit(breaker, entry, self._clock)

    def breaker_states(self) -> dict[str, BreakerState]:
        """State of the circuit breaker of each `provider/model` that was called."""
        now = self._clock()
        breakers = list(self._breakers.items())  # another thread may add one
        return {
            f"{provider}/{model}": breaker.state(now) for (provider, _, model), breaker in breakers
        }

    async def wait_for_rate(
        self, provider: Provider, *, tokens: int, deadline: float
    ) -> Reservation | None:
        """Wait until the provider's rate limits let one attempt pass; None in a replay.

        Args:
            provider: its `rpm` and `tpm` are the limits.
            tokens: estimate of the request's tokens.
            deadline: moment of the clock past which nothing is waited for.

        Raises:
            RateLimited: our own limit lets it through only past the deadline.
        """
        if current_source() == "replay":
            return None
        limiter = self._limiter(provider)
        return await limiter.wait(tokens, deadline=deadline, provider=provider.name)

    def charge_retry(self, provider: str, error: CallError) -> float | None:
        """Take the price of one retry from the provider's quota; None where it is used up."""
        if current_source() == "replay":
            return 0.0
        return self._quota.take(provider, error)

    def give_back(self, provider: str, charged: float | None) -> None:
        """After a success, give the quota back what the attempt was charged."""
        if current_source() != "replay":
            self._quota.give_back(provider, charged)

    async def pause(self, wait_s: float) -> None:
        """Wait between two attempts; a cassette need not be waited for."""
        await self._sleep(0.0 if current_source() == "replay" else wait_s)

    def _limiter(self, provider: Provider) -> RateLimiter:
        rpm, window_s = provider.rpm, provider.rate_window_s or self._settings.rate_window_s
        if rpm is None and not provider.is_local:
            rpm = self._settings.default_rpm
        name = (provider.name, rpm, provider.tpm, window_s)
        limiter = self._limiters.get(name)
        if limiter is None:
            limiter = self._limiters[name] = RateLimiter(
                rpm, provider.tpm, window_s=window_s, clock=self._clock, sleep=self._sleep
            )
        return limiter


def _circuit_open(target: Target, wait_s: float) -> NoProviderAvailable:
    return NoProviderAvailable(
        f"{target.model} is not called for another {wait_s:.0f} s, after too many failures",
        provider=target.provider.name,
        model=target.model,
        retry_after=wait_s,
        cause="breaker_open",
        hint="Wait, or name another model with `fallbacks`.",
    )
