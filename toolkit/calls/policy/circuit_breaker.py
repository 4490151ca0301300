"""A circuit breaker: after many failures a provider is not called for a while.

Pure: every method is given the time. Closed counts results in a sliding window; open refuses;
half-open lets exactly one call through, which has a time-out of its own, so that a call that
hangs does not keep the breaker half-open indefinitely. Each change of state begins a new epoch, and
what a call comes to counts only in the epoch that let it in: a slow call from before an outage
does not prove that the outage is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

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
