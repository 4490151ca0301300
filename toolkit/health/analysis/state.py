"""The state of a provider (or of one model) as a pure function over evidence.

`derive` folds evidence, oldest first, through `step`; `settle` lets time pass. Nothing here reads a
clock, a database or a socket, so tests can simulate a day in a millisecond.

The rules, each with its reason:
- only failures of the provider or the network count as bad: a wrong key, an empty account or an
invalid request do not show whether the provider works;
- down after three bad in a row (one lost packet is not an outage), up again after two good at
  least 30 s apart (one lucky answer is not a recovery);
- degraded when the Wilson lower bound of the error share over the last 20 outcomes passes 10 %,
  when half of them are slow, or while the state flaps;
- calls come first: while the last calls all failed, a provider whose free listing answers is
degraded, not healthy, because a listing proves neither generation nor the key;
- flapping by the scheme of Nagios and Naemon: the weighted share of changes among the last 21
  outcomes, on above 50 %, off below 25 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from toolkit.stats.proportion import wilson_interval

State = Literal["unknown", "healthy", "degraded", "down", "auth_error", "rate_limited", "paused"]
Outcome = Literal["good", "slow", "bad", "auth", "limited", "neutral"]

_COUNTS_AGAINST: Final = frozenset({"provider", "network"})
_AUTH_CODES: Final = frozenset({"AUTHENTICATION_FAILED"})
_LIMIT_CODES: Final = frozenset({"RATE_LIMIT_EXCEEDED", "QUOTA_EXCEEDED"})
_NEVER_ARRIVED: Final = ("REQUEST_FAILED", "TIMEOUT connect")
# A listing has one code for all its failures; the cause distinguishes them.
_LISTING_OUTCOMES: Final[Mapping[str, Outcome]] = {"auth": "auth", "rate_limited": "limited"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The thresholds of the states.

    Attributes:
        down_after: consecutive bad outcomes for `down`.
        down_apart_s: minimum seconds between the first and the last of those, for calls: calls that
            fail at the same moment count once.
        up_after: consecutive good outcomes that end it.
        up_apart_s: minimum seconds between the first and the last of those.
        window: number of outcomes for shares.
        window_s: maximum age of outcomes for shares, seconds.
        min_outcomes: minimum number of outcomes for shares.
        degraded_share: Wilson lower bound of the error share for `degraded`.
        slow_share: share of slow outcomes for `degraded`.
        flap_on, flap_off: weighted share of changes at which flapping begins and ends.
        calls_fail_after: consecutive failed calls that a good listing does not outweigh;
            `calls_fail_unproven` if no call was ever answered.
        stale_after_s: seconds without evidence after which the state is unknown.
        limited_for_s: duration of a rate limit if the provider gives none.
    """

    down_after: int = 3
    down_apart_s: float = 2.0
    up_after: int = 2
    up_apart_s: float = 30.0
    window: int = 20
    window_s: float = 6 * 3600.0
    min_outcomes: int = 5
    degraded_share: float = 0.10
    slow_share: float = 0.5
    calls_fail_after: int = 3
    calls_fail_unproven: int = 2
    flap_window: int = 21
    flap_on: float = 0.50
    flap_off: float = 0.25
    stale_after_s: float = 3600.0
    limited_for_s: float = 60.0


DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A real call or a probe.

    Attributes:
        evidence_id: id of the call or probe.
        at: when it ended, UTC.
        outcome: the outcome for the provider.
        reason: the error code and cause, or why it was good.
        until: for a rate limit, when it ends (UTC), if the provider gave a time.
        model: the called `provider/model_id`, if any.
        blame: whose fault a failure was.
        is_probe: whether it is a probe.
    """

    evidence_id: str
    at: datetime
    outcome: Outcome
    reason: str = ""
    until: datetime | None = None
    model: str | None = None
    blame: str | None = None
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A state with its reason, since when, and the evidence behind it.

    Attributes:
        state: see `State`.
        reason: why, as text.
        since: when this state began, UTC; None without any evidence.
        evidence: ids of the calls and probes behind the state, newest last.
        last_at: newest evidence of any kind, UTC.
        last_success_at: newest good outcome, UTC.
        is_flapping: whether outcomes alternate too often for single ones to count.
        until: end of a rate limit, UTC.
        recent: newest outcomes that count (good, slow, bad), oldest first, with their times.
        bad_run, good_run: length of the current run.
        bad_run_at, good_run_at: when that run began, UTC.
        failed_calls: calls that reached the provider and failed since the last good one.
        failed_call_at: the newest of those, UTC.
        answered_at: the newest call that was answered, UTC.
    """

    state: State = "unknown"
    reason: str = "no calls or probes yet"
    since: datetime | None = None
    evidence: tuple[str, ...] = ()
    last_at: datetime | None = None
    last_success_at: datetime | None = None
    is_flapping: bool = False
    until: datetime | None = None
    recent: tuple[tuple[datetime, Outcome, str], ...] = field(default=(), repr=False)
    bad_run: int = 0
    good_run: int = 0
    bad_run_at: datetime | None = None
    good_run_at: datetime | None = None
    failed_calls: int = 0
    failed_call_at: datetime | None = None
    answered_at: datetime | None = None


