"""The health overview: one row per provider in use, from calls, probes and rate-limit headers.

Percentiles, error rates and stalls are of your own live calls; probes are excluded. The state, the
last success and the uptime use both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.stats.proportion import wilson_interval
from toolkit.store.queries import health as ask
from toolkit.store.queries.health import read_headroom

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.health.health_host import HealthHost

WORST_FIRST: Final = (
    "down", "auth_error", "degraded", "rate_limited", "healthy", "unknown", "paused"
)  # fmt: skip
"""States, worst first."""

Days = list[tuple[date, float | None, int]]

_COUNTS: Final = (
    "calls_1d",
    "other_errors_1d",
    *(f"{what}_{name}" for name in ask.WINDOWS for what in ("errors", "n")),
    "stalled_1d",
    "watched_1d",
)
_LATENCIES: Final = tuple(
    f"{column.removesuffix('_ms')}_{what}"
    for column in ask.DURATIONS
    for what in ("n", "p50_ms", "p95_ms", "max_ms")
)
_HEADROOM: Final = {
    "requests_remaining": "ratelimit_remaining_requests",
    "requests_limit": "ratelimit_limit_requests",
    "requests_reset_s": "ratelimit_reset_requests_s",
    "tokens_remaining": "ratelimit_remaining_tokens",
    "tokens_limit": "ratelimit_limit_tokens",
    "tokens_reset_s": "ratelimit_reset_tokens_s",
    "headroom_seen_at": "seen_at",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Health at one point in time.

    Attributes:
        rows: see `read_overview`.
        strips: days by provider with evidence, see `uptime_days`.
    """

    rows: list[dict[str, Any]]
    strips: Mapping[str, Days]


def read_overview(host: HealthHost, now: datetime | None = None) -> list[dict[str, Any]]:
    """One row per provider in use, the worst first.

    Args:
        host: the owner of the providers.
        now: the reference time, UTC; None: now.

    Returns:
        The keys of `HealthService.status` (`provider`, `state`, `reason`, `since`, ...) and
        `calls_1d`: your attempts of the last day, and `other_errors_1d`: those that failed because
            of the caller, the key or a limit;
        `errors_5m`, `n_5m`, `error_rate_5m`, `error_low_5m`, `error_high_5m` (and `_30m`,
        `_1d`): failures of the provider, of n counted attempts, with the 95 % Wilson interval (None
        if n is 0);
        `stalled_1d` of `watched_1d` answers had a long silence;
        `ttft_n`, `ttft_p50_ms`, `ttft_p95_ms`, `ttft_max_ms` (and `duration_`): exact, over the
        answered calls of the last day; no p50 below 5 calls, no p95 below 20;
        `requests_remaining`, `requests_limit`, `tokens_remaining`, ..., `headroom_seen_at`: what
            the provider's newest answer reported as remaining;
        `uptime_good` of `uptime_n` pieces of evidence (calls and probes) within 90 days, and
        `uptime`: their share, None without any.

    Raises:
        StoreError: the database cannot be read.
    """
    return read_picture(host, now).rows


def read_picture(host: HealthHost, now: datetime | None = None) -> Picture:
    """The rows of `read_overview` with the days behind them, from one read of the database.

    Raises:
        StoreError: the database cannot be read.
    """
    now = now or datetime.now(UTC)
    states = host.health.status(now)
    last = {state["provider"]: state["last_success_at"] for state in states}
    with host.store.reading() as reader:
        calls = {row["provider"]: row for row in ask.day_of_calls(now).rows(reader)}
        days = ask.uptime(now).rows(reader)
        unknown = [name for name, at in last.items() if at is None]  # states look back for a day
        if (since := _newest_good_day(days, unknown)) is not None:
            for row in ask.last_successes(now, since).rows(reader):
                last[row["provider"]] = last.get(row["provider"]) or row["last_success_at"]
    headroom, uptimes = read_headroom(host.store, now), _totals(days)
    rows = [
        state
        | {"last_success_at": last[name]}
        | _of_calls(calls.get(name, {}))
        | _of_headroom(headroom.get(name, {}))
        | _of_uptime(*uptimes.get(name, (0, 0)))
        for state in states
        for name in (state["provider"],)
    ]
    rows.sort(key=lambda row: (rank(row["state"]), row["provider"]))
    return Picture(rows, uptime_days(days, now))


def overview_frame(host: HealthHost, now: datetime | None = None) -> pd.DataFrame:
    """`read_overview` as a DataFrame; it has all columns even without providers."""
    import pandas as pd

    rows = read_overview(host, now)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else list(EMPTY))


def uptime_days(
    rows: Sequence[Mapping[str, Any]], now: datetime, days: int = ask.DAYS
) -> dict[str, Days]:
    """The rows of `store.queries.health.uptime` as strips: every day by provider, oldest first.

    Returns:
        (UTC day, share of good evidence or None where there is none, pieces of evidence).
    """
    every = blank_days(now, days)
    seen: dict[str, dict[date, tuple[float, int]]] = {}
    for row in rows:
        seen.setdefault(row["provider"], {})[row["day"]] = (row["share"], row["n"])
    return {
        name: [(day, *of_day.get(day, (None, 0))) for day, _, _ in every]
        for name, of_day in seen.items()
    }


def blank_days(now: datetime, days: int = ask.DAYS) -> Days:
    """The days of a provider without evidence, oldest first."""
    first = ask.first_day(now, days).date()
    return [(first + timedelta(days=number), None, 0) for number in range(days)]


def rank(state: str) -> int:
    """The position of a state in `WORST_FIRST`; unknown states come first."""
    return WORST_FIRST.index(state) if state in WORST_FIRST else -1


def _newest_good_day(days: Sequence[Mapping[str, Any]], names: Sequence[str]) -> datetime | None:
    """A lower bound for the newest success of these providers, by the strips; None without any.

    The strips come from roll-ups, so that millions of calls need not be scanned.
    """
    newest = {row["provider"]: row["day"] for row in days if row["good"]}
    found = [newest[name] for name in names if name in newest]
    return datetime.combine(min(found), time.min, UTC) if found else None


def _of_calls(row: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: row.get(name) or 0 for name in _COUNTS}
    for name in ask.WINDOWS:
        bad, n = values[f"errors_{name}"], values[f"n_{name}"]
        low, high = wilson_interval(bad, n) if n else (None, None)
        values |= {
            f"error_rate_{name}": bad / n if n else None,
            f"error_low_{name}": low,
            f"error_high_{name}": high,
        }
    counts = {name: row.get(name) or 0 for name in _LATENCIES if name.endswith("_n")}
    return values | {name: row.get(name) for name in _LATENCIES} | counts


def _of_headroom(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(column) for name, column in _HEADROOM.items()}


def _of_uptime(good: int, n: int) -> dict[str, Any]:
    return {"uptime": good / n if n else None, "uptime_good": good, "uptime_n": n}


def _totals(days: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    totals: dict[str, tuple[int, int]] = {}
    for row in days:
        good, n = totals.get(row["provider"], (0, 0))
        totals[row["provider"]] = good + row["good"], n + row["n"]
    return totals


EMPTY: Final = (
    *("provider", "state", "reason", "since", "until", "last_success_at", "models_in_trouble"),
    *_of_calls({}),
    *_of_headroom({}),
    *_of_uptime(0, 0),
)
"""Columns of `overview_frame` that are always there."""
