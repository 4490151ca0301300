"""Service-level objectives: how many requests were answered, and in time; pure, over counts.

Availability is good / (good + failures of provider or network); failures caused by the client, the
key or a limit are excluded. Latency is the share under a threshold, not a mean. Burn rates
and their alerts follow the Google SRE workbook, chapter 5: two windows must agree. In addition a
minimum of events and the Wilson lower bound are required, so that three unlucky calls raise no
alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from toolkit.stats.proportion import wilson_interval

Sli = Literal["availability", "ttft", "duration"]
Verdict = Literal["met", "at_risk", "missed", "not enough data"]

MIN_EVENTS: Final = 20
"""Minimum number of events for a share."""

WINDOWS: Final[Mapping[str, timedelta]] = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "3d": timedelta(days=3),
}
"""Windows of burn rates."""

ALERTS: Final = (
    ("fast", 14.4, ("1h", "5m")),
    ("steady", 6.0, ("6h", "30m")),
    ("slow", 1.0, ("3d",)),
)
"""Name, burn rate, and the windows that must all exceed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The objectives of one provider.

    Attributes:
        availability: minimum share of answered requests.
        ttft_ms, ttft_share: this share of first tokens must arrive within `ttft_ms`.
        duration_ms, duration_share: the same for whole answers.
        days: number of days.
    """

    availability: float = 0.99
    ttft_ms: float = 5_000.0
    ttft_share: float = 0.95
    duration_ms: float = 60_000.0
    duration_share: float = 0.95
    days: float = 30.0


@dataclass(frozen=True, slots=True)
class Count:
    """Good and total events."""

    good: int = 0
    total: int = 0

    @property
    def bad(self) -> int:
        """The number of failures."""
        return self.total - self.good


def objective_for(
    provider: str, tables: Mapping[str, Mapping[str, float]], default: Objective | None = None
) -> Objective:
    """The objective of a provider: its own table, then `default`, then the built-in values.

    Raises:
        ValueError: a table has an unknown field, or a share that is not within (0, 1).
    """
    values = {
        **({} if default is None else _fields(default)),
        **tables.get("default", {}),
        **tables.get(provider, {}),
    }
    unknown = sorted(set(values) - set(_fields(Objective())))
    if unknown:
        raise ValueError(f"objectives have no field {', '.join(unknown)}")
    for name in ("availability", "ttft_share", "duration_share"):
        if name in values and not 0 < values[name] < 1:
            raise ValueError(f"{name} of {provider} is {values[name]}, which is not within 0 and 1")
    return Objective(**values)


def burn_rate(count: Count, target: float) -> float | None:
    """The burn rate of the error budget; None below `MIN_EVENTS`.

    1.0 uses it up exactly within the days of the objective.
    """
    if count.total < MIN_EVENTS:
        return None
    return (count.bad / count.total) / (1 - target)


def find_alert(counts: Mapping[str, Count], target: float) -> str | None:
    """The most urgent alert whose windows all agree, or None.

    A window agrees when it has `MIN_EVENTS` events and the Wilson lower bound of its share of
    failures is above the share that corresponds to its burn rate.
    """
    for name, rate, windows in ALERTS:
        if all(
            _burns(counts.get(window, Count()), min(rate * (1 - target), 1.0)) for window in windows
        ):
            return name
    return None


def judge_objective(whole: Count, windows: Mapping[str, Count], target: float) -> dict[str, Any]:
    """Evaluate one objective.

    Args:
        whole: counts over the days of the objective.
        windows: counts over `WINDOWS`.
        target: the required share.

    Returns:
        `verdict`, `target`, `good`, `total`, `share` with its Wilson interval `low` and `high`
        (None without events), `budget` (allowed failures), `budget_left`
        (share of it, negative when overdrawn; None below `MIN_EVENTS`), `burn` by window,
        and `alert`.
    """
    enough = whole.total >= MIN_EVENTS
    low, high = wilson_interval(whole.good, whole.total) if whole.total else (None, None)
    allowed = (1 - target) * whole.total
    left = 1 - whole.bad / allowed if enough else None
    alert = find_alert(windows, target)
    verdict: Verdict = "not enough data"
    if enough and left is not None:
        verdict = "missed" if left < 0 else "at_risk" if alert else "met"
    return {
        "verdict": verdict,
        "target": target,
        "good": whole.good,
        "total": whole.total,
        "share": whole.good / whole.total if whole.total else None,
        "low": low,
        "high": high,
        "budget": allowed,
        "budget_left": left,
        "burn": {name: burn_rate(windows.get(name, Count()), target) for name in WINDOWS},
        "alert": alert,
    }


def _burns(count: Count, share: float) -> bool:
    return count.total >= MIN_EVENTS and wilson_interval(count.bad, count.total)[0] > share


def _fields(objective: Objective) -> dict[str, float]:
    return {name: getattr(objective, name) for name in Objective.__slots__}
