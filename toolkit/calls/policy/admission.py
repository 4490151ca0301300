"""Who is let through to a provider: the breaker first, then the pace; and what each try came to.

`Gate` remembers every provider that was asked. An open cassette answers by itself: there is
nobody to spare and nobody to judge, so its tries pass and leave no mark.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from toolkit.calls.attempt import AttemptEnd
from toolkit.calls.policy.circuit_breaker import Breaker, Entry, Refusal
from toolkit.calls.policy.rate_limiter import RateLimiter
from toolkit.calls.policy.retry import RetryQuota
from toolkit.calls.source import current_source
from toolkit.errors import CallError, NoProviderAvailable

if TYPE_CHECKING:
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.provider import Provider

_COUNTS_AGAINST: Final = frozenset({"provider", "network"})
_MAX_HELD_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place to ask: a provider and the id of one of its models."""

    provider: Provider
    model_id: str

    @property
    def model(self) -> str:
        """`provider/model_id`."""
        return f"{self.provider.name}/{self.model_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One try that was let through.

    Attributes:
        queue_ms: how long it waited in our own queue; None where nothing was waited for.
        settle: to be told once what the try came to.
    """

    queue_ms: float | None
    settle: Callable[[AttemptEnd], None]


class Gate:
    """The breakers, paces and retry quotas of one client.

    Args:
        clock, sleep, dice: time and chance, so that tests can play them.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._sleep, self._dice = clock, sleep, dice
        self._quota = RetryQuota()
        self._paces: dict[tuple[str, int | None, int | None], RateLimiter] = {}
        self._breakers: dict[tuple[str, str | None, str], Breaker] = {}

    async def enter(
        self,
        target: Target,
        key: ResolvedKey | None,
        *,
        tokens: int,
        deadline: float,
        taken: float | None,
    ) -> Admission:
        """Wait for one try's turn.

        Args:
            target: what is asked, with `key`: a breaker belongs to origin, key and model.
            tokens: estimate of the request's tokens.
            deadline: moment of the clock past which nobody waits.
            taken: what the retry quota was charged for this try.

        Raises:
            NoProviderAvailable: the breaker is open (`cause` is `breaker_open`).
            RateLimited: our own limit lets it through only past the deadline.
        """
        if current_source() == "replay":
            return Admission(queue_ms=None, settle=lambda end: None)
        breaker = self._breaker(target, key)
        entry = breaker.enter(self._clock())
        if isinstance(entry, Refusal):
            raise _left_alone(target, entry.wait_s)
        name = target.provider.name
        try:
            place = await self._pace(target.provider).wait(tokens, deadline=deadline, provider=name)
        except BaseException:
            breaker.forget(entry)
            raise

        def settle(end: AttemptEnd) -> None:
            self._judge(breaker, entry, end)
            if end.status == "ok":
                self._quota.give_back(name, taken)
            if end.total_tokens is not None:
                place.correct(end.total_tokens)

        return Admission(queue_ms=place.waited_ms, settle=settle)

    def charge_retry(self, provider: str, error: CallError) -> float | None:
        """Take the price of one retry from the provider's quota; None where it is used up."""
        if current_source() == "replay":
            return 0.0
        return self._quota.take(provider, error)

    async def rest(self, wait_s: float) -> None:
        """Wait between two tries; a cassette need not be waited for."""
        await self._sleep(0.0 if current_source() == "replay" else wait_s)

    def _judge(self, breaker: Breaker, entry: Entry, end: AttemptEnd) -> None:
        """A stream counts at its end, not at its start."""
        if end.status == "ok":
            breaker.succeed(entry, self._clock())
        elif end.error is not None and end.error.blame in _COUNTS_AGAINST:
            stated_s = end.error.retry_after
            held_s = stated_s if stated_s is not None and stated_s <= _MAX_HELD_S else None
            breaker.fail(entry, self._clock(), retry_after_s=held_s)
        else:
            breaker.forget(entry)

    def _breaker(self, target: Target, key: ResolvedKey | None) -> Breaker:
        name = (target.provider.origin, key.fingerprint if key else None, target.model_id)
        return self._breakers.setdefault(name, Breaker(random=self._dice))

    def _pace(self, provider: Provider) -> RateLimiter:
        name = (provider.name, provider.rpm, provider.tpm)
        if name not in self._paces:
            self._paces[name] = RateLimiter(
                provider.rpm, provider.tpm, clock=self._clock, sleep=self._sleep
            )
        return self._paces[name]


def _left_alone(target: Target, wait_s: float) -> NoProviderAvailable:
    return NoProviderAvailable(
        f"{target.model} is left alone for {wait_s:.0f} s after too many failures",
        provider=target.provider.name,
        model=target.model,
        retry_after=wait_s,
        cause="breaker_open",
        hint="Wait, or name another model with `fallbacks`.",
    )
