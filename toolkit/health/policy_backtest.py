"""What another policy would have done: recorded attempts, played again under other rules.

A request under a policy is put together from recorded attempts: one of the primary model and, where
the policy asks for it, one of the fallback, drawn independently. Attempts that were cut off
(time-outs, cancelled ones) enter through the Kaplan-Meier estimate, and the uncertainty is that of
the bootstrap over attempts (Efron & Tibshirani 1993, ch. 13). Hedged requests are those of Dean &
Barroso 2013, "The tail at scale".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from toolkit.display import Card, Shown
from toolkit.errors import InvalidInput
from toolkit.stats.intervals import Interval
from toolkit.stats.proportion import wilson_interval
from toolkit.stats.survival import Survival, kaplan_meier

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = ("model", "status", "error_code", "duration_ms")
"""Columns that a table of attempts must have; `blame`, `source` and `cost_usd` are used too."""

RESAMPLES: Final = 400
REQUESTS: Final = 4_000
POINT_REQUESTS: Final = 100_000
SEED: Final = 20_260_101
FEW: Final = 40
"""With fewer attempts than these a 95th percentile rests on one or two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules by which a request is sent.

    Attributes:
        model: `provider/model_id` that is called first.
        timeout_s: when an attempt is given up, seconds; None: never.
        fallback: `provider/model_id` that is called when an attempt failed or was given up.
        hedge_after_s: when a second attempt is started beside the first, seconds; the first
            answer counts. `"p95"` or another percentile: that of the recorded durations of `model`.
            The second attempt goes to `fallback`, or to `model` itself where there is none.
        name: for people; None: it is described.
    """

    model: str
    timeout_s: float | None = None
    fallback: str | None = None
    hedge_after_s: float | str | None = None
    name: str | None = None

    def __str__(self) -> str:
        if self.name:
            return self.name
        parts = [self.model]
        if self.timeout_s is not None:
            parts.append(f"time-out {self.timeout_s:g} s")
        if self.hedge_after_s is not None:
            after = self.hedge_after_s
            parts.append(f"hedged after {after if isinstance(after, str) else f'{after:g} s'}")
        if self.fallback is not None:
            parts.append(f"then {self.fallback}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """What a policy would have come to, each figure with a 95 % interval.

    Attributes:
        policy: the policy.
        p50_s, p95_s: duration of answered requests, seconds.
        error_rate: share of requests without an answer.
        cost_usd: mean cost per request; an attempt that is given up counts with the cost of the
            whole answer, the most that it may cost. None: no attempt has a known cost.
        second_attempts: share of requests that needed a second attempt.
        attempts: recorded attempts of the models behind it; `cut_off` of them did not end.
        unknown_share: share of requests for which the records do not say: the attempt was cut off
            earlier than the policy would have done. They are counted as failed.
    """

    policy: Policy
    p50_s: Interval
    p95_s: Interval
    error_rate: Interval
    cost_usd: Interval | None
    second_attempts: float
    attempts: int
    cut_off: int
    unknown_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest(Shown):
    """Policies over the same recorded attempts.

    Attributes:
        outcomes: one per policy, in the order given.
        notes: what the figures leave out, in sentences.
    """

    outcomes: tuple[PolicyOutcome, ...]
    notes: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row per policy; `*_low` and `*_high` are 95 % intervals."""
        import pandas as pd

        return pd.DataFrame([_row_of(outcome) for outcome in self.outcomes])

    def _card(self) -> Card:
        return Card(
            title="What other policies would have done",
            rows=[
                {
                    "policy": str(found.policy),
                    "p50 s": _with_interval(found.p50_s),
                    "p95 s": _with_interval(found.p95_s),
                    "errors": _with_interval(found.error_rate, percent=True),
                    "USD per request": _with_interval(found.cost_usd),
                    "second attempts": f"{100 * found.second_attempts:.1f} %",
                }
                for found in self.outcomes
            ],
            notes=self.notes,
        )


def backtest(policies: Policy | Sequence[Policy], attempts: pd.DataFrame) -> Backtest:
    """Play recorded attempts again under other policies; nothing is sent.

    Args:
        policies: one policy or several.
        attempts: rows of `calls`: at least the `COLUMNS`.

    Raises:
        InvalidInput: a policy makes no sense, a column is missing, or a model has no attempt that
            ended.
    """
    wanted = require_policies(policies)
    missing = [name for name in COLUMNS if name not in attempts]
    if missing or not wanted:
        raise InvalidInput(
            f"the attempts have no column {', '.join(missing)}" if missing else "no policy given",
            hint="Give rows of `calls`, for example tk.calls().",
        )
    models = dict.fromkeys(
        model for policy in wanted for model in (policy.model, policy.fallback) if model
    )
    recorded = {model: _Attempts.of(attempts, model) for model in models}
    outcomes = tuple(_judge(policy, recorded) for policy in wanted)
    return Backtest(outcomes=outcomes, notes=tuple(_notes(recorded, outcomes)))