def judge_row(row: Mapping[str, Any], *, slow_ms: float | None = None) -> Outcome:
    """Classify a row of `calls` or `probes`.

    Args:
        row: needs `status`; reads `error_code`, `error_cause`, `blame`, `ttft_ms` and
            `duration_ms`.
        slow_ms: a good answer whose TTFT (else duration) is longer is `slow`.
    """
    if row["status"] == "ok":
        took_ms = row.get("ttft_ms") or row.get("duration_ms")
        return "slow" if slow_ms is not None and took_ms and took_ms > slow_ms else "good"
    if row["status"] != "error":
        return "neutral"
    if row.get("error_code") in _AUTH_CODES:
        return "auth"
    if row.get("error_code") in _LIMIT_CODES:
        return "limited"
    if row.get("error_code") == "FETCH_MODELS_FAILED":
        outcome = _LISTING_OUTCOMES.get(row.get("error_cause") or "")
        if outcome is not None:
            return outcome
    return "bad" if row.get("blame") in _COUNTS_AGAINST else "neutral"


def derive(evidence: Iterable[Evidence], now: datetime, rules: Rules = DEFAULT_RULES) -> Health:
    """The state at `now` from all evidence, oldest first."""
    health = Health()
    for item in evidence:
        health = step(health, item, rules)
    return settle(health, now, rules)


def step(health: Health, seen: Evidence, rules: Rules = DEFAULT_RULES) -> Health:
    """The state after one more piece of evidence. Late evidence counts when it arrives."""
    if seen.outcome == "neutral":
        return health
    at = max(seen.at, health.last_at or seen.at)
    health = settle(health, at, rules)
    health = replace(health, last_at=at)
    if seen.outcome == "auth":
        return _enter(health, "auth_error", seen.reason or "the API key was rejected", at, seen)
    if seen.outcome == "limited":
        until = seen.until or at + timedelta(seconds=rules.limited_for_s)
        limited = replace(health, until=max(until, health.until or until))
        return _enter(limited, "rate_limited", seen.reason or "too many requests", at, seen)
    return _count(health, seen, at, rules)


def settle(health: Health, now: datetime, rules: Rules = DEFAULT_RULES) -> Health:
    """The state after time has passed: limits end and evidence expires."""
    if health.state == "rate_limited" and health.until is not None and now >= health.until:
        ended = replace(health, until=None)
        health = replace(_judge(ended, ended.until or now, rules, ()), since=health.until)
    if health.last_at is None or health.state == "paused":
        return health
    silent_s = (now - health.last_at).total_seconds()
    if silent_s >= rules.stale_after_s:
        since = health.last_at + timedelta(seconds=rules.stale_after_s)
        if health.state == "unknown" and health.since is not None:
            since = health.since
        return Health(
            reason="no recent calls or probes",
            since=since,
            last_at=health.last_at,
            last_success_at=health.last_success_at,
        )
    return health


def pause(health: Health, now: datetime, reason: str) -> Health:
    """Suspend the evaluation, for example while this machine is offline."""
    if health.state == "paused":
        return health
    return replace(health, state="paused", reason=reason, since=now, evidence=())


def resume(health: Health, now: datetime, rules: Rules = DEFAULT_RULES) -> Health:
    """Resume with the evidence from before the suspension."""
    if health.state != "paused":
        return health
    return _judge(health, now, rules, ())


def _count(health: Health, seen: Evidence, at: datetime, rules: Rules) -> Health:
    is_bad = seen.outcome == "bad"
    kept = (*health.recent, (at, seen.outcome, seen.evidence_id))[-rules.flap_window :]
    counted = replace(
        health,
        recent=kept,
        bad_run=health.bad_run + 1 if is_bad else 0,
        good_run=0 if is_bad else health.good_run + 1,
        bad_run_at=(health.bad_run_at or at) if is_bad else None,
        good_run_at=None if is_bad else health.good_run_at or at,
        last_success_at=health.last_success_at if is_bad else at,
        is_flapping=_is_flapping(kept, health.is_flapping, rules),
    )
    return _judge(_count_call(counted, seen, at), at, rules, (seen,))


