"""Evidence about providers, read from the database: real calls and probes."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from toolkit.errors import InvalidInput, ToolkitError
from toolkit.health.analysis.offline import discount_offline
from toolkit.health.analysis.slo import Objective, objective_for
from toolkit.health.analysis.state import Evidence, Rules, judge_row
from toolkit.settings import Settings
from toolkit.store.queries.health_evidence import outcomes

if TYPE_CHECKING:
    from toolkit.providers.provider import Provider
    from toolkit.providers.service import Providers
    from toolkit.store.store import Store

WINDOW: Final = timedelta(hours=24)
MOST_PER_PROVIDER: Final = 500
"""Number of newest outcomes that are enough for a provider's state."""

# A row from the future was written before the clock was set back; ignore it.
_AHEAD: Final = timedelta(seconds=60)
_STALE_INTERVALS: Final = 3
_WATCHED_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class WatchedProviders:
    """Providers by name, as of one version of the registry file."""

    stamp: object
    read_at_s: float
    providers: Mapping[str, Provider]

    @property
    def origins(self) -> dict[str, str]:
        """Origin by name."""
        return {name: provider.origin for name, provider in self.providers.items()}

    @property
    def local(self) -> frozenset[str]:
        """Names of the providers on this machine or network."""
        return frozenset(name for name, provider in self.providers.items() if provider.is_local)


class EvidenceSources(Protocol):
    """Dependencies of reading evidence; properties, so that each is opened on first use."""

    @property
    def settings(self) -> Settings:
        """The settings of the home folder."""

    @property
    def store(self) -> Store:
        """The database with calls and probes."""

    @property
    def providers(self) -> Providers:
        """The provider registry."""


class EvidenceReader:
    """Reads evidence; caches the providers briefly, because reading the registry takes time."""

    def __init__(self, host: EvidenceSources) -> None:
        self._host = host
        self._watched: WatchedProviders | None = None

    def watched(self) -> WatchedProviders:
        """The providers in use; the list is at most ten seconds old."""
        registry = self._host.providers.registry
        stamp, now_s = (registry.file.stamp(), tuple(registry.registered)), time.monotonic()
        known = self._watched
        if known is None or known.stamp != stamp or now_s - known.read_at_s > _WATCHED_S:
            in_use = {provider.name: provider for provider in registry.list(active=True)}
            known = self._watched = WatchedProviders(stamp, now_s, in_use)
        return known

    def read(
        self,
        now: datetime,
        *,
        since: datetime | None = None,
        names: Collection[str] | None = None,
    ) -> dict[str, list[Evidence]]:
        """Evidence by provider, oldest first; failures while offline are neutral.

        Args:
            now: the current time, UTC.
            since: how far back; None: a day.
            names: only these providers; None: all.

        Raises:
            StoreError: the database cannot be read.
        """
        query = outcomes(since or now - WINDOW, now + _AHEAD, names, MOST_PER_PROVIDER)
        watched, settings = self.watched(), self._host.settings
        objectives: dict[str, Objective] = {}
        seen: dict[str, list[Evidence]] = {}
        for row in query.rows(self._host.store):
            name = row["provider"]
            if name not in objectives:
                objectives[name] = objective_of(name, settings)
            seen.setdefault(name, []).append(evidence_of(row, objectives[name]))
        return discount_offline(seen, watched.origins, watched.local)


def objective_of(provider: str, settings: Settings) -> Objective:
    """The objective of a provider, from the settings.

    Raises:
        InvalidInput: the setting `objectives` is not valid.
    """
    try:
        return objective_for(provider, settings.objectives)
    except ValueError as error:
        raise InvalidInput(
            str(error), hint="Fix the table [objectives] in settings.toml (see docs/health.md)."
        ) from None


def rules_for(settings: Settings) -> Rules:
    """The thresholds of the states; evidence is valid for at least a few probe intervals."""
    fresh_s = max(Rules().stale_after_s, _STALE_INTERVALS * settings.health_interval_s)
    return Rules(stale_after_s=fresh_s)


def evidence_of(row: Mapping[str, Any], objective: Objective | None = None) -> Evidence:
    """One row of calls or probes as evidence; slow misses the latency objective."""
    objective = objective or Objective()
    is_first_token = row.get("ttft_ms") is not None or row.get("is_probe", False)
    wait_s = row.get("retry_after_s")
    return Evidence(
        evidence_id=row["id"],
        at=row["seen_at"],
        outcome=judge_row(
            row, slow_ms=objective.ttft_ms if is_first_token else objective.duration_ms
        ),
        reason=" ".join(filter(None, (row.get("error_code"), row.get("error_cause")))),
        until=None if wait_s is None else row["seen_at"] + timedelta(seconds=wait_s),
        model=row.get("model"),
        blame=row.get("blame"),
        is_probe=row.get("is_probe", False),
    )


def by_model(seen: Mapping[str, Sequence[Evidence]]) -> dict[str, list[Evidence]]:
    """Evidence by `provider/model_id`, for outcomes with a model."""
    found: dict[str, list[Evidence]] = {}
    for items in seen.values():
        for item in items:
            if item.model is not None:
                found.setdefault(item.model, []).append(item)
    return found


def error_columns(error: ToolkitError) -> dict[str, Any]:
    """A failure in the columns of `probes`."""
    return {
        "error_code": error.code,
        "error_cause": error.cause,
        "error_message": error.message,
        "blame": error.blame,
        "http_status": error.status,
        "retry_after_s": error.retry_after,
    }


def utc_now() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)