def require_policies(policies: Policy | Sequence[Policy]) -> tuple[Policy, ...]:
    """One policy or several as a tuple.

    Raises:
        InvalidInput: something else is among them.
    """
    wanted = (policies,) if isinstance(policies, Policy) else tuple(policies)
    for policy in wanted:
        if not isinstance(policy, Policy):
            raise InvalidInput(
                f"a policy is a {type(policy).__name__}",
                hint="Use tk.Policy(model=...), or a list of them.",
            )
    return wanted


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The recorded attempts of one model: seconds, whether each ended and answered, its cost."""

    seconds: np.ndarray
    is_ended: np.ndarray
    is_ok: np.ndarray
    cost_usd: np.ndarray
    left_out: int = 0

    @classmethod
    def of(cls, frame: pd.DataFrame, model: str) -> _Attempts:
        rows = frame[frame["model"] == model]
        if "source" in rows:
            rows = rows[rows["source"] == "live"]
        if "blame" in rows:  # a request that is wrong itself fails under every policy
            rows = rows[rows["blame"].isna() | (rows["blame"] != "client")]
        timed = rows[rows["duration_ms"].notna()]
        is_ok = (timed["status"] == "ok").to_numpy(bool)
        is_cut = (timed["status"] == "cancelled") | (timed["error_code"] == "TIMEOUT")
        is_ended = ~is_cut.fillna(False).to_numpy(bool)
        if not is_ended.any():
            raise InvalidInput(
                f"there is no recorded attempt of {model} that ended",
                hint="Call it first; health probes and replayed calls do not count.",
            )
        cost = timed.get("cost_usd")
        return cls(
            seconds=timed["duration_ms"].to_numpy(float) / 1000,
            is_ended=is_ended,
            is_ok=is_ok & is_ended,
            cost_usd=np.full(len(timed), np.nan) if cost is None else cost.to_numpy(float),
            left_out=len(rows) - len(timed),
        )

    def resampled(self, rng: np.random.Generator) -> _Attempts:
        chosen = rng.integers(0, len(self.seconds), len(self.seconds))
        return _Attempts(
            self.seconds[chosen], self.is_ended[chosen], self.is_ok[chosen], self.cost_usd[chosen]
        )

    def survival(self) -> Survival:
        return kaplan_meier(self.seconds, self.is_ended)

    def draw(self, count: int, timeout_s: float | None, rng: np.random.Generator) -> _Drawn:
        """Draw attempts by their Kaplan-Meier mass and give up those longer than the time-out."""
        found = self.survival()
        # Evenly spaced points in random order: the spread is that of the data, not of the draw.
        points = (rng.permutation(count) + rng.random()) / count
        at = np.searchsorted(np.cumsum(found.mass), points, side="right")
        is_beyond = at >= len(found.order)
        if is_beyond.any() and found.rest < 1e-9:  # rounding
            at, is_beyond = np.minimum(at, _last_ended(found)), np.zeros(count, bool)
        index = found.order[np.minimum(at, len(found.order) - 1)]
        limit = np.inf if timeout_s is None else timeout_s
        seconds = self.seconds[index]
        is_given_up = (seconds > limit) | (is_beyond & (seconds >= limit))
        return _Drawn(
            seconds=np.minimum(seconds, limit),
            is_ok=self.is_ok[index] & ~is_beyond & ~is_given_up,
            cost_usd=self.cost_usd[index],
            is_unknown=is_beyond & ~is_given_up,
        )


@dataclass(frozen=True, slots=True)
class _Drawn:
    seconds: np.ndarray
    is_ok: np.ndarray
    cost_usd: np.ndarray
    is_unknown: np.ndarray


def _last_ended(found: Survival) -> int:
    return int(np.flatnonzero(found.mass)[-1])


_Figures = tuple[float, float, float, float, float, float]


def _judge(policy: Policy, recorded: dict[str, _Attempts]) -> PolicyOutcome:
    first = recorded[policy.model]
    has_second = policy.fallback is not None or policy.hedge_after_s is not None
    second = recorded[policy.fallback or policy.model] if has_second else None
    hedge_s = _hedge_of(policy, first)
    if policy.timeout_s is not None and not policy.timeout_s > 0:
        raise InvalidInput(f"timeout_s must be above 0, not {policy.timeout_s!r}")
    rng = np.random.default_rng(SEED)
    point = _play(policy, hedge_s, first, second, POINT_REQUESTS, rng)
    resampled = []
    for _ in range(RESAMPLES):
        one = first.resampled(rng)
        other = one if second is first else second and second.resampled(rng)
        resampled.append(_play(policy, hedge_s, one, other, REQUESTS, rng))
    spread = np.array(resampled)
    pool = [first] if second is None or second is first else [first, second]
    attempts = sum(len(one.seconds) for one in pool)

    def interval(at: int) -> Interval:
        values = spread[:, at][np.isfinite(spread[:, at])]
        low, high = np.quantile(values, (0.025, 0.975)) if len(values) else (np.nan, np.nan)
        return Interval(point[at], float(low), float(high), attempts)

    return PolicyOutcome(
        policy=policy,
        p50_s=interval(0),
        p95_s=interval(1),
        error_rate=_at_least_wilson(interval(2), second or first, point[4] if second else 1.0),
        cost_usd=interval(3) if np.isfinite(point[3]) else None,
        second_attempts=point[4],
        attempts=attempts,
        cut_off=sum(int((~one.is_ended).sum()) for one in pool),
        unknown_share=point[5],
    )


def _at_least_wilson(rate: Interval, last: _Attempts, share: float) -> Interval:
    """Widen the interval of a rate of 0: no failure in 40 attempts does not mean that none comes.

    A bootstrap of attempts without a failure has none either. The upper bound is then that of the
    model whose attempt is the last (Wilson 1927), times the share of requests that get there.
    """
    if rate.value > 0:
        return rate
    high = share * wilson_interval(0, len(last.seconds))[1]
    return Interval(rate.value, 0.0, max(rate.high, high), rate.n)


def _play(
    policy: Policy,
    hedge_s: float | None,
    first: _Attempts,
    second: _Attempts | None,
    count: int,
    rng: np.random.Generator,
) -> _Figures:
    """Send so many requests under a policy.

    Returns:
        Median and 95th percentile of answered requests (s), error rate, mean cost (USD), share
        with a second attempt, share for which the records do not say.
    """
    a = first.draw(count, policy.timeout_s, rng)
    seconds, is_ok, cost, is_unknown = a.seconds, a.is_ok, a.cost_usd, a.is_unknown
    is_second = np.zeros(count, bool)
    if second is not None:
        b = second.draw(count, policy.timeout_s, rng)
        start = a.seconds if hedge_s is None else np.minimum(a.seconds, hedge_s)
        is_second = ~a.is_ok if hedge_s is None else ~a.is_ok | (a.seconds > hedge_s)
        a_end = np.where(a.is_ok, a.seconds, np.inf)
        b_end = np.where(b.is_ok & is_second, start + b.seconds, np.inf)
        answered = np.minimum(a_end, b_end)
        is_ok = np.isfinite(answered)
        failed_at = np.maximum(a.seconds, np.where(is_second, start + b.seconds, 0.0))
        seconds = np.where(is_ok, answered, failed_at)
        cost = a.cost_usd + np.where(is_second, b.cost_usd, 0.0)
        is_unknown = ~is_ok & (a.is_unknown | (b.is_unknown & is_second))
    known = cost[np.isfinite(cost)]
    p50, p95 = np.quantile(seconds[is_ok], (0.5, 0.95)) if is_ok.any() else (np.nan, np.nan)
    return (
        float(p50),
        float(p95),
        float(1 - is_ok.mean()),
        float(known.mean()) if len(known) else float("nan"),
        float(is_second.mean()),
        float(is_unknown.mean()),
    )


def _hedge_of(policy: Policy, first: _Attempts) -> float | None:
    """When the second attempt starts, seconds."""
    after = policy.hedge_after_s
    if after is None:
        return None
    if not isinstance(after, str):
        if not after > 0:
            raise InvalidInput(f"hedge_after_s must be above 0, not {after!r}")
        return float(after)
    digits = after.removeprefix("p")
    if after == digits or not digits.isdigit() or not 0 < int(digits) < 100:
        raise InvalidInput(f"{after!r} is not a percentile", hint="Write 'p95', or seconds.")
    return first.survival().quantile(first.seconds, int(digits) / 100)


def _notes(recorded: dict[str, _Attempts], outcomes: Sequence[PolicyOutcome]) -> list[str]:
    notes = ["Attempts are drawn independently: an outage that two providers share is not seen."]
    for model, own in recorded.items():
        if len(own.seconds) < FEW:
            notes.append(f"{model} has only {len(own.seconds)} attempts; its p95 is a guess.")
        if own.left_out:
            notes.append(f"{own.left_out} attempts of {model} have no duration and are left out.")
    notes += [
        f"{found.policy}: for {100 * found.unknown_share:.1f} % of the requests the records do not"
        " say, because attempts were cut off earlier; they count as failed."
        for found in outcomes
        if found.unknown_share >= 0.0005
    ]
    return notes


def _row_of(found: PolicyOutcome) -> dict[str, object]:
    row: dict[str, object] = {"policy": str(found.policy)}
    for name in ("p50_s", "p95_s", "error_rate", "cost_usd"):
        figure: Interval | None = getattr(found, name)
        row[name] = None if figure is None else figure.value
        row[f"{name}_low"] = None if figure is None else figure.low
        row[f"{name}_high"] = None if figure is None else figure.high
    return row | {
        "second_attempts": found.second_attempts,
        "attempts": found.attempts,
        "cut_off": found.cut_off,
        "unknown_share": found.unknown_share,
    }


def _with_interval(figure: Interval | None, *, percent: bool = False) -> str:
    if figure is None:
        return "unknown"
    factor, unit = (100, " %") if percent else (1, "")
    value, low, high = (factor * x for x in (figure.value, figure.low, figure.high))
    return f"{value:.3g}{unit} ({low:.3g} to {high:.3g})"
