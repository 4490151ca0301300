"""When to probe which provider: a schedule without a clock of its own; callers pass the time.

Starts are spread, so that 500 providers cause no burst, even after the machine was suspended. There
is one probe at a time per origin. A failure is confirmed soon; during an outage the interval grows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from toolkit.health.evidence import utc_now

Finding = Literal["fine", "unsettled", "trouble"]
"""Result of a probe: good, unclear, or a known outage."""

_BURST_S: Final = 1.0
_LONGEST_GAP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Parameters of a schedule.

    Attributes:
        interval_s: interval between two probes of a provider.
        jitter: relative random variation of the waits.
        confirm_s: wait after an unclear result, at most `interval_s`.
        longest_s: maximum wait during an outage, at least `interval_s`.
        longest_retry_after_s: maximum `Retry-After` that is respected.
        most_at_once: maximum number of probes in flight.
    """

    interval_s: float = 300.0
    jitter: float = 0.2
    confirm_s: float = 60.0
    longest_s: float = 900.0
    longest_retry_after_s: float = 3600.0
    most_at_once: int = 32


@dataclass(slots=True)
class _Subject:
    origin: str
    next_at: float
    troubles: int = 0
    is_in_flight: bool = False


class Schedule:
    """The schedule of one monitor.

    Args:
        pace: its parameters.
        rng: returns a number in [0, 1).
    """

    def __init__(self, pace: Pace, rng: Callable[[], float]) -> None:
        self.pace = pace
        self._rng = rng
        self._subjects: dict[str, _Subject] = {}
        self._free_at: float | None = None

    def follow(self, origins: Mapping[str, str], now: float) -> None:
        """Add new providers, spread over an interval, and remove others.

        Args:
            origins: origin by provider.
            now: seconds of the monotonic clock.
        """
        for name in set(self._subjects) - set(origins):
            del self._subjects[name]
        new = [name for name in origins if name not in self._subjects]
        step_s = min(_LONGEST_GAP_S, self.pace.interval_s / max(len(origins), 1))
        for place, name in enumerate(new):
            starts_at = now + step_s * (place + self._rng() * self.pace.jitter)
            self._subjects[name] = _Subject(origins[name], starts_at)
        for name, origin in origins.items():
            self._subjects[name].origin = origin

    def take_due(self, now: float, only: Collection[str] | None = None) -> list[str]:
        """The providers to probe now, most overdue first; each is in flight until `done`.

        Args:
            now: seconds of the monotonic clock.
            only: only these; None: all.
        """
        taken: list[str] = []
        busy = {s.origin for s in self._subjects.values() if s.is_in_flight}
        free = self.pace.most_at_once - sum(s.is_in_flight for s in self._subjects.values())
        due = [(s.next_at, n) for n, s in self._subjects.items() if self._is_due(s, now)]
        for _, name in sorted(due):
            if only is not None and name not in only:
                continue
            subject = self._subjects[name]
            if subject.origin in busy:
                continue
            if len(taken) >= free or not self._take_turn(now):
                break
            busy.add(subject.origin)
            subject.is_in_flight = True
            taken.append(name)
        return taken

    def done(
        self, name: str, now: float, finding: Finding, retry_after_s: float | None = None
    ) -> None:
        """A probe finished; its result determines when the next one is due."""
        subject = self._subjects.get(name)
        if subject is None:
            return
        pace = self.pace
        subject.is_in_flight = False
        subject.troubles = subject.troubles + 1 if finding == "trouble" else 0
        wait_s = pace.interval_s
        if finding == "unsettled":
            wait_s = min(pace.confirm_s, pace.interval_s)
        elif finding == "trouble":
            longest_s = max(pace.longest_s, pace.interval_s)
            wait_s = min(pace.interval_s * 2.0 ** min(subject.troubles - 1, 30), longest_s)
        wait_s *= 1 + pace.jitter * (2 * self._rng() - 1)
        if retry_after_s:
            wait_s = max(wait_s, min(retry_after_s, pace.longest_retry_after_s))
        subject.next_at = now + wait_s

    def skip(self, name: str, now: float) -> None:
        """Skip a probe, because there are enough real calls."""
        self.done(name, now, "fine")

    def restart(self, now: float) -> None:
        """Probe all soon, spread as at the start, because this machine is online again."""
        origins = {name: s.origin for name, s in self._subjects.items()}
        flying = {name for name, s in self._subjects.items() if s.is_in_flight}
        self._subjects.clear()
        self.follow(origins, now)
        for name in flying:
            self._subjects[name].is_in_flight = True

    def next_times(self) -> dict[str, float]:
        """When each provider is due, seconds of the monotonic clock."""
        return {name: subject.next_at for name, subject in self._subjects.items()}

    def wake_at(self) -> float | None:
        """The earliest time at which a provider is due; None without providers."""
        waiting = [s.next_at for s in self._subjects.values() if not s.is_in_flight]
        if not waiting:
            return None
        return min(waiting) if self._free_at is None else max(min(waiting), self._free_at)

    def _is_due(self, subject: _Subject, now: float) -> bool:
        return not subject.is_in_flight and subject.next_at <= now

    def _take_turn(self, now: float) -> bool:
        """One start per gap; at most one second of missed starts is made up."""
        gap_s = min(_LONGEST_GAP_S, self.pace.interval_s / (2 * len(self._subjects)))
        free_at = now if self._free_at is None else max(self._free_at, now - _BURST_S)
        if free_at > now:
            return False
        self._free_at = free_at + gap_s
        return True


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
