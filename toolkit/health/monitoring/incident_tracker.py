"""Maintains the table `incidents` and sends an alert when an incident opens or closes.

Only the holder of the lease does this, so every incident is written and reported once; alerts that
were not sent before the process ended are found in the table. `reconcile` merges what is found in
the evidence with stored rows: an incident keeps its row when later evidence changes its times or
scope, also after a restart, and a closed row is not closed again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from toolkit.calls.http_client import open_http
from toolkit.errors import ConnectionFailed, ToolkitError
from toolkit.health.analysis.incidents import Incident, find_incidents
from toolkit.health.analysis.outages import SEVERITY
from toolkit.health.analysis.state import Health, derive
from toolkit.health.evidence import WINDOW, rules_for
from toolkit.providers.base_url import check_base_url
from toolkit.secret import redact
from toolkit.settings import Settings
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

    async def _tell(self, row: Row, event: Event, column: str, now: datetime, now_s: float) -> bool:
        alert = describe(row, event)
        mark = (row["incident_id"], event)
        if mark not in self._logged:
            self._logged.add(mark)
            log(alert)
        if self._host.settings.health_webhook_url.get_secret_value():
            if now_s < self._retry_at_s:
                return False
            try:
                await post(self._host.settings, alert)
            except ToolkitError as error:
                _log.warning("%s", error.message)
                self._retry_at_s = now_s + self._retry_wait_s
                self._retry_wait_s = min(self._retry_wait_s * 2, _LONGEST_WAIT_S)
                return False
            self._retry_at_s, self._retry_wait_s = 0.0, _FIRST_WAIT_S
        row[column] = now
        await asyncio.to_thread(self._host.store.append, "incidents", row)
        return True


_TOLD: Final = ("state", "scope", "model", "closed_at")
"""Columns whose change is written; a change of counts alone is not."""


def reconcile(
    stored: Sequence[Mapping[str, Any]], found: Sequence[Incident], now: datetime
) -> list[Row]:
    """Rows of `incidents` to write, so that the table agrees with the evidence.

    Args:
        stored: newest rows of incidents that are open or touch the time of the evidence.
        found: `find_incidents` over that evidence.
        now: the current time, UTC.
    """
    left = {row["incident_id"]: row for row in stored}
    rows = []
    for incident in sorted(found, key=lambda one: (one.incident_id not in left, one.opened_at)):
        match = _find_match(incident, list(left.values()))
        if match is None:
            rows.append(_new_row(incident))
            continue
        del left[match["incident_id"]]
        if row := _grown(match, incident):
            rows.append(row)
    return rows + [_taken_back(row, now) for row in left.values() if row["closed_at"] is None]


def _find_match(incident: Incident, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The row of the same incident: by id, else one of the provider that overlaps in time."""
    near = [
        row for row in rows if row["provider"] == incident.provider and _overlaps(incident, row)
    ]
    near.sort(
        key=lambda row: (row["incident_id"] != incident.incident_id, row["model"] != incident.model)
    )
    if not near:
        return None
    best = near[0]
    if best["model"] == incident.model or best["closed_at"] is None:
        return best
    return None


def _overlaps(incident: Incident, row: Mapping[str, Any]) -> bool:
    begins_before_row_ends = row["closed_at"] is None or incident.opened_at <= row["closed_at"]
    row_begins_before_end = incident.closed_at is None or row["opened_at"] <= incident.closed_at
    return begins_before_row_ends and row_begins_before_end


def _new_row(incident: Incident) -> Row:
    row = asdict(incident)
    del row["noticed_at"]
    return {**row, "evidence": list(incident.evidence), "alerted_at": None, "end_alerted_at": None}


def _grown(row: Mapping[str, Any], incident: Incident) -> Row | None:
    """The updated row; None if nothing changed."""
    if row["closed_at"] is not None and incident.closed_at is not None:
        return None
    new = _new_row(incident)
    kept = ("incident_id", "alerted_at", "end_alerted_at")
    grown = {**new, **{name: row[name] for name in kept}}
    grown["opened_at"] = min(row["opened_at"], incident.opened_at)
    grown["probes"] = max(row["probes"] or 0, incident.probes)
    grown["failures"] = max(row["failures"] or 0, incident.failures)
    if SEVERITY.get(row["state"], 0) > SEVERITY[incident.state]:
        grown |= {"state": row["state"], "reason": row["reason"]}
    return grown if any(grown[name] != row[name] for name in _TOLD) else None


def _taken_back(row: Mapping[str, Any], now: datetime) -> Row:
    reason = f"{row['reason']}; later evidence shows no incident"
    return {**row, "closed_at": now, "reason": reason}


Event = Literal["opened", "closed"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_DEADLINE_S: Final = 10.0


def describe(row: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """The content of an alert, without secrets or prompts.

    Returns:
        `event`, columns of the incident, and `text` (the field that chat services show).
    """
    subject = row["model"] or row["provider"]
    if event == "opened":
        text = f"{subject} is {_words(row['state'])}: {row['reason']}"
    else:
        text = f"{subject} works again, after {_lasted(row)} {_words(row['state'])}"
    columns = ("incident_id", "provider", "model", "scope", "state", "reason", "error_code")
    times = {name: _iso(row[name]) for name in ("opened_at", "closed_at")}
    values = {name: row[name] for name in columns}
    return {"event": event, **values, **times, "text": redact(text)}


def log(alert: Mapping[str, Any]) -> None:
    """One line in the log `toolkit.health`."""
    level = logging.WARNING if alert["event"] == "opened" else logging.INFO
    _log.log(level, "incident %s: %s [%s]", alert["event"], alert["text"], alert["scope"])


async def post(settings: Settings, alert: Mapping[str, Any]) -> None:
    """Post one event to the webhook, with the checks of base URLs and without redirects.

    A repeated delivery has the same `Idempotency-Key`.

    Raises:
        ToolkitError: the address is not allowed, there was no answer, or its status was not 2xx;
            the message contains the host only.
    """
    url = settings.health_webhook_url.get_secret_value()
    parts = urlsplit(url)
    local = parts.hostname in _LOOPBACK
    check_base_url(parts._replace(query="", fragment="").geturl(), local)
    headers = {"Idempotency-Key": f"{alert['incident_id']}-{alert['event']}"}
    try:
        async with open_http(settings, local=local) as http:
            answer = await http.post(url, json=dict(alert), headers=headers, timeout=_DEADLINE_S)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _failed(parts.hostname, type(error).__name__) from None
    except ToolkitError as error:
        raise _failed(parts.hostname, error.cause or error.code) from None
    if not answer.is_success:
        raise _failed(parts.hostname, f"it answered {answer.status_code}")


def _failed(host: str | None, why: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"webhook delivery to {host} failed ({why})",
        hint="It will be retried. Check the setting health_webhook_url.",
    )


def _words(state: str) -> str:
    return {"auth_error": "rejecting its key"}.get(state, state.replace("_", " "))


def _lasted(row: Mapping[str, Any]) -> str:
    minutes = (row["closed_at"] - row["opened_at"]).total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()
