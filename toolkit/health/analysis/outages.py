"""Outages of one subject, found in its evidence: when each begins and ends.

An outage begins with the run of failures that led to it. It is over after a run of successes, which
must be longer after every relapse (damping, as for flapping routes), and ends where that run began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from toolkit.health.analysis.state import (
    DEFAULT_RULES,
    Evidence,
    Health,
    Outcome,
    Rules,
    State,
    settle,
    step,
)

SEVERITY: Final[Mapping[State, int]] = {"degraded": 1, "auth_error": 2, "down": 3}
"""States that count as outages, by severity."""

CALM_RUN: Final = 3
PER_RELAPSE: Final = 5
DEGRADED_AFTER: Final = 3
"""Failed or slow outcomes since the last incident that make a degraded provider an incident."""
LONGEST_CALM_RUN: Final = 20
LONGEST_CALM: Final = timedelta(minutes=100)
"""Consecutive successes that end an incident: the base, the increase per relapse, the maximum,
and the time after which fewer are enough."""


def find_spans(
    evidence: Iterable[Evidence], now: datetime, rules: Rules = DEFAULT_RULES
) -> list[Span]:
    """Outages of one subject; the last one may still be open."""
    health, spans, past = Health(), list[Span](), _Past()
    span: Span | None = None
    for item in evidence:
        if item.outcome == "neutral":
            continue
        if _has_gone_silent(health, item.at, rules):
            past = _Past()
            if span is not None:
                span.close_silent(settle(health, item.at, rules))
                span = None
        health = step(health, item, rules)
        past.add(item)
        if span is not None and span.is_followed_by_another(health):
            span.close()
            span, past.failures = None, 1
        if span is None and past.is_trouble(health):
            span = past.open_span(item)
            spans.append(span)
        if span is not None:
            span.add(item, health)
            if span.is_over(health):
                span.close()
                span, past.failures = None, 0
    if span is not None and _has_gone_silent(health, now, rules):
        span.close_silent(settle(health, now, rules))
    return spans


class _Past:
    """What preceded an outage: the run of failures that led to it, and the number of relapses.

    After relapses a longer run of successes is required.
    """

    def __init__(self) -> None:
        self.run: list[Evidence] = []
        self.failures = 0
        self._recent: deque[Outcome] = deque(maxlen=LONGEST_CALM_RUN)

    def add(self, item: Evidence) -> None:
        if item.outcome == "limited":
            return
        is_failure = _is_failure(item)
        self.run = [*self.run, item] if is_failure else []
        self.failures += is_failure or item.outcome == "slow"
        self._recent.append(item.outcome)

    def is_trouble(self, health: Health) -> bool:
        """Whether the state is a new outage, not the effect of one that is over."""
        if health.state == "degraded":
            return self.failures >= DEGRADED_AFTER
        return health.state in SEVERITY

    def open_span(self, item: Evidence) -> Span:
        """Start an outage with the first failure of the run that led to it."""
        before = self.run[:-1]
        kind = "auth" if item.outcome == "auth" else "bad"
        turns = sum(b == kind != a for a, b in pairwise(self._recent))
        return Span(
            first=before[0] if before else item,
            n=len(before),
            failures=before,
            relapses=max(turns - 1, 0),
        )


@dataclass(slots=True)
class Span:
    """An outage that is being collected."""

    first: Evidence
    state: State = "degraded"
    noticed_at: datetime | None = None
    closed_at: datetime | None = None
    reason: str = ""
    n: int = 0
    failures: list[Evidence] = field(default_factory=list)
    relapses: int = 0
    calm: list[Evidence] = field(default_factory=list)

    def add(self, item: Evidence, health: Health) -> None:
        """Add an outcome."""
        self.n += 1
        self.noticed_at = self.noticed_at or item.at
        if SEVERITY.get(health.state, 0) >= SEVERITY[self.state]:
            is_worse = health.state != self.state
            self.state = health.state
            if is_worse or not self.reason:
                self.reason = health.reason
        if item.outcome in ("good", "slow"):
            is_still_slow = item.outcome == "slow" and self.state == "degraded"
            self.calm = [] if is_still_slow else [*self.calm, item]
            return
        if _is_failure(item):
            self.failures.append(item)
            self.relapses += bool(self.calm)
            self.calm.clear()

    def is_over(self, health: Health) -> bool:
        """Whether the run of successes is long enough."""
        base = 1 if self.state == "auth_error" else CALM_RUN
        is_well = health.state == "healthy"
        if self.state == "auth_error":  # an answer proves the key
            is_well = health.state != "auth_error"
        if not is_well or len(self.calm) < base:
            return False
        needed = min(base + PER_RELAPSE * self.relapses, LONGEST_CALM_RUN)
        return len(self.calm) >= needed or self.calm[-1].at - self.calm[0].at >= LONGEST_CALM

    def is_followed_by_another(self, health: Health) -> bool:
        """Whether the key is rejected while this outage is ending, which is another cause."""
        return health.state == "auth_error" != self.state and bool(self.calm)

    def close(self) -> None:
        """Close it at the first success of the run."""
        self.closed_at = self.calm[0].at

    def close_silent(self, health: Health) -> None:
        """Close it, because there is no later evidence."""
        self.closed_at = self.calm[0].at if self.calm else health.since
        self.reason = f"{self.reason}; no activity since".removeprefix("; ")


def _has_gone_silent(health: Health, now: datetime, rules: Rules) -> bool:
    last = health.last_at
    return last is not None and (now - last).total_seconds() >= rules.stale_after_s


def _is_failure(item: Evidence) -> bool:
    return item.outcome in ("bad", "auth")
