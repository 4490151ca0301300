"""The circuit breakers, rate limiters and retry quotas of one client.

A breaker keeps a provider that failed often from being called for a while. It is pure: every
method is given the time. Closed, it counts results in a sliding window; open, it refuses;
half-open, it lets exactly one call through, with a time-out of its own, so that a call that hangs
does not keep it half-open. Each change of state begins a new epoch, and a result counts only in
the epoch that admitted the call: a slow call from before an outage does not prove that the outage
is over.

`Gate` remembers every provider that was called. Where a cassette answers, no provider is called,
so its attempts pass without limits and leave no trace.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from toolkit.calls.attempt_spec import AttemptEnd, current_source
from toolkit.calls.policy.rate_limiter import Limiter, RateLimit, RateLimiter, Reservation
from toolkit.errors import CallError, NoProviderAvailable, RequestTimeout
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """The numbers behind a breaker.

    Attributes:
        window: results that count.
        window_s: seconds that they count for.
        min_calls: fewer results never open it by their share.
        failure_share: share of failures that opens it.
        failures_in_row: failures in a row that open it.
        open_s, max_open_s: first and longest time it stays open, doubled each time.
        trial_timeout_s: how long one half-open call may take.
        successes_to_close: good half-open calls that close it.
    """

    window: int = 20
    window_s: float = 60.0
    min_calls: int = 5
    failure_share: float = 0.5
    failures_in_row: int = 3
    open_s: float = 15.0
    max_open_s: float = 300.0
    trial_timeout_s: float = 60.0
    successes_to_close: int = 2


DEFAULT_RULES: Final = BreakerRules()


@dataclass(frozen=True, slots=True)
class Entry:
    """A call that was let in; it is handed back with what the call came to."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No call now; one may be let in after `wait_s` seconds."""

    wait_s: float


