"""The health service, `tk.health`: checks, states, incidents, objectives and the monitor.

States follow from real calls and probes of the last hours (`analysis/state.py`); a check requests
the free model listing and costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from toolkit.display import Card, Shown
from toolkit.errors import InvalidInput
from toolkit.health.analysis.outages import SEVERITY
from toolkit.health.analysis.slo import WINDOWS, Count, Sli, judge_objective
from toolkit.health.analysis.state import Evidence, Health, Rules, derive, pause
from toolkit.health.evidence import EvidenceReader, by_model, objective_of, rules_for, utc_now
from toolkit.health.monitoring.pauses import Pause, Pauses
from toolkit.health.probe_rows import judge_rows
from toolkit.secret import redact
from toolkit.store.queries.health import incidents_between
from toolkit.store.queries.health_evidence import objective_counts

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.health.health_host import HealthHost
    from toolkit.health.monitoring.monitor import MonitorControl
    from toolkit.health.snapshot import HealthSnapshot
    from toolkit.providers.provider import Provider

_AT_ONCE: Final = 8
_CLOSE_WAIT_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 366 * 86_400.0


class HealthService(Shown):
    """Health of the providers of one toolkit."""

    def __init__(self, host: HealthHost) -> None:
        self._host = host
        self.evidence: EvidenceReader = EvidenceReader(host)
        self.pauses: Pauses = Pauses(host.settings.home)

    @cached_property
    def snapshot(self) -> HealthSnapshot:
        """States for failover, without a database query in the path of a call."""
        from toolkit.health.snapshot import HealthSnapshot

        return HealthSnapshot(self.states)

    @cached_property
    def monitor(self) -> MonitorControl:
        """The monitor of this process: `start(what)` and `stop()`."""
        from toolkit.health.monitoring.monitor import MonitorControl

        return MonitorControl(self._host)

    # ---- checks -------------------------------------------------------------------------------

    def check(self, names: Sequence[str] | str | None = None) -> list[dict[str, Any]]:
        """Request the free listings of providers now, concurrently, and record the results.

        Args:
            names: providers to check; None: all in use.

        Returns:
            One row of `probes` per provider, with the state that follows.

        Raises:
            ProviderNotFound: there is no provider of that name.
        """
        return self._host.portal.run(self.acheck(names))

    async def acheck(self, names: Sequence[str] | str | None = None) -> list[dict[str, Any]]:
        """The same as `check`, for use with `await`."""
        providers = await asyncio.to_thread(self._choose, names)
        before = await asyncio.to_thread(self.states, names=[p.name for p in providers])
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(provider: Provider) -> dict[str, Any]:
            async with gate:
                return await self._probe(provider, before.get(provider.name, Health()))

        return list(await asyncio.gather(*(one(provider) for provider in providers)))

    # ---- states -------------------------------------------------------------------------------

    def status(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """The state of every provider in use.

        Args:
            now: the reference time, UTC; None: now.

        Returns:
            Rows of `provider`, `state`, `reason`, `since`, `until` (end of a rate limit or of a
            pause, UTC; None: not known), `last_success_at`, `last_at`, `is_flapping`, `evidence`
            (ids) and `models_in_trouble`: names of its models that are degraded or worse.
        """
        now, rules = now or utc_now(), rules_for(self._host.settings)
        seen, paused = self.evidence.read(now), self.pauses.read(now)
        rows = []
        for name in (provider.name for provider in self._host.providers.list(active=True)):
            items = seen.get(name, [])
            troubled = find_troubled(items, now, rules)
            health = _with_models(derive(items, now, rules), troubled)
            health = _held(health, paused.get(name))
            rows.append({"provider": name, **_describe(health), "models_in_trouble": troubled})
        return rows

    def _card(self) -> Card:
        return Card(
            title="Health of the providers in use",
            rows=[
                {
                    "provider": row["provider"],
                    "state": str(row["state"]),
                    "reason": row["reason"],
                    "since": None if row["since"] is None else f"{row['since']:%Y-%m-%d %H:%M} UTC",
                }
                for row in self.status()
            ],
        )

    def frame(self) -> pd.DataFrame:
        """One row per provider in use, worst first: see `view.read_overview`."""
        from toolkit.health.view import overview_frame

        return overview_frame(self._host)

    def states(
        self, now: datetime | None = None, names: Sequence[str] | None = None
    ) -> dict[str, Health]:
        """States by provider, from the calls and probes of the last 24 hours.

        Args:
            now: the reference time, UTC; None: now.
            names: only these; None: all.
        """
        now = now or utc_now()
        rules = rules_for(self._host.settings)
        seen = self.evidence.read(now, names=names)
        return {name: derive(evidence, now, rules) for name, evidence in seen.items()}

    def model_states(
        self, provider: str | None = None, now: datetime | None = None
    ) -> list[dict[str, Any]]:
        """The state of every model called within a day, ordered by name.

        Args:
            provider: only this one; None: all.
            now: the reference time, UTC; None: now.

        Returns:
            Rows as of `status`, with `model` (`provider/model_id`), the number of outcomes `n`, and
            `bad`, how many of them count against it.
        """
        now = now or utc_now()
        rules = rules_for(self._host.settings)
        seen = self.evidence.read(now, names=None if provider is None else [provider])
        return [
            {"model": model, "provider": model.partition("/")[0], "n": len(items)}
            | {"bad": sum(item.outcome == "bad" for item in items)}
            | _describe(derive(items, now, rules))
            for model, items in sorted(by_model(seen).items())
        ]

    def incidents(self, days: float = 30) -> list[dict[str, Any]]:
        """Incidents that overlap the last days, newest first: rows of `incidents`.

        `scope` is `key`, `model`, `provider` or `network`; `closed_at` is None while it is ongoing.
        """
        now = utc_now()
        return incidents_between(now - timedelta(days=days), now).rows(self._host.store)

    def slo(self, provider: str | None = None) -> list[dict[str, Any]]:
        """Objectives, error budgets and burn rates: see `objectives.read_objectives`.

        Args:
            provider: only this one; None: all in use, three rows each.

        Raises:
            ProviderNotFound: there is no provider of that name.
            InvalidInput: the setting `objectives` is not valid.
        """

        now = utc_now()
        names = [one.name for one in self._choose(provider)]
        return [row for name in names for row in read_objectives(self._host, name, now)]

    # ---- the monitor --------------------------------------------------------------------------

    def budget(self) -> dict[str, Any]:
        """The budget of probes today: `spent_usd`, `limit_usd`, `left_usd`, `next_at`."""
        from toolkit.health.monitoring.probe_budget import read_budget

        return read_budget(self._host, utc_now())

    def monitor_status(self) -> dict[str, Any]:
        """Which process probes: see `MonitorControl.status`."""
        return self.monitor.status()

    def pause(self, name: str, *, for_s: float | None = None, why: str = "") -> None:
        """Stop probing a provider until `resume`; it can still be called.

        Args:
            name: the provider.
            for_s: resume automatically after this many seconds; None: only by `resume`.
            why: reason, shown with its state; known secrets in it are removed.

        Raises:
            ProviderNotFound: there is no provider of that name.
            InvalidInput: `for_s` is not positive, or longer than a year.
        """
        self._host.providers.require(name)
        now = utc_now()
        held = Pause(since=now, until=_end_of(now, for_s), why=redact(why.strip()))
        self.pauses.pause(name, held)

    def resume(self, name: str) -> None:
        """Probe a provider again.

        Raises:
            ProviderNotFound: there is no provider of that name.
        """
        self._host.providers.require(name)
        self.pauses.resume(name, utc_now())

    def close(self) -> None:
        """Stop the monitor and wait for reads in progress."""
        if "monitor" in self.__dict__:
            self.monitor.stop()
        if "snapshot" in self.__dict__:
            self.snapshot.wait(_CLOSE_WAIT_S)

    def _choose(self, names: Sequence[str] | str | None) -> list[Provider]:
        if names is None:
            return list(self._host.providers.list(active=True))
        chosen = [names] if isinstance(names, str) else names
        return [self._host.providers.require(name) for name in chosen]

    async def _probe(self, provider: Provider, before: Health) -> dict[str, Any]:
        from toolkit.health.probe_runner import probe_listing

        row = await probe_listing(self._host, provider, utc_now())
        judge_rows([row], before, self._host.settings)
        await asyncio.to_thread(self._host.store.append, "probes", row)
        return row


def find_troubled(items: Sequence[Evidence], now: datetime, rules: Rules) -> list[str]:
    """Names of the models that are degraded or worse, from one provider's evidence.

    Only models with a bad outcome are evaluated.
    """
    suspects = {item.model for item in items if item.outcome in ("bad", "slow")} - {None}
    mine = by_model({"": [item for item in items if item.model in suspects]})
    return sorted(model for model, own in mine.items() if derive(own, now, rules).state in SEVERITY)


def _end_of(now: datetime, for_s: float | None) -> datetime | None:
    if for_s is None:
        return None
    if not 0 < for_s <= _LONGEST_PAUSE_S:
        raise InvalidInput(
            f"invalid pause: {for_s:g} s",
            hint="Use more than 0 s and at most a year, or omit the duration.",
        )
    return now + timedelta(seconds=for_s)


def _held(health: Health, held: Pause | None) -> Health:
    if held is None:
        return health
    return replace(pause(health, held.since, held.words), until=held.until)


def _with_models(health: Health, troubled: Sequence[str]) -> Health:
    """Mark a provider as degraded if one of its models is, so that all views agree."""
    if health.state != "healthy" or not troubled:
        return health
    first, others = troubled[0].partition("/")[2], len(troubled) - 1
    subject = first if not others else f"{first} and {others} more"
    verb = "is" if not others else "are"
    reason = f"{subject} {verb} in trouble; its other models answer"
    return replace(health, state="degraded", reason=reason)


def _describe(health: Health) -> dict[str, Any]:
    return {
        "state": health.state,
        "reason": health.reason,
        "since": health.since,
        "until": health.until,
        "last_success_at": health.last_success_at,
        "last_at": health.last_at,
        "is_flapping": health.is_flapping,
        "evidence": list(health.evidence),
    }


def is_bad(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a check found that the provider does not work."""
    return any(row["status"] == "error" for row in rows)


