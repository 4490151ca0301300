"""The figures of a load test, computed from the rows of its calls and from nothing else.

A run that is read again later therefore has the same figures as when it was printed. Latency counts
from the scheduled time, so that a request which had to wait for a slow server is not left out
("coordinated omission").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from toolkit.load_test.load_config import LoadStep, LoadTestConfig, Objectives
from toolkit.stats.intervals import spread_interval
from toolkit.store.queries.percentiles import QUANTILES, min_calls, percentile_name

Row = Mapping[str, Any]
Figures = dict[str, Any]
Phase = Literal["warmup", "measured"]

STEP_TAG: Final = "step"
REPEAT_TAG: Final = "repeat"
PHASE_TAG: Final = "phase"
SCHEDULED_TAG: Final = "scheduled_at"

LATENCIES: Final = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms", "start_delay_ms")
"""The latencies of every step, in the order of tables."""
WITH_INTERVALS: Final = (
    *("requests_per_s", "output_tokens_per_s", "goodput_per_s", "error_rate"),
    *("ttft_p50_ms", "ttft_p95_ms", "tpot_p50_ms", "e2e_p50_ms", "e2e_p95_ms"),
)
_LEAST_GAIN: Final = 1.05
_MOST_STRETCH: Final = 1.1
_MOST_GROWTH: Final = 1.5
_ENOUGH_FOR_TREND: Final = 12
_MOST_ERRORS: Final = 0.5
_LATE_MS: Final = 50.0
_PACED_MS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One request of a load test; times in milliseconds, None where they are not known.

    Attributes:
        step, repeat, phase: what it belongs to.
        scheduled_at, ended_at: when it was due, and when its answer was over.
        status, error_code: how it ended.
        start_delay_ms: from the scheduled time until it was sent: waiting for a free slot or a
            rate limit, connecting, and the work of this process.
        ttft_ms, e2e_ms: first token and end of the answer, counted from the scheduled time.
        tpot_ms: mean time between two output tokens.
        gaps_ms: times between two chunks of the answer (ITL).
        input_tokens, output_tokens: as the provider counted them.
        cost_usd: what it cost.
        queue_ms: how long the toolkit's own rate limiter held it back.
        loop_lag_ms: how late the event loop of this process was at worst.
        call_id: its row in `calls`.
    """

    step: int
    repeat: int
    phase: Phase
    scheduled_at: datetime
    ended_at: datetime
    status: str
    error_code: str | None
    start_delay_ms: float
    ttft_ms: float | None
    e2e_ms: float
    tpot_ms: float | None
    gaps_ms: tuple[float, ...]
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    queue_ms: float
    loop_lag_ms: float | None
    call_id: str

    @property
    def is_ok(self) -> bool:
        """Whether it was answered."""
        return self.status == "ok"

    def meets(self, objectives: Objectives) -> bool:
        """Whether it was answered within every objective; an unknown time is a miss."""
        values = {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2e": self.e2e_ms}
        return self.is_ok and all(
            (value := values[name]) is not None and value <= limit
            for name, limit in objectives.items()
        )


def measure_row(row: Row) -> Measurement:
    """The measurements of one row of `calls`.

    `started_at` is when the attempt began; connecting and this process's own work come before the
    moment from which `ttft_ms` and `duration_ms` of the row count.
    """
    tags = row["tags"] or {}
    scheduled_at = datetime.fromisoformat(tags[SCHEDULED_TAG])
    waited_ms = (row["started_at"] - scheduled_at) / timedelta(milliseconds=1)
    before_ms = (row["connect_ms"] or 0.0) + (row["overhead_ms"] or 0.0)
    delay_ms = max(waited_ms, 0.0) + before_ms
    e2e_ms = delay_ms + (row["duration_ms"] or 0.0)
    offsets = row["chunk_offsets_us"]
    return Measurement(
        step=int(tags[STEP_TAG]),
        repeat=int(tags[REPEAT_TAG]),
        phase="warmup" if tags[PHASE_TAG] == "warmup" else "measured",
        scheduled_at=scheduled_at,
        ended_at=scheduled_at + timedelta(milliseconds=e2e_ms),
        status=row["status"],
        error_code=row["error_code"],
        start_delay_ms=delay_ms,
        ttft_ms=None if row["ttft_ms"] is None else delay_ms + row["ttft_ms"],
        e2e_ms=e2e_ms,
        tpot_ms=row["tpot_ms"],
        gaps_ms=tuple((b - a) / 1000 for a, b in pairwise(offsets)) if offsets is not None else (),
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_usd=row["cost_usd"],
        queue_ms=row["queue_ms"] or 0.0,
        loop_lag_ms=row["loop_lag_ms"],
        call_id=row["call_id"],
    )


def count_phase(found: Sequence[Measurement], objectives: Objectives) -> Figures:
    """The figures of requests that belong together, one step of one repeat; without warm-up.

    Rates are over the time from the first scheduled request to the last end of one. Latencies are
    of answered requests; an error has its own count and no latency.
    """
    kept = [one for one in found if one.phase == "measured"]
    answered = [one for one in kept if one.is_ok]
    errors = Counter(one.error_code or "unknown" for one in kept if one.status == "error")
    ended = len(answered) + errors.total()
    duration_s = _span_s(kept)
    good = sum(one.meets(objectives) for one in answered)
    costs = [one.cost_usd for one in found if one.cost_usd is not None]
    figures: Figures = {
        "requests": len(kept),
        "ok": len(answered),
        "errors": errors.total(),
        "cancelled": sum(one.status == "cancelled" for one in kept),
        "error_codes": dict(errors.most_common()),
        "error_rate": errors.total() / ended if ended else None,
        "duration_s": duration_s,
        "requests_per_s": _per_s(len(answered), duration_s),
        "output_tokens_per_s": _per_s(_total(answered, "output_tokens"), duration_s),
        "input_tokens_mean": _mean(one.input_tokens for one in answered),
        "output_tokens_mean": _mean(one.output_tokens for one in answered),
        "goodput_per_s": _per_s(good, duration_s) if objectives else None,
        "goodput_share": good / ended if objectives and ended else None,
        "cost_usd": float(sum(costs, Decimal(0))) if costs else None,
        "paced": sum(one.queue_ms >= _PACED_MS for one in kept),
        "paced_max_ms": max((one.queue_ms for one in kept), default=0.0),
        "loop_lag_max_ms": max((one.loop_lag_ms or 0.0 for one in kept), default=None),
    }
    for name in LATENCIES:
        figures |= spread(name, _values(answered, name))
    return figures


def summarize_steps(
    config: LoadTestConfig, found: Sequence[Measurement], repeats: int
) -> list[Figures]:
    """The figures of every step that sent something, over all its repeats.

    Latencies are over the requests of all repeats together; rates are means of the repeats. With
    two repeats or more, `intervals` has 95 % confidence intervals over them.
    """
    rows = []
    for step in config.steps:
        own = [one for one in found if one.step == step.number]
        if not own:
            continue
        parts = [
            count_phase([one for one in own if one.repeat == repeat], config.objectives)
            for repeat in range(1, repeats + 1)
        ]
        parts = [part for part in parts if part["requests"]]
        figures = count_phase(own, config.objectives)
        if parts:
            figures["duration_s"] = sum(part["duration_s"] or 0.0 for part in parts)
            for name in ("requests_per_s", "output_tokens_per_s", "goodput_per_s"):
                figures[name] = _mean(part[name] for part in parts)
        figures["repeats"] = len(parts)
        figures["intervals"] = _intervals(parts)
        rows.append(_labels(step) | figures)
    return rows


def find_saturation(config: LoadTestConfig, rows: Sequence[Figures], trends: Trends) -> Figures:
    """The first step at which the server had no more to give, and how that shows; else empty."""
    before: Figures | None = None
    for row in rows:
        reason = _why_saturated(row, before, trends.get(int(row["step"])))
        if reason:
            return {"step": row["step"], "label": row["label"], "reason": reason}
        before = row
    return {}


Trends = Mapping[int, tuple[float, float]]
"""By step: how much longer the ends took than the schedule, and how much the latency grew."""


def find_trends(found: Sequence[Measurement]) -> Trends:
    """Signs of a queue that grows, of each step with enough answers; the worst of its repeats."""
    trends: dict[int, tuple[float, float]] = {}
    parts: dict[tuple[int, int], list[Measurement]] = {}
    for one in found:
        if one.phase == "measured" and one.is_ok:
            parts.setdefault((one.step, one.repeat), []).append(one)
    for (step, _), own in parts.items():
        if len(own) < _ENOUGH_FOR_TREND:
            continue
        own.sort(key=lambda one: one.scheduled_at)
        third = len(own) // 3
        first, last = (float(np.median([o.e2e_ms for o in p])) for p in (own[:third], own[-third:]))
        arrived = (own[-1].scheduled_at - own[0].scheduled_at).total_seconds()
        ends = [one.ended_at for one in own]
        ended = (max(ends) - min(ends)).total_seconds()
        found_here = (ended / arrived if arrived > 0 else 1.0, last / first if first > 0 else 1.0)
        trends[step] = max(trends.get(step, found_here), found_here)
    return trends


def _why_saturated(
    row: Figures, before: Figures | None, trend: tuple[float, float] | None
) -> str | None:
    rate = row["error_rate"]
    if rate is not None and rate > _MOST_ERRORS:
        return f"{rate:.0%} of the requests failed"
    if row["loop"] == "open":
        if trend is not None and trend[0] > _MOST_STRETCH and trend[1] > _MOST_GROWTH:
            return (
                f"the answers took {trend[0]:.2g} times as long as the schedule, and latency "
                f"grew {trend[1]:.2g} times during the step"
            )
        return None
    now, earlier = row["requests_per_s"], before["requests_per_s"] if before else None
    if now and earlier and row["target"] > before["target"] and now < earlier * _LEAST_GAIN:  # type: ignore[index]
        return f"{now:.3g} requests/s, after {earlier:.3g} with fewer in flight"
    return None


def late_start(rows: Sequence[Figures]) -> float | None:
    """The largest p95 (or maximum) of the start delay, where it is worth a warning."""
    delays = [row["start_delay_p95_ms"] or row["start_delay_max_ms"] or 0.0 for row in rows]
    worst = max(delays, default=0.0)
    return worst if worst >= _LATE_MS else None


def spread(name: str, values: Sequence[float]) -> Figures:
    """Mean, percentiles (only with enough values), maximum and n of one latency."""
    array = np.array(values, dtype=float)
    stem = name.removesuffix("_ms")
    figures: Figures = {f"{stem}_mean_ms": float(array.mean()) if len(array) else None}
    for quantile in QUANTILES:
        has_enough = len(array) >= min_calls(quantile)
        figures[percentile_name(name, quantile)] = (
            float(np.quantile(array, quantile)) if has_enough else None
        )
    figures[f"{stem}_max_ms"] = float(array.max()) if len(array) else None
    figures[f"{stem}_n"] = len(array)
    return figures


def _values(found: Iterable[Measurement], name: str) -> list[float]:
    if name == "itl_ms":
        return [gap for one in found for gap in one.gaps_ms]
    return [value for one in found if (value := getattr(one, name)) is not None]


def _labels(step: LoadStep) -> Figures:
    return {
        "step": step.number,
        "loop": step.loop,
        "target": step.target,
        "label": step.label,
        "warmup": step.warmup,
    }


def _intervals(parts: Sequence[Figures]) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for name in WITH_INTERVALS:
        values = [part[name] for part in parts if part[name] is not None]
        if len(values) >= 2:
            low, high = spread_interval(np.array(values, dtype=float), within=(0.0, np.inf))
            found[name] = {"mean": float(np.mean(values)), "low": low, "high": high}
    return found


def _span_s(found: Sequence[Measurement]) -> float | None:
    if not found:
        return None
    began = min(one.scheduled_at for one in found)
    return (max(one.ended_at for one in found) - began).total_seconds()


def _per_s(amount: float | None, duration_s: float | None) -> float | None:
    return None if amount is None or not duration_s else amount / duration_s


def _total(found: Sequence[Measurement], name: str) -> int | None:
    """A sum of tokens; None where the provider counted for none of the answers."""
    known = [value for one in found if (value := getattr(one, name)) is not None]
    return sum(known) if known or not found else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
