"""Incidents: spans of trouble, found in evidence by a pure function, each with where it sits.

An incident opens when the state turns to down, degraded or auth_error, and begins with the run of
failures that led there. It closes after a run of good answers that grows with every relapse
(damping, as with flapping routes), and ends where that run began. The same evidence always gives
the same incidents, so they are found again after a restart.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

from toolkit.health.offline import is_lost
from toolkit.health.state import (
    DEFAULT_RULES,
    Evidence,
    Health,
    Outcome,
    Rules,
    State,
    settle,
    step,
)

Scope = Literal["key", "model", "provider", "network"]

SEVERITY: Final[Mapping[State, int]] = {"degraded": 1, "auth_error": 2, "down": 3}
"""States that are trouble, by how bad they are."""

CALM_RUN: Final = 3
PER_RELAPSE: Final = 5
DEGRADED_AFTER: Final = 3
"""So many failed or slow outcomes since the last incident make one of a degraded provider."""
LONGEST_CALM_RUN: Final = 20
LONGEST_CALM: Final = timedelta(minutes=100)
"""Good answers in a row that end an incident: the base, more per relapse, and the most, or so
long a time of them where probes are rare."""

_KEPT_IDS: Final = 10
_NAMESPACE: Final = uuid.UUID("8f4a1b0e-5d0c-4c55-9a0e-2f6b7c1d3e90")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A span of trouble.

    Attributes:
        incident_id: follows from provider, model and first failure.
        provider: its name.
        model: `provider/model_id` where only that one is in trouble.
        state: the worst state within the span.
        scope: where it sits: the key, one model, the provider, or the network between.
        opened_at: first failure, UTC.
        noticed_at: when the state said so, UTC.
        closed_at: first good answer of the run that ended it, UTC; None: it goes on.
        reason: why, in words.
        error_code: the most frequent error.
        probes: outcomes within, calls and probes.
        failures: failed ones.
        evidence: ids of the first and the last of them.
    """

    incident_id: str
    provider: str
    model: str | None
    state: State
    scope: Scope
    opened_at: datetime
    noticed_at: datetime
    closed_at: datetime | None
    reason: str
    error_code: str | None
    probes: int
    failures: int
    evidence: tuple[str, ...]


def find_incidents(
    seen: Mapping[str, Sequence[Evidence]],
    now: datetime,
    rules: Rules = DEFAULT_RULES,
    *,
    local: Collection[str] = (),
) -> list[Incident]:
    """All incidents in the evidence, oldest first.

    Args:
        seen: evidence by provider, each oldest first, what was lost offline made neutral
            (`discount_offline`).
        now: the moment to look from, UTC.
        rules: those of the states.
        local: providers on this machine, between which and us there is no network.
    """
    answers = sorted(
        (item.at, name)
        for name, items in seen.items()
        if name not in local
        for item in items
        if item.outcome != "neutral" and not is_lost(item)
    )
    found: list[Incident] = []
    for provider, items in seen.items():
        by_model = _find_models_own(provider, items, now, rules)
        found += by_model
        rest = [item for item in items if not _is_explained(item, by_model)]
        for span in find_spans(rest, now, rules):
            lonely = provider not in local and not _somebody_answered(answers, provider, span)
            found.append(span.as_incident(provider, None, network=lonely))
    return sorted(found, key=lambda incident: (incident.opened_at, incident.incident_id))


