"""Who is asked, how often, and when it is over: retries, failover, one deadline.

`Policy.run` walks the failover chain; at each target `_ask` makes the first try and its
retries; `_try` makes one, once the gate (breaker and pace, `admission`) lets it through. The
class of an error says whether a retry or another provider can help; nothing else decides.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from toolkit.calls.attempt import AttemptSpec
from toolkit.calls.policy.admission import Gate, Target
from toolkit.calls.policy.retry import MAX_BACKOFF_S, backoff_s
from toolkit.errors import (
    CallError,
    ContextWindowExceeded,
    NoProviderAvailable,
    RetriesExhausted,
)
from toolkit.pricing.token_estimate import estimate_request_tokens
from toolkit.records import AttemptKind, Call, ChatRequest
from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.provider import Provider

__all__ = ["Policy", "Target"]

T = TypeVar("T")

MAX_STATED_WAIT_S: Final = 60.0
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


@dataclass(slots=True, kw_only=True)
class _Round:
    """One request on its way along the chain."""

    request: ChatRequest
    total_at: float
    api_key: str | None
    is_last: bool = True
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
        self._clock, self._dice = clock, dice
        self._gate = Gate(clock, sleep, dice)

    async def run(
        self,
        request: ChatRequest,
        chain: Sequence[Target],
        act: Callable[[AttemptSpec], Awaitable[T]],
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
        for place, target in enumerate(chain):
            if not self._is_large_enough(target, failed):
                continue
            this.is_last = place == len(chain) - 1
            try:
                return await self._ask(this, target, act, is_fallback=bool(failed))
            except CallError as error:
                failed.append((target, error))
                this.api_key = None
                if not _fails_over(error) or self._clock() >= this.total_at:
                    break
        _give_up(this, failed)

    async def _ask(
        self,
        this: _Round,
        target: Target,
        act: Callable[[AttemptSpec], Awaitable[T]],
        *,
        is_fallback: bool,
    ) -> T:
        """One target: the first try and its retries."""
        failed: list[CallError] = []
        kind: AttemptKind = "fallback" if is_fallback else "first"
        taken: float | None = None
        while True:
            try:
                return await self._try(this, target, act, kind, taken)
            except CallError as error:
                if failed and error.cause == "breaker_open":  # these very tries opened it
                    raise _sum_up(this, failed) from None
                failed.append(error)
            wait_s = self._find_wait(this, target, failed)
            if wait_s is None or (taken := self._charge(target, failed)) is None:
                raise _sum_up(this, failed) from None
            kind = "retry"
            await self._gate.rest(wait_s)

    async def _try(
        self,
        this: _Round,
        target: Target,
        act: Callable[[AttemptSpec], Awaitable[T]],
        kind: AttemptKind,
        taken: float | None,
    ) -> T:
        key = self._key_for(target.provider, this.api_key)
        admission = await self._gate.enter(
            target,
            key,
            tokens=estimate_request_tokens(this.request),
            deadline=this.total_at,
            taken=taken,
        )
        return await act(
            AttemptSpec(
                provider=target.provider,
                model_id=target.model_id,
                key=key,
                number=len(this.calls) + 1,
                kind=kind,
                queue_ms=admission.queue_ms,
                total_at=this.total_at,
                calls=this.calls,
                settle=admission.settle,
            )
        )

    def _charge(self, target: Target, failed: Sequence[CallError]) -> float | None:
        return self._gate.charge_retry(target.provider.name, failed[-1])

    def _find_wait(self, this: _Round, target: Target, failed: Sequence[CallError]) -> float | None:
        """Seconds until the next try at this target, or None where there is none."""
        error = failed[-1]
        allowed = target.provider.max_retries
        allowed = self._settings.max_retries if allowed is None else allowed
        if error.retry == "no" or len(failed) > allowed or error.cause in _SAME_AGAIN:
            return None
        if error.retry == "once" and type(error) in map(type, failed[:-1]):
            return None
        left_s = this.total_at - self._clock()
        if error.retry_after:
            stated_s = error.retry_after
            longest_s = MAX_STATED_WAIT_S if this.is_last else MAX_BACKOFF_S
            return stated_s if stated_s <= min(longest_s, left_s) else None
        wait_s = backoff_s(len(failed), self._dice)
        return wait_s if wait_s < left_s else None

    def _is_large_enough(self, target: Target, failed: Sequence[tuple[Target, CallError]]) -> bool:
        """Whether the window is larger than every one that was too small."""
        for other, error in failed:
            if isinstance(_innermost(error), ContextWindowExceeded):
                window, too_small = self._window_of(target), self._window_of(other)
                if window is None or (too_small is not None and window <= too_small):
                    return False
        return True


def _innermost(error: CallError) -> CallError:
    last = getattr(error, "last_error", None)
    return last if isinstance(last, CallError) else error


def _fails_over(error: CallError) -> bool:
    inner = _innermost(error)
    return inner.failover or isinstance(inner, ContextWindowExceeded | NoProviderAvailable)


def _sum_up(this: _Round, failed: Sequence[CallError]) -> CallError:
    """What is raised for the failures at one target.

    One failure stands for itself, and so does a last one that no retry could have mended.
    """
    last = failed[-1]
    if len(failed) == 1 or last.retry == "no":
        return last
    exhausted = RetriesExhausted(
        f"{len(failed)} tries failed, the last one with: {last.message}",
        provider=last.provider,
        model=last.model,
        request_id=last.request_id,
        **_details(last),
    )
    exhausted.last_error = last
    exhausted.partial_text = last.partial_text
    exhausted.attempts = tuple(this.calls)
    return exhausted


def _give_up(this: _Round, failed: Sequence[tuple[Target, CallError]]) -> NoReturn:
    target, error = failed[-1]
    error.attempts = tuple(this.calls)
    error.request_id = error.request_id or this.request.request_id
    if len(failed) == 1 or not _fails_over(error):
        raise error
    names = ", ".join(target.model for target, _ in failed)
    inner = _innermost(error)
    nobody = NoProviderAvailable(
        f"none of {names} answered; the last one failed with: {inner.message}",
        provider=target.provider.name,
        model=target.model,
        request_id=this.request.request_id,
        **_details(inner),
    )
    nobody.last_error = inner
    nobody.partial_text = inner.partial_text
    nobody.attempts = tuple(this.calls)
    raise nobody


def _details(error: CallError) -> dict[str, Any]:
    """What the error that stands for others takes over from the last one."""
    return {
        "status": error.status,
        "retry_after": error.retry_after,
        "blame": error.blame,
        "hint": error.hint,
        "cause": error.cause,
        "provider_message": error.provider_message,
    }
