"""Which provider is called, how often, and when a request is over.

`Policy.run` walks the failover chain. At each target it makes the first attempt and its retries;
the class of an error says whether a retry or another provider can help. Leaving out what a
provider refuses and sending again is a retry like any other: it takes the rate limit, the retry
quota and the deadline, and counts towards `max_retries`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from toolkit.calls.adapters.differences import find_refused, without
from toolkit.calls.attempt_spec import AttemptEnd, AttemptSpec
from toolkit.calls.pipeline import for_provider
from toolkit.calls.policy.admission import BreakerState, Circuit, Gate, Target
from toolkit.calls.policy.rate_limiter import Limiter, RateLimit, RateLimiter
from toolkit.calls.policy.retry import Backoff
from toolkit.errors import (
    CallError,
    ContextWindowExceeded,
    InvalidRequest,
    NoProviderAvailable,
    RetriesExhausted,
)
from toolkit.pricing.token_estimate import estimate_request_tokens
from toolkit.records import AttemptKind, Call, ChatRequest
from toolkit.secret import Secret
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.provider import Provider

__all__ = ["Policy", "Target"]

T = TypeVar("T")
N = TypeVar("N", int, float)

MAX_STATED_WAIT_S: Final = 60.0
# Another attempt would meet the same: the cause lies in the configuration or in the request.
_SAME_AGAIN: Final = frozenset(
    {
        "tls",
        "redirect_refused",
        "address_refused",
        "foreign_origin",
        "second_request",
        "not_api",
        "too_large",
        "deadline",
        "own_limit",
        "no_record",
    }
)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One request on its way along the chain.

    Attributes:
        request: what the caller gave.
        total_at: its deadline, a moment of the clock.
        api_key: an explicit key, for the first target only.
        is_last: no other target follows.
        calls: the rows of the attempts that have ended.
    """

    request: ChatRequest
    total_at: float
    api_key: Secret | None
    is_last: bool = True
    calls: tuple[Call, ...] = ()


@dataclass(slots=True, kw_only=True)
class _TargetRun:
    """The attempts of one request at one target.

    Attributes:
        target, circuit, key: what is called, through which circuit breaker, with which key.
        request: the request with the provider's defaults, without what it refused.
        dropped: parameters that it refused and that were left out.
        errors: why the attempts so far failed.
        kind: why the next attempt is made.
        charged: what the retry quota was charged for it.
    """

    target: Target
    circuit: Circuit
    key: ResolvedKey | None
    request: ChatRequest
    dropped: tuple[str, ...] = ()
    errors: list[CallError] = field(default_factory=list)
    kind: AttemptKind = "first"
    charged: float | None = None


