"""Access tokens that are renewed before they end, once for all calls that need one.

A token is renewed during its last minutes, while it can still be used: calls that come meanwhile
share the renewal, and where it fails they go on with the old token until that ends.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from toolkit.errors import ToolkitError
from toolkit.secret import Secret

_log = logging.getLogger(__name__)

_LEEWAY_S: Final = 300.0
# A token that lasts for ten minutes or less must not be renewed at each call.
_LEEWAY_SHARE: Final = 0.2
# How long a call waits for a renewal while the old token can still be used.
_WAIT_S: Final = 5.0
PAUSE_S: Final = 30.0
"""How long after a failed renewal the old token is used before the next one is tried."""


def leeway_of(life_s: float) -> float:
    """How many seconds before its end a token that lasts for `life_s` is renewed."""
    return min(_LEEWAY_S, max(life_s, 0.0) * _LEEWAY_SHARE)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        secret: the token itself.
        ends_at: when it ends, `time.time`.
        renew_at: from when on a new one is fetched.
    """

    secret: Secret
    ends_at: float
    renew_at: float


class Moment:
    """A moment from which time goes on even where the clock is set back.

    A token that ends in an hour would otherwise be used for weeks.
    """

    def __init__(self) -> None:
        self._wall_s, self._steady_s = time.time(), time.monotonic()

    def now(self) -> float:
        """Seconds as of `time.time`, but never less than this moment and what has passed since."""
        return max(time.time(), self._wall_s + time.monotonic() - self._steady_s)


class TokenRenewals:
    """The tokens in use, by name, and the renewals that are under way."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._paused_until: dict[str, float] = {}
        self._fetched_at: dict[str, Moment] = {}
        # A task belongs to one event loop; a client may be used from several.
        self._running: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[str, asyncio.Task[Token | None]]
        ] = weakref.WeakKeyDictionary()

    async def get(
        self, name: str, fetch: Callable[[], Coroutine[None, None, Token | None]]
    ) -> Token | None:
        """The token of a name, fetched or renewed where that is due.

        Args:
            name: of the token; calls with the same name share a renewal.
            fetch: gets a new token, or None where there are no credentials for one.

        Raises:
            ToolkitError: there is no token that can still be used, and `fetch` raised this.
        """
        now, held = self._now(name), self._tokens.get(name)
        if held is None or held.ends_at <= now:
            renewal = self._join(name, fetch)
            await asyncio.wait({renewal})
            return _result_of(renewal)
        if now < max(held.renew_at, self._paused_until.get(name, 0.0)):
            return held
        renewal = self._join(name, fetch)
        await asyncio.wait({renewal}, timeout=_WAIT_S)
        # A slow or failed renewal is no reason to fail a call: the old token is still good.
        return self._tokens.get(name, held)

    def _join(
        self, name: str, fetch: Callable[[], Coroutine[None, None, Token | None]]
    ) -> asyncio.Task[Token | None]:
        """The renewal that is under way on this event loop, or a new one."""
        running = self._running.setdefault(asyncio.get_running_loop(), {})
        renewal = running.get(name)
        if renewal is None:
            # A task of its own: when the call that began it is cancelled, the others wait on.
            renewal = asyncio.create_task(self._renew(name, fetch), name=f"renew {name[:20]}")
            running[name] = renewal
            renewal.add_done_callback(lambda done: _forget(running, name, done))
        return renewal

    async def _renew(
        self, name: str, fetch: Callable[[], Coroutine[None, None, Token | None]]
    ) -> Token | None:
        try:
            token = await fetch()
        except ToolkitError as error:
            held, now = self._tokens.get(name), self._now(name)
            if held is not None and held.ends_at > now:
                self._paused_until[name] = now + PAUSE_S
                _log.warning(
                    "an access token was not renewed; the old one is used for another %d s: %s",
                    held.ends_at - now,
                    error,
                )
            raise
        self._paused_until.pop(name, None)
        if token is not None:
            self._tokens[name], self._fetched_at[name] = token, Moment()
        return token

    def _now(self, name: str) -> float:
        fetched_at = self._fetched_at.get(name)
        return time.time() if fetched_at is None else fetched_at.now()


def _result_of(renewal: asyncio.Task[Token | None]) -> Token | None:
    """The token of an ended renewal; each call raises an error object of its own."""
    error = renewal.exception()
    if error is None:
        return renewal.result()
    raise (copy.copy(error) if isinstance(error, ToolkitError) else error) from None


def _forget(
    running: dict[str, asyncio.Task[Token | None]], name: str, renewal: asyncio.Task[Token | None]
) -> None:
    running.pop(name, None)
    if not renewal.cancelled():
        renewal.exception()  # looked at, or asyncio reports it where no call waits any longer
