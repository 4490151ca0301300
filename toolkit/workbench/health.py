"""What `tk.health` is: checks by hand, and the state of every provider from what was seen.

States follow from real calls and probes of the last hours (`toolkit/health/state.py`); a check
asks for the free model listing and costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import ToolkitError
from toolkit.health.state import Evidence, Health, derive, judge_row, step
from toolkit.workbench.provider_trial import try_provider

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.health.lights import ProbeResult
    from toolkit.providers.provider import Provider
    from toolkit.workbench.bench import Workbench

WINDOW: Final = timedelta(hours=24)
_AT_ONCE: Final = 8

# Probes are in both tables when a model was called; the row of `probes` is the one that counts.
_SEEN: Final = """
    SELECT * FROM (
        SELECT provider, call_id AS id, started_at AS seen_at, status, error_code, error_cause,
               blame, ttft_ms, duration_ms, retry_after_s
        FROM calls WHERE source = 'live' AND origin <> 'health'
        UNION ALL
        SELECT provider, probe_id, probed_at, status, error_code, error_cause,
               blame, ttft_ms, latency_ms, retry_after_s
        FROM probes
    ) WHERE seen_at >= ? ORDER BY seen_at"""


class HealthDesk:
    """The health of one workbench's providers."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def check(self, names: Sequence[str] | str | None = None) -> list[dict[str, Any]]:
        """Ask providers for their free listing now, all at once, and record what came.

        Args:
            names: providers to check; None: all that are in use.

        Returns:
            One row of `probes` per provider, with the state that follows.

        Raises:
            ProviderNotFound: there is none of that name.
        """
        return self._bench.portal.run(self.acheck(names))

    async def acheck(self, names: Sequence[str] | str | None = None) -> list[dict[str, Any]]:
        """The same as `check`, for use with `await`."""
        providers = await asyncio.to_thread(self._choose, names)
        before = await asyncio.to_thread(self.states)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(provider: Provider) -> dict[str, Any]:
            async with gate:
                return await self._probe(provider, before.get(provider.name, Health()))

        return list(await asyncio.gather(*(one(provider) for provider in providers)))

    def status(self) -> list[dict[str, Any]]:
        """The state of every provider in use: `provider`, `state`, `reason`, `since`, ..."""
        states = self.states()
        names = [provider.name for provider in self._bench.providers.list(active=True)]
        return [_describe(name, states.get(name, Health())) for name in names]

    def frame(self) -> pd.DataFrame:
        """One row per provider in use, worst first: see `health_view.read_overview`."""
        from toolkit.workbench.health_view import overview_frame

        return overview_frame(self._bench)

    def states(self, now: datetime | None = None) -> dict[str, Health]:
        """States by provider, from the calls and probes of the last 24 hours."""
        now = now or datetime.now(UTC)
        seen: dict[str, list[Evidence]] = {}
        for row in self._bench.store.rows(_SEEN, [now - WINDOW]):
            seen.setdefault(row["provider"], []).append(_evidence(row))
        return {name: derive(evidence, now) for name, evidence in seen.items()}

    def _choose(self, names: Sequence[str] | str | None) -> list[Provider]:
        if names is None:
            return list(self._bench.providers.list(active=True))
        chosen = [names] if isinstance(names, str) else names
        return [self._bench.providers.require(name) for name in chosen]

    async def _probe(self, provider: Provider, before: Health) -> dict[str, Any]:
        at = datetime.now(UTC)
        try:
            result = await try_provider(self._bench, provider)
            if _is_fault(result):  # one lost packet is no failure: ask once more
                result = await try_provider(self._bench, provider)
            row = _row_of(provider, at, result)
        except ToolkitError as error:
            row = {**_blank(provider, at), "status": "error", **_error_columns(error)}
        after = step(before, _evidence({**row, "id": row["probe_id"], "seen_at": at}))
        row |= {
            "outcome": judge_row(row),
            "state": after.state,
            "previous_state": before.state,
            "reason": after.reason,
        }
        await asyncio.to_thread(self._bench.store.append, "probes", row)
        return row


def _blank(provider: Provider, at: datetime) -> dict[str, Any]:
    return {
        "probe_id": str(uuid7()),
        "probed_at": at,
        "provider": provider.name,
        "kind": "list",
        "status": "ok",
        "is_manual": True,
        "cost_usd": 0,
    }


def _row_of(provider: Provider, at: datetime, result: ProbeResult) -> dict[str, Any]:
    bad = [light for light in result.lights[:3] if light.answer == "refused"]
    row = {
        **_blank(provider, at),
        "latency_ms": result.latency_ms,
        "details": result.as_dict()["lights"],
    }
    if not bad:
        return row
    row |= {"status": "error", "error_message": bad[0].reason}
    return row | (_error_columns(result.error) if result.error else {"blame": "network"})


def _error_columns(error: ToolkitError) -> dict[str, Any]:
    return {
        "error_code": error.code,
        "error_cause": error.cause,
        "error_message": error.message,
        "blame": error.blame,
        "http_status": error.status,
        "retry_after_s": error.retry_after,
    }


def _is_fault(result: ProbeResult) -> bool:
    return result.reachable.answer == "refused"


def _evidence(row: Mapping[str, Any]) -> Evidence:
    wait_s = row.get("retry_after_s")
    reason = " ".join(filter(None, (row.get("error_code"), row.get("error_cause"))))
    return Evidence(
        evidence_id=row["id"],
        at=row["seen_at"],
        outcome=judge_row(row),
        reason=reason,
        until=None if wait_s is None else row["seen_at"] + timedelta(seconds=wait_s),
    )


def _describe(name: str, health: Health) -> dict[str, Any]:
    return {
        "provider": name,
        "state": health.state,
        "reason": health.reason,
        "since": health.since,
        "last_success_at": health.last_success_at,
        "last_at": health.last_at,
        "is_flapping": health.is_flapping,
        "evidence": list(health.evidence),
    }


def is_bad(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a check found a provider that does not work."""
    return any(row["status"] != "ok" for row in rows)