def _count_call(health: Health, seen: Evidence, at: datetime) -> Health:
    """Count consecutive failed calls; listings do not change the count.

    A call that did not reach the provider does not count: a good listing then proves that the fault
    is over.
    """
    is_listing = seen.is_probe and seen.model is None
    if is_listing or seen.reason.startswith(_NEVER_ARRIVED):
        return health
    if seen.outcome == "bad":
        return replace(health, failed_calls=health.failed_calls + 1, failed_call_at=at)
    return replace(health, failed_calls=0, failed_call_at=None, answered_at=at)


def _judge(health: Health, at: datetime, rules: Rules, seen: tuple[Evidence, ...]) -> Health:
    """Choose among healthy, degraded and down by the counted outcomes."""
    newest = seen[-1] if seen else None
    if _is_down(health, at, rules, newest):
        last = f", last: {newest.reason}" if newest and newest.reason else ""
        return _enter(health, "down", f"{health.bad_run} failures in a row{last}", at, newest)
    if health.state == "down" and not _has_recovered(health, at, rules):
        return health
    trouble = _why_degraded(health, at, rules) or _why_calls_fail(health, at, rules)
    if trouble:
        return _enter(health, "degraded", trouble, at, newest)
    if health.good_run or (health.recent and health.state in ("healthy", "degraded")):
        is_flawless = health.good_run and not health.failed_calls
        reason = "answers normally" if is_flawless else "answers, with occasional failures"
        return _enter(health, "healthy", reason, at, newest)
    if newest is not None:
        return health
    return _enter(health, "unknown", "no successful call or probe yet", at, newest)


def _is_down(health: Health, at: datetime, rules: Rules, newest: Evidence | None) -> bool:
    if health.bad_run < rules.down_after or health.bad_run_at is None:
        return False
    one_by_one = newest is not None and newest.is_probe  # probes of a provider never overlap
    return one_by_one or (at - health.bad_run_at).total_seconds() >= rules.down_apart_s


def _has_recovered(health: Health, at: datetime, rules: Rules) -> bool:
    if health.good_run < rules.up_after or health.good_run_at is None:
        return False
    return (at - health.good_run_at).total_seconds() >= rules.up_apart_s


def _why_degraded(health: Health, at: datetime, rules: Rules) -> str | None:
    """Why recent outcomes mean degraded, or None.

    After an outage its failures stay in the window; a run of `min_outcomes` successes overrides
    them.
    """
    if health.is_flapping:
        return "flapping: successes and failures alternate"
    oldest = at - timedelta(seconds=rules.window_s)
    outcomes = [kind for when, kind, _ in health.recent[-rules.window :] if when >= oldest]
    n = len(outcomes)
    if n < rules.min_outcomes:
        return None
    bad, slow = outcomes.count("bad"), outcomes.count("slow")
    if health.good_run < rules.min_outcomes and wilson_interval(bad, n)[0] > rules.degraded_share:
        return f"{bad} of the last {n} failed"
    if slow >= rules.slow_share * n:
        return f"{slow} of the last {n} were slow"
    return None


def _why_calls_fail(health: Health, at: datetime, rules: Rules) -> str | None:
    """Why a provider is degraded although its listing answers, or None if calls work."""
    oldest = at - timedelta(seconds=rules.window_s)
    if health.failed_call_at is None or health.failed_call_at < oldest:
        return None
    is_proven = health.answered_at is not None and health.answered_at >= oldest
    needed = rules.calls_fail_after if is_proven else rules.calls_fail_unproven
    if health.failed_calls < needed:
        return None
    return f"the last {health.failed_calls} calls failed, although it lists its models"


def _is_flapping(
    recent: tuple[tuple[datetime, Outcome, str], ...], was: bool, rules: Rules
) -> bool:
    """Weighted share of changes; newer changes weigh 1.2, the oldest 0.8 (Nagios' weights)."""
    if len(recent) < rules.flap_window:
        return False
    bad = [kind == "bad" for _, kind, _ in recent]
    steps = len(bad) - 1
    weights = [0.8 + 0.4 * i / (steps - 1) for i in range(steps)]
    changed = sum(w for w, a, b in zip(weights, bad, bad[1:], strict=False) if a != b)
    return changed / steps > (rules.flap_off if was else rules.flap_on)


def _enter(
    health: Health, state: State, reason: str, at: datetime, seen: Evidence | None
) -> Health:
    ids = (seen.evidence_id,) if seen else ()
    if state == health.state:
        return replace(health, reason=reason, evidence=(*health.evidence, *ids)[-5:])
    return replace(health, state=state, reason=reason, since=at, evidence=ids)
