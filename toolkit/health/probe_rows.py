"""Add the outcome and the states before and after to rows of `probes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolkit.health.analysis.state import Health, step
from toolkit.health.evidence import evidence_of, objective_of, rules_for
from toolkit.settings import Settings


def judge_rows(rows: Sequence[dict[str, Any]], before: Health, settings: Settings) -> Health:
    """Fill in `outcome`, `state`, `previous_state` and `reason` of rows, oldest first.

    Returns:
        The state after them.
    """
    rules = rules_for(settings)
    for row in rows:
        seen = {
            **row,
            "id": row["probe_id"],
            "seen_at": row["probed_at"],
            "duration_ms": row.get("latency_ms"),
            "is_probe": True,
        }
        evidence = evidence_of(seen, objective_of(row["provider"], settings))
        after = step(before, evidence, rules)
        row |= {
            "outcome": evidence.outcome,
            "state": after.state,
            "previous_state": before.state,
            "reason": after.reason,
        }
        before = after
    return before
