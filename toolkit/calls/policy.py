"""Who is asked, how often, and when it is over: pacing, retries, breaker, failover.

`Policy.run` walks the failover chain; at each target `_ask` makes the first try and its
retries; `_try` makes one. The class of an error says whether a retry or another provider can
help; nothing else decides.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from toolkit.calls.attempt import End, Try
from toolkit.calls.breaker import Breaker
from toolkit.calls.pace import Pace
from toolkit.calls.retry import RetryQuota, backoff_s
from toolkit.calls.source import current_source
from toolkit.calls.tokens import estimate_request_tokens
from toolkit.errors import (
    CallError,
    ContextWindowExceeded,
    NoProviderAvailable,
    RetriesExhausted,
)
from toolkit.records import Call, ChatRequest
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.providers.keys import ResolvedKey
    from toolkit.providers.provider import Provider

T = TypeVar("T")

MAX_STATED_WAIT_S: Final = 60.0
_COUNTS_AGAINST: Final = frozenset({"provider", "network"})
# Asking again would meet the same: the cause lies in what is configured or in what was sent.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place to ask: a provider and the id of one of its models."""

    provider: Provider
    model_id: str

    @property
    def model(self) -> str:
        """`provider/model_id`."""
        return f"{self.provider.name}/{self.model_id}"


@dataclass(slots=True, kw_only=True)
class _Round:
    """One request on its way along the chain."""

    request: ChatRequest
    total_at: float
    api_key: str | None
    calls: list[Call] = field(default_factory=list)