def find_spans(
    evidence: Iterable[Evidence], now: datetime, rules: Rules = DEFAULT_RULES
) -> list[Span]:
    """Spans of trouble of one subject; the last one may still be open."""
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
    """What came before a span: the run of failures that led to it, and how often it went up and
    down before, for trouble that comes and goes needs a longer calm to be over."""

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
        """Whether the state is trouble of its own, not the memory of an incident that is over."""
        if health.state == "degraded":
            return self.failures >= DEGRADED_AFTER
        return health.state in SEVERITY

    def open_span(self, item: Evidence) -> Span:
        """A span that begins with the first failure of the run that led to it."""
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
    """One span of trouble in the making."""

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
        """One more outcome within the span."""
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
        """Whether the run of good answers is long enough to believe in."""
        base = 1 if self.state == "auth_error" else CALM_RUN
        is_well = health.state == "healthy"
        if self.state == "auth_error":  # an answer proves the key, whatever else there was
            is_well = health.state != "auth_error"
        if not is_well or len(self.calm) < base:
            return False
        needed = min(base + PER_RELAPSE * self.relapses, LONGEST_CALM_RUN)
        return len(self.calm) >= needed or self.calm[-1].at - self.calm[0].at >= LONGEST_CALM

    def is_followed_by_another(self, health: Health) -> bool:
        """Whether a refused key begins while this one was calming down: that is another cause."""
        return health.state == "auth_error" != self.state and bool(self.calm)

    def close(self) -> None:
        """It ended with the first answer of the good run."""
        self.closed_at = self.calm[0].at

    def close_silent(self, health: Health) -> None:
        """Nothing was seen any more: nobody knows how it went on."""
        self.closed_at = self.calm[0].at if self.calm else health.since
        self.reason = f"{self.reason}; then nothing more was seen".removeprefix("; ")

    def as_incident(self, provider: str, model: str | None, *, network: bool = False) -> Incident:
        """The noun, with its place: `network` says that nobody else remote answered meanwhile."""
        codes = Counter(item.reason.split(" ", 1)[0] for item in self.failures if item.reason)
        scope: Scope = "provider" if model is None else "model"
        if self.state == "auth_error":
            scope = "key"
        elif network and self.failures and all(map(is_lost, self.failures)):
            scope = "network"
        ids = [item.evidence_id for item in self.failures] or [self.first.evidence_id]
        subject = f"{provider}|{model or ''}|{self.first.evidence_id}"
        return Incident(
            incident_id=str(uuid.uuid5(_NAMESPACE, subject)),
            provider=provider,
            model=model,
            state=self.state,
            scope=scope,
            opened_at=self.first.at,
            noticed_at=self.noticed_at or self.first.at,
            closed_at=self.closed_at,
            reason=self.reason,
            error_code=codes.most_common(1)[0][0] if codes else None,
            probes=self.n,
            failures=len(self.failures),
            evidence=tuple(dict.fromkeys([*ids[: _KEPT_IDS // 2], *ids[-_KEPT_IDS // 2 :]])),
        )


def _find_models_own(
    provider: str, items: Sequence[Evidence], now: datetime, rules: Rules
) -> list[Incident]:
    """Incidents of single models while the rest of their provider answered."""
    found = []
    for model in dict.fromkeys(item.model for item in items if item.model):
        own = [item for item in items if item.model == model]
        for span in find_spans(own, now, rules):
            if span.state == "auth_error":
                continue
            until = span.closed_at or now
            others = [
                item.outcome
                for item in items
                if item.model != model and span.first.at <= item.at <= until
            ]
            bad, good = others.count("bad"), others.count("good") + others.count("slow")
            if good > bad:
                found.append(span.as_incident(provider, model))
    return found


def _is_explained(item: Evidence, incidents: Sequence[Incident]) -> bool:
    """Whether an outcome belongs to an incident of its model alone."""
    return any(
        item.model == incident.model
        and incident.opened_at <= item.at
        and (incident.closed_at is None or item.at < incident.closed_at)
        for incident in incidents
    )


def _somebody_answered(answers: Sequence[tuple[datetime, str]], provider: str, span: Span) -> bool:
    last = span.failures[-1].at if span.failures else span.first.at
    return any(span.first.at <= at <= last and name != provider for at, name in answers)


def _has_gone_silent(health: Health, now: datetime, rules: Rules) -> bool:
    last = health.last_at
    return last is not None and (now - last).total_seconds() >= rules.stale_after_s


def _is_failure(item: Evidence) -> bool:
    return item.outcome in ("bad", "auth")
