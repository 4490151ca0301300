"""Merge incidents found in evidence with stored ones, so that each incident is one row.

An incident keeps its row when later evidence changes its times or scope, also after a restart; a
closed row is not closed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from toolkit.health.analysis.incidents import Incident
from toolkit.health.analysis.outages import SEVERITY

Row = dict[str, Any]

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
