"""Maintains the table `incidents` and sends an alert when an incident opens or closes.

Only the holder of the lease does this, so every incident is written and reported once; alerts that
were not sent before the process ended are found in the table.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import ToolkitError
from toolkit.health.analysis.incidents import find_incidents
from toolkit.health.analysis.reconcile import reconcile
from toolkit.health.analysis.state import Health, derive
from toolkit.health.evidence import WINDOW, rules_for
from toolkit.health.monitoring import alerts
from toolkit.store.queries.health import incidents_not_closed_before

if TYPE_CHECKING:
    from toolkit.health.health_host import HealthHost

_BEFORE: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=7)
_TOLD_WITHIN: Final = timedelta(days=1)
_FIRST_WAIT_S: Final = 30.0
_LONGEST_WAIT_S: Final = 900.0

_log = logging.getLogger("toolkit.health")

Row = dict[str, Any]


class IncidentTracker:
    """The incidents of one home."""

    def __init__(self, host: HealthHost) -> None:
        self._host = host
        self._logged: set[tuple[str, str]] = set()
        self._seen_open: set[str] = set()
        self._retry_at_s = 0.0
        self._retry_wait_s = _FIRST_WAIT_S

    def update(self, now: datetime) -> tuple[dict[str, Health], list[Row]]:
        """Write new and changed incidents.

        Returns:
            The states of all providers, and the current incidents.

        Raises:
            StoreError: the database cannot be read or written; a later update loses nothing.
        """
        host = self._host
        # The time range of the evidence: an incident that is not loaded here is written twice.
        stored = incidents_not_closed_before(now - _LONGEST).rows(host.store)
        opened = [row["opened_at"] - _BEFORE for row in stored if row["closed_at"] is None]
        since = max(min([now - WINDOW, *opened]), now - _LONGEST)
        rules = rules_for(host.settings)
        seen = host.health.evidence.read(now, since=since)
        local = host.health.evidence.watched().local
        rows = reconcile(stored, find_incidents(seen, now, rules, local=local), now)
        if rows:
            host.store.append_many("incidents", rows)
        states = {name: derive(items, now, rules) for name, items in seen.items()}
        host.health.snapshot.learn(states)
        newest = {row["incident_id"]: row for row in (*stored, *rows)}
        return states, list(newest.values())

    async def notify(self, incidents: list[Row], now: datetime, now_s: float) -> None:
        """Send alerts that were not sent yet; a failed delivery is retried.

        Args:
            incidents: current rows.
            now: UTC.
            now_s: seconds of the monotonic clock, for the waits between retries.
        """
        for row in sorted(incidents, key=lambda one: one["opened_at"]):
            if row["closed_at"] is None:
                self._seen_open.add(row["incident_id"])
            if self._is_opening_due(row, now) and not await self._tell(
                row, "opened", "alerted_at", now, now_s
            ):
                continue
            if self._is_end_due(row, now):
                await self._tell(row, "closed", "end_alerted_at", now, now_s)

    def _is_opening_due(self, row: Mapping[str, Any], now: datetime) -> bool:
        """Whether to report the opening: not if the incident is already over or old."""
        was_seen = row["closed_at"] is None or row["incident_id"] in self._seen_open
        is_news = now - row["opened_at"] <= _TOLD_WITHIN
        return row["alerted_at"] is None and was_seen and is_news

    @staticmethod
    def _is_end_due(row: Mapping[str, Any], now: datetime) -> bool:
        """Whether to report the end: if the opening was reported and it ended within a day."""
        if row["alerted_at"] is None or row["closed_at"] is None:
            return False
        return row["end_alerted_at"] is None and now - row["closed_at"] <= _TOLD_WITHIN

    async def _tell(
        self, row: Row, event: alerts.Event, column: str, now: datetime, now_s: float
    ) -> bool:
        alert = alerts.describe(row, event)
        mark = (row["incident_id"], event)
        if mark not in self._logged:
            self._logged.add(mark)
            alerts.log(alert)
        if self._host.settings.health_webhook_url.get_secret_value():
            if now_s < self._retry_at_s:
                return False
            try:
                await alerts.post(self._host.settings, alert)
            except ToolkitError as error:
                _log.warning("%s", error.message)
                self._retry_at_s = now_s + self._retry_wait_s
                self._retry_wait_s = min(self._retry_wait_s * 2, _LONGEST_WAIT_S)
                return False
            self._retry_at_s, self._retry_wait_s = 0.0, _FIRST_WAIT_S
        row[column] = now
        await asyncio.to_thread(self._host.store.append, "incidents", row)
        return True