class Policy:
    """The rules of one client, with what it remembers of every provider.

    Args:
        settings: total deadline and number of retries.
        key_for: (provider, explicit key) -> the key in force, or None.
        window_of: context window of a target in tokens, or None where it is not known.
        clock, sleep, dice: time and chance, so that tests can play them.
    """

    def __init__(
        self,
        settings: Settings,
        key_for: Callable[[Provider, str | None], ResolvedKey | None],
        window_of: Callable[[Target], int | None] = lambda target: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._key_for, self._window_of = settings, key_for, window_of
        self._clock, self._sleep, self._dice = clock, sleep, dice
        self._quota = RetryQuota()
        self._paces: dict[tuple[str, int | None, int | None], Pace] = {}
        self._breakers: dict[tuple[str, str | None, str], Breaker] = {}

    async def run(
        self,
        request: ChatRequest,
        chain: Sequence[Target],
        act: Callable[[Try], Awaitable[T]],
        api_key: str | None = None,
    ) -> T:
        """Ask the chain until one answers.

        Args:
            request: what is asked.
            chain: targets in order; the first one is the one that was named.
            act: makes one try; for a stream it returns when the first piece is there, so
                nothing is asked again after something was shown.
            api_key: an explicit key, used for the first target only: a key never goes to
                another provider than the one it was given for.

        Raises:
            CallError: the one failure, `RetriesExhausted`, or `NoProviderAvailable`.
        """
        stated_s = request.timeout_s or chain[0].provider.timeout_s
        total_s = stated_s or self._settings.total_timeout_s
        this = _Round(request=request, total_at=self._clock() + total_s, api_key=api_key)
        failed: list[tuple[Target, CallError]] = []
        for target in chain:
            if failed and not self._may_take_over(target, *failed[-1]):
                continue
            try:
                return await self._ask(this, target, act, is_fallback=bool(failed))
            except CallError as error:
                failed.append((target, error))
                this.api_key = None
                if not _fails_over(error) or self._clock() >= this.total_at:
                    break
        _give_up(this, failed)

    async def _ask(
        self, this: _Round, target: Target, act: Callable[[Try], Awaitable[T]], *, is_fallback: bool
    ) -> T:
        """One target: the first try and its retries."""
        seen: set[type[CallError]] = set()
        taken: float | None = None
        tries = 0
        while True:
            kind = "retry" if tries else "fallback" if is_fallback else "first"
            try:
                return await self._try(this, target, act, kind=kind, taken=taken)
            except CallError as error:
                tries += 1
                wait_s = self._find_wait(this, target, error, tries, seen)
                taken = (
                    self._quota.take(target.provider.name, error) if wait_s is not None else None
                )
                if wait_s is None or taken is None:
                    if tries > 1 and error.retry != "no":
                        raise _exhausted(this, error, tries) from None
                    raise
                seen.add(type(error))
            await self._sleep(0.0 if current_source() == "replay" else wait_s)

    async def _try(
        self,
        this: _Round,
        target: Target,
        act: Callable[[Try], Awaitable[T]],
        *,
        kind: str,
        taken: float | None,
    ) -> T:
        provider = target.provider
        key = self._key_for(provider, this.api_key)

        def make_try(queue_ms: float | None, settle: Callable[[End], None]) -> Try:
            return Try(
                provider=provider,
                model_id=target.model_id,
                key=key,
                number=len(this.calls) + 1,
                kind=kind,  # type: ignore[arg-type]
                queue_ms=queue_ms,
                total_at=this.total_at,
                calls=this.calls,
                settle=settle,
            )

        if current_source() == "replay":  # a cassette answers: nobody to spare, nobody to judge
            return await act(make_try(None, lambda end: None))
        breaker = self._require_closed(this, target, key)
        try:
            tokens = estimate_request_tokens(this.request)
            queue_ms = await self._pace(provider).wait(
                tokens, deadline=this.total_at, provider=provider.name
            )
        except BaseException:
            breaker.forget(self._clock())
            raise

        def settle(end: End) -> None:
            self._settle(provider, breaker, end, tokens=tokens, taken=taken)

        return await act(make_try(queue_ms, settle))

    def _settle(
        self, provider: Provider, breaker: Breaker, end: End, *, tokens: int, taken: float | None
    ) -> None:
        """What a try came to, once it is over: a stream counts at its end, not at its start."""
        now = self._clock()
        if end.status == "ok":
            breaker.succeed(now)
            self._quota.give_back(provider.name, taken)
        elif end.error is not None and end.error.blame in _COUNTS_AGAINST:
            breaker.fail(now, retry_after_s=_stated(end.error))
        else:
            breaker.forget(now)
        if end.total_tokens is not None:
            self._pace(provider).correct(end.total_tokens - tokens)

    def _require_closed(self, this: _Round, target: Target, key: ResolvedKey | None) -> Breaker:
        fingerprint = key.fingerprint if key else None
        name = (target.provider.origin, fingerprint, target.model_id)
        breaker = self._breakers.setdefault(name, Breaker(random=self._dice))
        wait_s = breaker.enter(self._clock())
        if wait_s is not None:
            raise NoProviderAvailable(
                f"{target.model} is left alone for {wait_s:.0f} s after too many failures",
                provider=target.provider.name,
                model=target.model,
                retry_after=wait_s,
                request_id=this.request.request_id,
                cause="breaker_open",
                hint="Wait, or name another model with `fallbacks`.",
            )
        return breaker

    def _pace(self, provider: Provider) -> Pace:
        name = (provider.name, provider.rpm, provider.tpm)
        if name not in self._paces:
            self._paces[name] = Pace(
                provider.rpm, provider.tpm, clock=self._clock, sleep=self._sleep
            )
        return self._paces[name]

    def _find_wait(
        self, this: _Round, target: Target, error: CallError, tries: int, seen: set[type[CallError]]
    ) -> float | None:
        """Seconds until the next try at this target, or None where there is none."""
        allowed = target.provider.max_retries
        allowed = self._settings.max_retries if allowed is None else allowed
        if error.retry == "no" or tries > allowed or error.cause in _SAME_AGAIN:
            return None
        if error.retry == "once" and type(error) in seen:
            return None
        left_s = this.total_at - self._clock()
        stated_s = error.retry_after
        if stated_s is not None:
            return stated_s if stated_s <= min(MAX_STATED_WAIT_S, left_s) else None
        wait_s = backoff_s(tries, self._dice)
        return wait_s if wait_s < left_s else None

    def _may_take_over(self, target: Target, failed: Target, error: CallError) -> bool:
        """Another target may answer; one that was too small only for a larger window."""
        if not isinstance(_innermost(error), ContextWindowExceeded):
            return True
        window, too_small = self._window_of(target), self._window_of(failed)
        return window is not None and (too_small is None or window > too_small)


def _stated(error: CallError) -> float | None:
    stated = error.retry_after
    return stated if stated is not None and stated <= 3600 else None


def _innermost(error: CallError) -> CallError:
    last = getattr(error, "last_error", None)
    return last if isinstance(last, CallError) else error


def _fails_over(error: CallError) -> bool:
    inner = _innermost(error)
    return inner.failover or isinstance(inner, ContextWindowExceeded | NoProviderAvailable)


def _exhausted(this: _Round, error: CallError, tries: int) -> RetriesExhausted:
    exhausted = RetriesExhausted(
        f"{tries} tries failed, the last one with: {error.message}",
        provider=error.provider,
        model=error.model,
        status=error.status,
        retry_after=error.retry_after,
        request_id=error.request_id,
        blame=error.blame,
        hint=error.hint,
        cause=error.cause,
        provider_message=error.provider_message,
    )
    exhausted.last_error = error
    exhausted.partial_text = error.partial_text
    exhausted.attempts = tuple(this.calls)
    return exhausted


def _give_up(this: _Round, failed: list[tuple[Target, CallError]]) -> NoReturn:
    target, error = failed[-1]
    error.attempts = tuple(this.calls)
    if len(failed) == 1 or not _fails_over(error):
        raise error
    names = ", ".join(target.model for target, _ in failed)
    inner = _innermost(error)
    nobody = NoProviderAvailable(
        f"none of {names} answered; the last one failed with: {inner.message}",
        provider=target.provider.name,
        model=target.model,
        status=inner.status,
        retry_after=error.retry_after,
        request_id=this.request.request_id,
        blame=inner.blame,
        hint=inner.hint,
        cause=inner.cause,
        provider_message=inner.provider_message,
    )
    nobody.last_error = inner
    nobody.attempts = tuple(this.calls)
    raise nobody
