"""A backtest gives what a simulation of the policy itself gives, and says what it cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import toolkit as tk
from tests.servers import MockProvider
from toolkit.errors import InvalidInput
from toolkit.health import policy_backtest
from toolkit.health.policy_backtest import Policy, backtest

A, B = "one/a", "two/b"


def _real(model: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """How long attempts really take, seconds, and whether they are answered: the known truth."""
    if model == A:  # fast, with a slow tail and some failures
        slow = rng.random(n) < 0.1
        seconds = np.where(slow, rng.exponential(8.0, n) + 4, rng.gamma(4.0, 0.25, n))
        return seconds, rng.random(n) > 0.03
    return rng.gamma(9.0, 0.2, n), rng.random(n) > 0.01


def _recorded(n: int, seed: int, limit_s: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frames = []
    for model, price in ((A, 0.001), (B, 0.004)):
        seconds, is_ok = _real(model, n, rng)
        is_cut = np.zeros(n, bool) if limit_s is None else seconds > limit_s
        frames.append(
            pd.DataFrame(
                {
                    "model": model,
                    "source": "live",
                    "status": np.where(is_ok & ~is_cut, "ok", "error"),
                    "error_code": np.where(
                        is_cut, "TIMEOUT", np.where(is_ok, None, "SERVER_ERROR")
                    ),
                    "blame": np.where(is_ok & ~is_cut, None, "provider"),
                    "duration_ms": 1000 * np.minimum(seconds, limit_s or np.inf),
                    "cost_usd": price,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _truth(policy: Policy, hedge_s: float | None = None) -> tuple[float, float, float]:
    """p95 of answered requests, error rate and cost, request by request."""
    n, rng = 80_000, np.random.default_rng(99)
    limit = policy.timeout_s or np.inf
    times, costs, failures = [], 0.0, 0
    a_s, a_ok = _real(policy.model, n, rng)
    b_s, b_ok = _real(policy.fallback or policy.model, n, rng)
    price = {A: 0.001, B: 0.004}
    has_second = policy.fallback is not None or hedge_s is not None
    for i in range(n):
        good_a, end_a = a_ok[i] and a_s[i] <= limit, min(a_s[i], limit)
        costs += price[policy.model]
        start = None
        if has_second:
            if hedge_s is not None and end_a > hedge_s:
                start = hedge_s
            elif not good_a:
                start = end_a
        ends = [end_a] if good_a else []
        if start is not None:
            costs += price[policy.fallback or policy.model]
            if b_ok[i] and b_s[i] <= limit:
                ends.append(start + b_s[i])
        if ends:
            times.append(min(ends))
        else:
            failures += 1
    return float(np.quantile(times, 0.95)), failures / n, costs / n


@pytest.mark.parametrize(
    "policy",
    [
        Policy(model=A),
        Policy(model=A, timeout_s=3.0),
        Policy(model=A, timeout_s=3.0, fallback=B),
        Policy(model=A, fallback=B, hedge_after_s=2.0),
        Policy(model=A, hedge_after_s=2.0, timeout_s=5.0),
    ],
    ids=str,
)
def test_a_backtest_finds_the_truth(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 20)
    (found,) = backtest(policy, _recorded(20_000, seed=3)).outcomes
    hedge_s = policy.hedge_after_s if isinstance(policy.hedge_after_s, float) else None
    p95, errors, cost = _truth(policy, hedge_s)
    assert found.p95_s.value == pytest.approx(p95, rel=0.04)
    assert found.error_rate.value == pytest.approx(errors, abs=0.004)
    assert found.cost_usd is not None and found.cost_usd.value == pytest.approx(cost, rel=0.02)
    assert found.p95_s.low < found.p95_s.value < found.p95_s.high
    assert found.unknown_share == 0


def test_a_shorter_time_out_than_the_recorded_one_is_known_and_a_longer_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 20)
    recorded = _recorded(5_000, seed=4, limit_s=6.0)
    shorter, longer = backtest(
        [Policy(model=A, timeout_s=3.0, fallback=B), Policy(model=A, timeout_s=20.0)], recorded
    ).outcomes
    p95, errors, _ = _truth(shorter.policy)
    assert shorter.p95_s.value == pytest.approx(p95, rel=0.06)
    assert shorter.error_rate.value == pytest.approx(errors, abs=0.004)
    assert shorter.unknown_share == 0 and shorter.cut_off > 0
    assert longer.unknown_share > 0.05
    assert any("do not say" in note for note in backtest(longer.policy, recorded).notes)


def test_the_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 80)
    monkeypatch.setattr(policy_backtest, "REQUESTS", 1_000)
    monkeypatch.setattr(policy_backtest, "POINT_REQUESTS", 4_000)
    policy = Policy(model=A, timeout_s=3.0, fallback=B)
    p95, errors, _ = _truth(policy)
    hits = np.zeros(2)
    for seed in range(40):
        (found,) = backtest(policy, _recorded(300, seed=100 + seed)).outcomes
        hits += [
            found.p95_s.low <= p95 <= found.p95_s.high,
            found.error_rate.low <= errors <= found.error_rate.high,
        ]
    assert (hits / 40 >= 0.8).all(), hits / 40


def test_percentile_hedges_and_unpriced_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 20)
    recorded = _recorded(2_000, seed=5).drop(columns="cost_usd")
    (found,) = backtest(Policy(model=A, hedge_after_s="p95"), recorded).outcomes
    assert found.cost_usd is None and 0.04 < found.second_attempts < 0.12
    shown = backtest(Policy(model=A, hedge_after_s="p95"), recorded)
    assert "hedged after p95" in shown._repr_html_() and "unknown" in shown._repr_html_()
    assert list(shown.frame().policy) == ["one/a, hedged after p95"]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(model="no/such"),
        Policy(model=A, fallback="no/such"),
        Policy(model=A, timeout_s=0),
        Policy(model=A, hedge_after_s="95"),
        Policy(model=A, hedge_after_s="p0"),
        Policy(model=A, hedge_after_s=-1.0),
    ],
)
def test_what_makes_no_sense_is_refused(policy: Policy) -> None:
    with pytest.raises(InvalidInput):
        backtest(policy, _recorded(50, seed=6))


def test_recorded_and_clients_own_failures_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 20)
    recorded = _recorded(200, seed=7)
    odd = recorded.iloc[[0, 1]].assign(
        status="error", blame=["client", None], source=["live", "replay"], duration_ms=1.0
    )
    both = pd.concat([recorded, odd], ignore_index=True)
    assert (
        backtest(Policy(model=A), both).outcomes[0].error_rate
        == backtest(Policy(model=A), recorded).outcomes[0].error_rate
    )


def test_the_public_form_reads_live_user_calls_of_the_home(home, monkeypatch) -> None:
    monkeypatch.setattr(policy_backtest, "RESAMPLES", 20)
    with MockProvider() as server:
        tk.providers.add("mock", base_url=server.base_url, local=True, test=False)
        for _ in range(5):
            tk.complete("mock/a", "Hi")
        found = tk.backtest(tk.Policy(model="mock/a", hedge_after_s="p50"))
    assert found.outcomes[0].attempts == 5
    errors = found.outcomes[0].error_rate
    assert errors.value == 0 and 0.05 < errors.high < 0.5, "five answers do not prove that all come"
    assert any("only 5 attempts" in note for note in found.notes)
