"""Incidents: periods with problems, found in evidence by a pure function, with their scope.

An incident is a period (`outages.py`) in which the state was down, degraded or auth_error,
of a provider or of one of its models alone. The same evidence always gives the same incidents, also
after a restart.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from toolkit.health.analysis.offline import is_lost
from toolkit.health.analysis.outages import Span, find_spans
from toolkit.health.analysis.state import DEFAULT_RULES, Evidence, Rules, State

Scope = Literal["key", "model", "provider", "network"]

_KEPT_IDS: Final = 10
_NAMESPACE: Final = uuid.UUID("8f4a1b0e-5d0c-4c55-9a0e-2f6b7c1d3e90")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A period with problems.

    Attributes:
        incident_id: derived from provider, model and first failure.
        provider: its name.
        model: `provider/model_id` if only that model has problems.
        state: the worst state during the incident.
        scope: what is affected: the key, one model, the provider, or the network.
        opened_at: first failure, UTC.
        noticed_at: when the state changed, UTC.
        closed_at: first success of the run that ended it, UTC; None: ongoing.
        reason: why, as text.
        error_code: the most frequent error.
        probes: number of outcomes, calls and probes.
        failures: number of failures.
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
        seen: evidence by provider, oldest first; failures while offline made neutral
            (`discount_offline`).
        now: the current time, UTC.
        rules: the thresholds of the states.
        local: providers on this machine, which need no network.
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
            found.append(_place(span, provider, None, network=lonely))
    return sorted(found, key=lambda incident: (incident.opened_at, incident.incident_id))


def _find_models_own(
    provider: str, items: Sequence[Evidence], now: datetime, rules: Rules
) -> list[Incident]:
    """Incidents of single models while other models of the provider answered."""
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
                found.append(_place(span, provider, model))
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


def _place(span: Span, provider: str, model: str | None, *, network: bool = False) -> Incident:
    """Build the incident; `network` means that no other remote provider answered meanwhile."""
    codes = Counter(item.reason.split(" ", 1)[0] for item in span.failures if item.reason)
    scope: Scope = "provider" if model is None else "model"
    if span.state == "auth_error":
        scope = "key"
    elif network and span.failures and all(map(is_lost, span.failures)):
        scope = "network"
    ids = [item.evidence_id for item in span.failures] or [span.first.evidence_id]
    subject = f"{provider}|{model or ''}|{span.first.evidence_id}"
    return Incident(
        incident_id=str(uuid.uuid5(_NAMESPACE, subject)),
        provider=provider,
        model=model,
        state=span.state,
        scope=scope,
        opened_at=span.first.at,
        noticed_at=span.noticed_at or span.first.at,
        closed_at=span.closed_at,
        reason=span.reason,
        error_code=codes.most_common(1)[0][0] if codes else None,
        probes=span.n,
        failures=len(span.failures),
        evidence=tuple(dict.fromkeys([*ids[: _KEPT_IDS // 2], *ids[-_KEPT_IDS // 2 :]])),
    )