class Policy:
    """The rules of one client, with what it remembers about every provider.

    Args:
        settings: total deadline and number of retries.
        key_for: (provider, explicit key) -> the key in use, or None.
        window_of: context window of a target in tokens, or None where it is not known.
        clock, sleep, rng: time and chance, so that tests can control them.
        find_limiter: keeps the rate limits elsewhere; see `Gate`.
    """

    def __init__(
        self,
        settings: Settings,
        key_for: Callable[[Provider, Secret | None], ResolvedKey | None],
        window_of: Callable[[Target], int | None] = lambda target: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        find_limiter: Callable[[RateLimit], Limiter] | None = None,
    ) -> None:
        self._settings, self._key_for, self._window_of = settings, key_for, window_of
        self._clock, self._rng = clock, rng
        self._gate = Gate(settings, clock, sleep, rng, find_limiter)
        self._without_usage: set[str] = set()  # origins that refuse `stream_options`

    def breaker_states(self) -> dict[str, BreakerState]:
        """State of the circuit breaker of each `provider/model` that was called."""
        return self._gate.breaker_states()

    def limiter(self, limit: RateLimit) -> RateLimiter:
        """The limiter that keeps this rate limit for the whole process."""
        return self._gate.limiter(limit)

    async def run(
        self,
        request: ChatRequest,
        chain: Sequence[Target],
        act: Callable[[AttemptSpec], Awaitable[T]],
        api_key: Secret | None = None,
    ) -> T:
        """Try the targets of a chain in order until one answers.

        Args:
            request: what the caller gave.
            chain: targets in order; the first one is the one that was named.
            act: makes one attempt; for a stream it returns when the first piece is there, so
                nothing is sent again after something was shown.
            api_key: an explicit key, used for the first target only: a key never goes to
                another provider than the one it was given for.

        Raises:
            CallError: the one failure, `RetriesExhausted`, or `NoProviderAvailable`.
        """
        stated_s = request.timeout_s or chain[0].provider.timeout_s
        total_s = stated_s or self._settings.total_timeout_s
        run = _Run(request=request, total_at=self._clock() + total_s, api_key=api_key)
        failed: list[tuple[Target, CallError]] = []
        for position, target in enumerate(chain):
            if not self._is_large_enough(target, failed):
                continue
            run.is_last = position == len(chain) - 1
            try:
                return await self._run_target(run, target, act, is_fallback=bool(failed))
            except CallError as error:
                failed.append((target, error))
                run.api_key = None
                if not _fails_over(error) or self._clock() >= run.total_at:
                    break
        _give_up(run, failed)

    async def _run_target(
        self,
        run: _Run,
        target: Target,
        act: Callable[[AttemptSpec], Awaitable[T]],
        *,
        is_fallback: bool,
    ) -> T:
        """Make the first attempt at one target, and its retries."""
        here = _TargetRun(
            target=target,
            key=self._key_for(target.provider, run.api_key),
            circuit=self._gate.enter(target, is_load_test=run.request.origin == "load_test"),
            request=for_provider(run.request, target.provider),
            kind="fallback" if is_fallback else "first",
        )
        with here.circuit:
            while True:
                try:
                    return await self._attempt(run, here, act)
                except CallError as error:
                    here.errors.append(error)
                wait_s = self._find_wait(run, here)
                if wait_s is None or not here.circuit.allows_retry():
                    raise _sum_up(run, here.errors) from None
                here.charged = self._gate.charge_retry(
                    here.circuit, target.provider.name, here.errors[-1]
                )
                if here.charged is None:
                    raise _sum_up(run, here.errors) from None
                here.kind = "retry"
                await self._gate.pause(here.circuit, wait_s)

    async def _attempt(
        self, run: _Run, here: _TargetRun, act: Callable[[AttemptSpec], Awaitable[T]]
    ) -> T:
        provider = here.target.provider
        reservation = await self._gate.wait_for_rate(
            here.circuit,
            provider,
            tokens=estimate_request_tokens(here.request),
            deadline=run.total_at,
        )

        def settle(end: AttemptEnd) -> None:
            if end.call is not None:
                run.calls = (*run.calls, end.call)
            here.circuit.note(end)
            if end.status == "ok":
                self._gate.give_back(here.circuit, provider.name, here.charged)
            if end.total_tokens is not None and reservation is not None:
                reservation.correct(end.total_tokens)

        here.circuit.begin_attempt()
        return await act(
            AttemptSpec(
                provider=provider,
                model_id=here.target.model_id,
                key=here.key,
                request=here.request,
                number=len(run.calls) + 1,
                kind=here.kind,
                queue_ms=reservation.waited_ms if reservation is not None else None,
                total_at=run.total_at,
                earlier=run.calls,
                dropped=here.dropped,
                wants_usage=not here.request.stream or provider.origin not in self._without_usage,
                settle=settle,
            )
        )

    def _find_wait(self, run: _Run, here: _TargetRun) -> float | None:
        """Seconds until the next attempt at this target, or None where there is none."""
        error, provider = here.errors[-1], here.target.provider
        is_changed = self._leave_out_refused(here, error)
        allowed = _first(here.request.max_retries, provider.max_retries, self._settings.max_retries)
        left_s = run.total_at - self._clock()
        if len(here.errors) > allowed or left_s <= 0:
            return None
        if is_changed:
            return 0.0
        if error.retry == "no" or error.cause in _SAME_AGAIN:
            return None
        if error.retry == "once" and type(error) in map(type, here.errors[:-1]):
            return None
        backoff = self._backoff(here)
        if error.retry_after:
            stated_s = error.retry_after
            longest_s = MAX_STATED_WAIT_S if run.is_last else backoff.longest_s
            return stated_s if stated_s <= min(longest_s, left_s) else None
        wait_s = backoff.wait_s(len(here.errors), self._rng)
        return wait_s if wait_s < left_s else None

    def _backoff(self, here: _TargetRun) -> Backoff:
        """The waits between attempts: the request's, else the provider's, else the settings'."""
        own, provider, general = here.request, here.target.provider, self._settings
        return Backoff(
            _first(own.retry_initial_s, provider.retry_initial_s, general.retry_initial_s),
            _first(own.retry_max_s, provider.retry_max_s, general.retry_max_s),
            _first(own.retry_factor, provider.retry_factor, general.retry_factor),
        )

    def _leave_out_refused(self, here: _TargetRun, error: CallError) -> bool:
        """Leave out what the provider says it does not take; return whether anything was."""
        if not isinstance(error, InvalidRequest):
            return False
        if refused := find_refused(here.request, error):
            here.request = without(here.request, refused)
            here.dropped = (*here.dropped, *refused)
            return True
        message, origin = error.provider_message or "", here.target.provider.origin
        is_about_usage = "stream_options" in message or "include_usage" in message
        if not (here.request.stream and is_about_usage) or origin in self._without_usage:
            return False
        self._without_usage.add(origin)
        return True

    def _is_large_enough(self, target: Target, failed: Sequence[tuple[Target, CallError]]) -> bool:
        """Whether the window is larger than every one that was too small."""
        for other, error in failed:
            if isinstance(_innermost(error), ContextWindowExceeded):
                window, too_small = self._window_of(target), self._window_of(other)
                if window is None or (too_small is not None and window <= too_small):
                    return False
        return True