_WHOLE: Final = "whole"


def read_objectives(host: HealthHost, provider: str, now: datetime) -> list[dict[str, Any]]:
    """The objectives of one provider: availability, first token, whole answer.

    Returns:
        One row each: `provider`, `objective`, `threshold_ms` (None for availability), `days`,
        the result of `judge_objective`, and `goodput`: the share of counted requests that were
            answered within both thresholds.

    Raises:
        InvalidInput: the setting `objectives` is not valid.
        StoreError: the database cannot be read.
    """
    objective = objective_of(provider, host.settings)
    query = objective_counts(
        provider,
        now,
        {_WHOLE: timedelta(days=objective.days), **WINDOWS},
        ttft_ms=objective.ttft_ms,
        duration_ms=objective.duration_ms,
    )
    row = query.rows(host.store)[0]
    total = row[f"total_{_WHOLE}"]
    goodput = row[f"in_time_{_WHOLE}"] / total if total else None
    slis: tuple[tuple[Sli, str, float | None, float], ...] = (
        ("availability", "", None, objective.availability),
        ("ttft", "ttft_", objective.ttft_ms, objective.ttft_share),
        ("duration", "duration_", objective.duration_ms, objective.duration_share),
    )
    return [
        {"provider": provider, "objective": name, "threshold_ms": limit, "days": objective.days}
        | judge_objective(
            _counted(row, prefix, _WHOLE),
            {window: _counted(row, prefix, window) for window in WINDOWS},
            target,
        )
        | {"goodput": goodput}
        for name, prefix, limit, target in slis
    ]


def _counted(row: Mapping[str, Any], prefix: str, window: str) -> Count:
    return Count(row[f"{prefix}good_{window}"], row[f"{prefix}total_{window}"])
