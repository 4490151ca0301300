"""The monitor's clock, which tests replace to simulate a day in seconds, and its intervals."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from toolkit.health.evidence import utc_now


class Clock(Protocol):
    """The clock of a monitor."""

    def now(self) -> datetime:
        """The current time in UTC, for evidence."""
        ...

    def monotonic(self) -> float:
        """Monotonic seconds, for the schedule."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The clock of the system."""

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
    """Intervals of a monitor, seconds.

    Attributes:
        follow_s: reading the registry and pauses.
        passive_s: reading real calls from the database.
        book_s: updating incidents.
        lookout_s: checking whether this machine is online again.
        shortest_s, longest_s: minimum and maximum wait.
    """

    follow_s: float = 5.0
    passive_s: float = 30.0
    book_s: float = 30.0
    lookout_s: float = 30.0
    shortest_s: float = 0.05
    longest_s: float = 5.0
