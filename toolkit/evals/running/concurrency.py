"""How many calls may be in flight at one provider: as many as it accepts without a 429.

Slow start (Jacobson 1988), then additive increase and multiplicative decrease (Chiu & Jain
1989), as TCP does: until the first 429 each answer opens one more place, which doubles them with
each round; after that one more for a whole round without a 429, and half after one. It grows only
while all places are taken: what was not used has shown nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

START: Final = 8
_PAUSE_S: Final = 1.0  # calls that were in flight with the first 429 add no information


class AdaptiveLimit:
    """A gate whose width follows what the provider says.

    Args:
        most: the widest it may become.
    """

    def __init__(self, most: int, start: int = START) -> None:
        self.most: int = max(1, most)
        self.width: int = min(start, self.most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._good = 0
        self._is_slow_start = True
        self._narrowed_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether there is a place at once."""
        return self._inside < self.width and not self._waiting

    def note(self, *, was_limited: bool) -> None:
        """A call is over: was any of its attempts answered with 429?"""
        if was_limited:
            now = time.monotonic()
            if now - self._narrowed_at >= _PAUSE_S:
                self._narrowed_at = now
                self.width = max(1, self.width // 2)
            self._good, self._is_slow_start = 0, False
        elif self._inside >= self.width:
            self._good += 1
            is_round = self._is_slow_start or self._good >= self.width
            if is_round and self.width < self.most:
                self.width += 1
                self._good = 0
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self.width:
            place = self._waiting.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)

    async def enter(self) -> None:
        """Wait for a place; `leave` gives it back."""
        if self.is_open:
            self._inside += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the slot was granted as the caller was cancelled
            raise

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1
        self._let_in()
