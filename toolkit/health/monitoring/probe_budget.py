"""The daily budget of health probes, what was spent, and when the next paid probe is possible."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from toolkit.health.probe_runner import Row, probe_calls
from toolkit.store.queries.health_evidence import last_paid_probes, probe_spend

if TYPE_CHECKING:
    from toolkit.health.health_host import HealthHost
    from toolkit.providers.provider import Provider

PAID_EVERY: Final = timedelta(hours=1)
"""Minimum interval between two paid probes of a model."""


class Spending:
    """Makes paid probes, one at a time, so that they cannot exceed the budget together."""

    def __init__(self, host: HealthHost) -> None:
        self._host = host
        self._gate = asyncio.Lock()

    async def ask(self, provider: Provider, at: datetime) -> list[Row]:
        """Call a provider's default model if today's budget allows it.

        Returns:
            Rows of `probes`; none if only free listings are allowed, the model was called within
            `PAID_EVERY`, or too little is left.

        Raises:
            StoreError: the spend cannot be read; then no paid probe is made.
        """
        limit_usd = Decimal(str(self._host.settings.probe_budget_usd))
        if limit_usd <= 0 or provider.default_model is None:
            return []
        async with self._gate:
            last, spent = await asyncio.to_thread(
                lambda: (read_last_paid(self._host, at), read_spent(self._host, at))
            )
            if provider.name in last:
                return []
            return await probe_calls(self._host, provider, at, limit_usd - spent)


def read_budget(host: HealthHost, now: datetime) -> dict[str, Any]:
    """The budget of the current UTC day.

    Returns:
        `spent_usd`, `limit_usd` and `left_usd` (Decimal), and `next_at`: when the next paid probe
        is possible, UTC; None if the limit is 0 (free listings only).

    Raises:
        StoreError: the ledger cannot be read.
    """
    limit = Decimal(str(host.settings.probe_budget_usd))
    spent = read_spent(host, now)
    left = max(limit - spent, Decimal(0))
    return {
        "spent_usd": spent,
        "limit_usd": limit,
        "left_usd": left,
        "next_at": _find_next(host, now, left) if limit > 0 else None,
    }


def read_spent(host: HealthHost, now: datetime) -> Decimal:
    """USD that probes have cost since midnight UTC. Errors as `read_budget`."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = probe_spend(midnight, midnight + timedelta(days=1)).rows(host.store)
    return Decimal(str(rows[0]["usd"]))


def read_last_paid(host: HealthHost, now: datetime) -> dict[str, datetime]:
    """Last paid probe by provider within `PAID_EVERY`, UTC."""
    rows = last_paid_probes(now - PAID_EVERY, now).rows(host.store)
    return {row["provider"]: row["probed_at"] for row in rows}


def _find_next(host: HealthHost, now: datetime, left: Decimal) -> datetime:
    if left <= 0:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1)
    asked = [p for p in host.providers.list(active=True) if p.default_model and not p.is_local]
    last = read_last_paid(host, now)
    return min((last[p.name] + PAID_EVERY if p.name in last else now for p in asked), default=now)