class Breaker:
    """One breaker, for one provider and model.

    Args:
        rules: its numbers.
        random: gives a number in [0, 1), for the jitter (0.8 to 1.2) of the time it stays open.
    """

    def __init__(
        self, rules: BreakerRules = DEFAULT_RULES, random: Callable[[], float] = lambda: 0.5
    ) -> None:
        self._rules, self._random = rules, random
        self._results: deque[tuple[float, bool]] = deque(maxlen=rules.window)
        self._failures_in_row = 0
        self._epoch = 0
        self._open_until: float | None = None
        self._times_opened = 0
        self._trial_until: float | None = None
        self._good_trials = 0

    def state(self, now: float) -> BreakerState:
        """The state at `now`, seconds of a monotonic clock."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def enter(self, now: float) -> Entry | Refusal:
        """Let a call in, or say when one may be."""
        if self._open_until is None:
            return Entry(self._epoch)
        if now < self._open_until:
            return Refusal(self._open_until - now)
        if self._trial_until is not None and now < self._trial_until:
            return Refusal(self._trial_until - now)
        self._epoch += 1
        self._trial_until = now + self._rules.trial_timeout_s
        return Entry(self._epoch)

    def succeed(self, entry: Entry, now: float) -> None:
        """A call ended well (a stream: at its verified end)."""
        if entry.epoch != self._epoch:
            return
        if self._open_until is None:
            self._failures_in_row = 0
            self._results.append((now, True))
            return
        self._trial_until = None
        self._good_trials += 1
        if self._good_trials >= self._rules.successes_to_close:
            self._close()

    def fail(self, entry: Entry, now: float, *, retry_after_s: float | None = None) -> None:
        """A call failed by a fault of provider or network; a longer deadline always wins."""
        if entry.epoch == self._epoch:
            if self._open_until is not None:
                self._open(now)
            else:
                self._failures_in_row += 1
                self._results.append((now, False))
                if self._is_too_much(now):
                    self._open(now)
        if self._open_until is not None and retry_after_s is not None:
            self._open_until = max(self._open_until, now + retry_after_s)

    def forget(self, entry: Entry) -> None:
        """A call says nothing (cancelled, never sent, the client's own fault)."""
        if entry.epoch == self._epoch and self._open_until is not None:
            self._trial_until = None

    def _is_too_much(self, now: float) -> bool:
        rules = self._rules
        if self._failures_in_row >= rules.failures_in_row:
            return True
        recent = [good for at, good in self._results if now - at <= rules.window_s]
        failures = len(recent) - sum(recent)
        return len(recent) >= rules.min_calls and failures >= rules.failure_share * len(recent)

    def _open(self, now: float) -> None:
        rules = self._rules
        open_s = min(rules.max_open_s, rules.open_s * 2.0**self._times_opened)
        until = now + open_s * (0.8 + 0.4 * self._random())
        self._open_until = max(until, self._open_until or until)
        self._times_opened = min(self._times_opened + 1, 16)
        self._begin_epoch()

    def _close(self) -> None:
        self._open_until = None
        self._times_opened = 0
        self._failures_in_row = 0
        self._results.clear()
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._trial_until = None
        self._good_trials = 0


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

    Attributes:
        is_replay: a cassette answers, so that nothing is waited for or charged.
    """

    def __init__(
        self, breaker: Breaker, entry: Entry, clock: Callable[[], float], *, is_replay: bool
    ) -> None:
        self.is_replay: bool = is_replay
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


class RetryQuota:
    """A budget of retries per provider, so that an outage is not met with a storm.

    Every retry takes 5 (10 after a time-out) of 100; a success gives back 1, and the success of
    a retry gives back what that retry took. After the scheme of AWS's standard retry mode.
    """

    SIZE: Final = 100.0
    COST: Final = 5.0
    TIMEOUT_COST: Final = 10.0

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def take(self, provider: str, error: CallError) -> float | None:
        """Take the price of one retry and return it; None when too little is left."""
        price = self.TIMEOUT_COST if isinstance(error, RequestTimeout) else self.COST
        left = self._left.get(provider, self.SIZE)
        if left < price:
            return None
        self._left[provider] = left - price
        return price

    def give_back(self, provider: str, taken: float | None) -> None:
        """After a success: what the retry took, or 1 for a first try."""
        left = self._left.get(provider, self.SIZE)
        self._left[provider] = min(self.SIZE, left + (taken or 1.0))


class Gate:
    """What one client remembers about its providers.

    Args:
        settings: rate limits where a provider has none of its own.
        clock, sleep, rng: time and chance, so that tests can control them.
        find_limiter: keeps the rate limits elsewhere, for a process that shares them with others;
            None: here.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        find_limiter: Callable[[RateLimit], Limiter] | None = None,
    ) -> None:
        self._settings = settings
        self._clock, self._sleep, self._rng = clock, sleep, rng
        self._quota = RetryQuota()
        self._limiters: dict[RateLimit, RateLimiter] = {}
        self._find_limiter = find_limiter or self.limiter
        self._breakers: dict[tuple[str, str, str], Breaker] = {}

    def enter(self, target: Target, *, is_load_test: bool = False) -> Circuit:
        """Enter the circuit breaker of a target; use the result in a `with` block.

        A breaker belongs to one provider and model, not to a host: two providers may share a
        gateway. Another base URL is another server. A load test measures what an overloaded
        server does, so no breaker stops its requests, and its failures open none.

        Raises:
            NoProviderAvailable: the breaker is open (`cause` is `breaker_open`).
        """
        is_replay = current_source() == "replay"
        if is_load_test or is_replay:
            breaker = Breaker()
        else:
            name = (target.provider.name, target.provider.base_url, target.model_id)
            breaker = self._breakers.setdefault(name, Breaker(random=self._rng))
        entry = breaker.enter(self._clock())
        if isinstance(entry, Refusal):
            raise _circuit_open(target, entry.wait_s)
        return Circuit(breaker, entry, self._clock, is_replay=is_replay)

    def breaker_states(self) -> dict[str, BreakerState]:
        """State of the circuit breaker of each `provider/model` that was called."""
        now = self._clock()
        breakers = list(self._breakers.items())  # another thread may add one
        return {
            f"{provider}/{model}": breaker.state(now) for (provider, _, model), breaker in breakers
        }

    async def wait_for_rate(
        self, circuit: Circuit, provider: Provider, *, tokens: int, deadline: float
    ) -> Reservation | None:
        """Wait until the provider's rate limits let one attempt pass; None in a replay.

        Args:
            circuit: the request's way to it.
            provider: its `rpm` and `tpm` are the limits.
            tokens: estimate of the request's tokens.
            deadline: moment of the clock past which nothing is waited for.

        Raises:
            RateLimited: our own limit lets it through only past the deadline.
        """
        if circuit.is_replay:
            return None
        limiter = self._find_limiter(self._limit_of(provider))
        return await limiter.wait(tokens, deadline=deadline, provider=provider.name)

    def charge_retry(self, circuit: Circuit, provider: str, error: CallError) -> float | None:
        """Take the price of one retry from the provider's quota; None where it is used up."""
        if circuit.is_replay:
            return 0.0
        return self._quota.take(provider, error)

    def give_back(self, circuit: Circuit, provider: str, charged: float | None) -> None:
        """After a success, give the quota back what the attempt was charged."""
        if not circuit.is_replay:
            self._quota.give_back(provider, charged)

    async def pause(self, circuit: Circuit, wait_s: float) -> None:
        """Wait between two attempts; a cassette need not be waited for."""
        await self._sleep(0.0 if circuit.is_replay else wait_s)

    def limiter(self, limit: RateLimit) -> RateLimiter:
        """The limiter that keeps this limit for the whole process."""
        limiter = self._limiters.get(limit)
        if limiter is None:
            limiter = self._limiters[limit] = RateLimiter(
                limit.rpm,
                limit.tpm,
                window_s=limit.window_s,
                clock=self._clock,
                sleep=self._sleep,
            )
        return limiter

    def _limit_of(self, provider: Provider) -> RateLimit:
        rpm = provider.rpm
        if rpm is None and not provider.is_local:
            rpm = self._settings.default_rpm
        return RateLimit(
            provider=provider.name,
            rpm=rpm,
            tpm=provider.tpm,
            window_s=provider.rate_window_s or self._settings.rate_window_s,
        )


def _circuit_open(target: Target, wait_s: float) -> NoProviderAvailable:
    return NoProviderAvailable(
        f"{target.model} is not called for another {wait_s:.0f} s, after too many failures",
        provider=target.provider.name,
        model=target.model,
        retry_after=wait_s,
        cause="breaker_open",
        hint="Wait, or name another model with `fallbacks`.",
    )
