"""Objectives: not enough data is said, and an alert needs two windows that agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.health.analysis.slo import (
    MIN_EVENTS,
    WINDOWS,
    Count,
    Objective,
    burn_rate,
    find_alert,
    judge_objective,
    objective_for,
)


def everywhere(good, total):
    return {name: Count(good, total) for name in WINDOWS}


def test_too_few_events_are_not_enough_data():
    told = judge_objective(Count(5, 10), everywhere(5, 10), 0.99)
    assert told["verdict"] == "not enough data"
    assert told["budget_left"] is None
    assert set(told["burn"].values()) == {None}
    assert told["share"] == 0.5


def test_nothing_at_all_has_no_share():
    told = judge_objective(Count(), {}, 0.99)
    assert (told["share"], told["low"], told["high"]) == (None, None, None)


def test_an_objective_that_holds_is_met():
    told = judge_objective(Count(9_995, 10_000), everywhere(9_995, 10_000), 0.99)
    assert told["verdict"] == "met"
    assert told["budget"] == pytest.approx(100)
    assert told["budget_left"] == pytest.approx(0.95)
    assert told["burn"]["1h"] == pytest.approx(0.05)


def test_an_overdrawn_budget_is_missed_and_fast_burning_at_risk():
    assert judge_objective(Count(980, 1000), {}, 0.99)["verdict"] == "missed"
    burning = judge_objective(Count(9_950, 10_000), everywhere(50, 100), 0.99)
    assert (burning["verdict"], burning["alert"]) == ("at_risk", "fast")


def test_a_burn_rate_of_one_uses_the_budget_up_exactly():
    assert burn_rate(Count(990, 1000), 0.99) == pytest.approx(1.0)


def test_both_windows_must_burn():
    calm = everywhere(100, 100)
    assert find_alert({**calm, "1h": Count(50, 100), "3d": Count(50, 100)}, 0.99) == "slow"
    assert find_alert({**calm, "1h": Count(50, 100), "5m": Count(50, 100)}, 0.99) == "fast"
    assert find_alert(calm, 0.99) is None


@given(st.integers(0, MIN_EVENTS - 1), st.integers(0, MIN_EVENTS - 1))
def test_few_events_never_alert(total, bad):
    good = max(total - bad, 0)
    assert find_alert(everywhere(good, total), 0.99) is None


@given(st.integers(1, 3000), st.floats(0.5, 0.999))
def test_all_good_is_never_at_risk(total, target):
    told = judge_objective(Count(total, total), everywhere(total, total), target)
    assert told["verdict"] in ("met", "not enough data")


def test_a_providers_own_table_wins_over_the_default_one():
    tables = {"default": {"ttft_ms": 900.0, "days": 7}, "acme": {"ttft_ms": 100.0}}
    assert objective_for("acme", tables) == Objective(ttft_ms=100.0, days=7)
    assert objective_for("other", tables) == Objective(ttft_ms=900.0, days=7)


@pytest.mark.parametrize("table", [{"latency": 1.0}, {"availability": 1.0}, {"ttft_share": 0.0}])
def test_a_table_that_makes_no_sense_is_refused(table):
    with pytest.raises(ValueError, match=next(iter(table))):
        objective_for("acme", {"acme": table})
