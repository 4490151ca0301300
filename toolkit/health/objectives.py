"""Service-level objectives measured on your own live calls; `analysis/slo.py` judges the counts."""

# ruff: noqa: S608 - columns and windows are constants, values are bound.

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.health.analysis.slo import WINDOWS, Count, Objective, Sli, judge_objective
from toolkit.health.evidence import objective_of
from toolkit.health.health_queries import BAD_SQL, GOOD_SQL

if TYPE_CHECKING:
    from toolkit.health.health_host import HealthHost

_WHOLE: Final = "whole"
_COUNTS: Final[Mapping[str, str]] = {
    "good": "is_good",
    "total": "is_good OR is_bad",
    "ttft_good": "is_good AND ttft_ms <= ?",
    "ttft_total": "is_good AND ttft_ms IS NOT NULL",
    "duration_good": "is_good AND duration_ms <= ?",
    "duration_total": "is_good AND duration_ms IS NOT NULL",
    "in_time": "is_good AND coalesce(ttft_ms, 0) <= ? AND coalesce(duration_ms, 0) <= ?",
}
"""Conditions counted in every window; `_thresholds` has the number of parameters of each."""


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
    row = _count(host, provider, objective, now)
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


def _count(
    host: HealthHost, provider: str, objective: Objective, now: datetime
) -> Mapping[str, Any]:
    spans = {_WHOLE: timedelta(days=objective.days), **WINDOWS}
    columns, params = list[str](), list[Any]()
    for window, width in spans.items():
        for name, condition in _COUNTS.items():
            columns.append(
                f"count(*) FILTER (({condition}) AND started_at >= ?) AS {name}_{window}"
            )
            params += [*_thresholds(name, objective), now - width]
    sql = (
        f"WITH seen AS (SELECT started_at, ttft_ms, duration_ms, {GOOD_SQL} AS is_good, "
        f"{BAD_SQL} AS is_bad FROM calls WHERE source = 'live' AND provider = ? "
        "AND origin IS DISTINCT FROM 'health' AND started_at >= ? AND started_at <= ?) "
        f"SELECT {', '.join(columns)} FROM seen"
    )
    since = now - max(spans.values())
    # The parameters of a common table expression come first in the text, and so in the list.
    return host.store.rows(sql, [provider, since, now, *params])[0]


def _thresholds(name: str, objective: Objective) -> list[float]:
    known = {
        "ttft_good": [objective.ttft_ms],
        "duration_good": [objective.duration_ms],
        "in_time": [objective.ttft_ms, objective.duration_ms],
    }
    return known.get(name, [])


def _counted(row: Mapping[str, Any], prefix: str, window: str) -> Count:
    return Count(row[f"{prefix}good_{window}"], row[f"{prefix}total_{window}"])