def _first(own: N | None, provider: N | None, general: N) -> N:
    """The first value that is given."""
    if own is not None:
        return own
    return general if provider is None else provider


def _innermost(error: CallError) -> CallError:
    last = getattr(error, "last_error", None)
    return last if isinstance(last, CallError) else error


def _fails_over(error: CallError) -> bool:
    inner = _innermost(error)
    return inner.failover or isinstance(inner, ContextWindowExceeded | NoProviderAvailable)


def _sum_up(run: _Run, errors: Sequence[CallError]) -> CallError:
    """What is raised for the failures at one target.

    A single failure is returned itself, and so is a last one that no retry could have helped.
    """
    last = errors[-1]
    if len(errors) == 1 or last.retry == "no":
        return last
    exhausted = RetriesExhausted(
        f"{len(errors)} attempts failed; the last error was: {last.message}",
        provider=last.provider,
        model=last.model,
        request_id=last.request_id,
        **_details(last),
    )
    exhausted.last_error = last
    exhausted.partial_text = last.partial_text
    exhausted.attempts = run.calls
    return exhausted


def _give_up(run: _Run, failed: Sequence[tuple[Target, CallError]]) -> NoReturn:
    target, error = failed[-1]
    error.attempts = run.calls
    error.request_id = error.request_id or run.request.request_id
    if len(failed) == 1 or not _fails_over(error):
        raise error
    names = ", ".join(target.model for target, _ in failed)
    inner = _innermost(error)
    failure = NoProviderAvailable(
        f"none of {names} answered; the last one failed with: {inner.message}",
        provider=target.provider.name,
        model=target.model,
        request_id=run.request.request_id,
        **_details(inner),
    )
    failure.last_error = inner
    failure.partial_text = inner.partial_text
    failure.attempts = run.calls
    raise failure


def _details(error: CallError) -> dict[str, Any]:
    """The fields that the summary error copies from the last one."""
    return {
        "status": error.status,
        "retry_after": error.retry_after,
        "blame": error.blame,
        "hint": error.hint,
        "cause": error.cause,
        "provider_message": error.provider_message,
    }
