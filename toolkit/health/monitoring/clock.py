"""Time as a monitor uses it, so that a test can play a day in seconds; and how often it looks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from toolkit.health.evidence import utc_now


class Clock(Protocol):
    """Time, as a monitor uses it."""

    def now(self) -> datetime:
        """UTC, for evidence."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for the schedule."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """UTC."""
        return utc_now()

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often a monitor looks at what, seconds.

    Attributes:
        follow_s: at the registry and at pauses.
        passive_s: at the ledger, for real calls.
        book_s: at the evidence, for incidents.
        lookout_s: whether this machine is back online.
        shortest_s, longest_s: bounds of one rest.
    """

    follow_s: float = 5.0
    passive_s: float = 30.0
    book_s: float = 30.0
    lookout_s: float = 30.0
    shortest_s: float = 0.05
    longest_s: float = 5.0
