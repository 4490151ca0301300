"""Service-level objectives measured on your own live calls; `analysis/slo.py` judges the counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.health.analysis.slo import WINDOWS, Count, Sli, judge_objective
from toolkit.health.evidence import objective_of
from toolkit.store.queries.health_evidence import objective_counts

if TYPE_CHECKING:
    from toolkit.health.health_host import HealthHost

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
