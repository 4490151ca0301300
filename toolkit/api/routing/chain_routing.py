"""Which model of a failover chain is called first, and when a second one is called beside it.

Sticky sessions: the same conversation goes to the same provider, for its prompt cache.

Hedged requests: where the first model is slow, the next of the chain is called as well. The first
answer counts, the other call is cancelled. Both are recorded: a hedge buys a shorter wait with the
tokens of a second request.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.records import Call

T = TypeVar("T")

SESSION_HEADER: Final = "x-toolkit-session"
HEDGE_HEADER: Final = "x-toolkit-hedge"
HEDGED_HEADER: Final = "x-toolkit-hedged"
P95: Final = "p95"
_WINDOW: Final = 200
_MIN_CALLS: Final = 20
_MAX_MODELS: Final = 500
_MAX_SESSIONS: Final = 10_000
_TTL_S: Final = 3600.0


def session_of(header: str | None, params: Mapping[str, Any]) -> str | None:
    """The name of a request's session: the header, or OpenAI's `prompt_cache_key`."""
    named = (header or "").strip() or params.get("prompt_cache_key")
    return str(named)[:256] if named else None


class StickySessions:
    """Which model answered a session last; sessions end an hour after their last answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._models: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def order(self, token: str, session: str, models: Sequence[str]) -> tuple[str, ...]:
        """The models of a chain with the session's own first, while it is still one of them."""
        found = self._models.get((token, session))
        if found is None or found[1] <= self._clock() or found[0] not in models:
            return tuple(models)
        return (found[0], *(model for model in models if model != found[0]))

    def note(self, token: str, session: str, model: str) -> None:
        """Remember which model answered."""
        self._models[token, session] = (model, self._clock() + _TTL_S)
        self._models.move_to_end((token, session))
        while len(self._models) > _MAX_SESSIONS:
            self._models.popitem(last=False)


def read_hedge(text: str | None) -> float | str | None:
    """What the request header asks for: milliseconds, `p95`, 0 for off; None: it is not sent.

    Raises:
        InvalidInput: it is none of these.
    """
    if text is None or not text.strip():
        return None
    value = text.strip().lower()
    if value in (P95, "auto"):
        return P95
    if value == "off":
        return 0.0
    try:
        wait_ms = float(value)
    except ValueError:
        wait_ms = -1.0
    if not 0 <= wait_ms <= 600_000:
        raise InvalidInput(
            f"`X-Toolkit-Hedge` is `p95`, `off` or a number of milliseconds, not {text[:50]!r}"
        )
    return wait_ms


class RecentLatency:
    """How long the last calls of each model took to answer; a listener of recorded calls."""

    def __init__(self) -> None:
        self._waits: dict[tuple[str, bool], deque[float]] = {}

    def observe_call(self, call: Call) -> None:
        """Note one live call: a stream by its first token, another by its whole duration."""
        waited = call.ttft_ms if call.stream else call.duration_ms
        key = (call.model, call.stream)
        if call.source != "live" or call.status != "ok" or waited is None:
            return
        if call.origin == "load_test":
            return  # an overload that was made on purpose
        if key in self._waits or len(self._waits) < _MAX_MODELS:
            self._waits.setdefault(key, deque(maxlen=_WINDOW)).append(waited)

    def p95_ms(self, model: str, *, stream: bool) -> float | None:
        """The 95th percentile, or None before there are enough calls to know it."""
        waits = sorted(self._waits.get((model, stream), ()))
        return waits[int(0.95 * (len(waits) - 1))] if len(waits) >= _MIN_CALLS else None


async def first_answer(
    first: Callable[[], Awaitable[T]],
    second: Callable[[], Awaitable[T]],
    wait_s: float,
    discard: Callable[[T], Awaitable[None]],
) -> tuple[T, bool]:
    """The answer of whichever is first, and whether the second was called.

    Args:
        first, second: start a call; the second is started when the first has not answered after
            `wait_s`. When the first fails before that, it is not started: the call path has its
            own failover.
        wait_s: seconds.
        discard: closes an answer that came too late to count.

    Raises:
        ToolkitError: the first one's, when both fail.
    """
    leading: asyncio.Future[T] = asyncio.ensure_future(first())
    tasks = [leading]
    winner = leading
    try:
        await asyncio.wait({leading}, timeout=wait_s)
        if not leading.done():
            tasks.append(asyncio.ensure_future(second()))
            winner = await _first_good(tasks) or leading
        return winner.result(), len(tasks) > 1
    finally:
        await _end([task for task in tasks if task is not winner or not task.done()], discard)


async def _first_good(tasks: Sequence[asyncio.Future[T]]) -> asyncio.Future[T] | None:
    """The first of the tasks that answers, or None where all fail."""
    running = set(tasks)
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in sorted(done, key=tasks.index):
            if not isinstance(task.exception(), ToolkitError):
                return task
    return None


async def _end(tasks: Sequence[asyncio.Future[T]], discard: Callable[[T], Awaitable[None]]) -> None:
    """Cancel what still runs, and close what was answered and is not used."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            await discard(task.result())
