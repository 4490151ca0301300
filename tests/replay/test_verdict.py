"""Verdicts against the accepted baseline, and what the statistics can and cannot show."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.replay.regression.baseline import Accepted
from toolkit.replay.regression.case_attempt import CaseAttempt
from toolkit.replay.regression.case_checks import parse_check
from toolkit.replay.regression.case_runner import CaseRun
from toolkit.replay.regression.suite import Case
from toolkit.replay.regression.verdict import (
    compare_with_baseline,
    find_smallest_visible,
    fisher_less,
    judge_run,
)

CASE = Case(
    name="one",
    messages=({"role": "user", "content": "x"},),
    models=("p/m",),
    checks=(parse_check({"exact": "x"}),),
)


def run(passes: int, n: int, *, errors: int = 0, name: str = "one") -> CaseRun:
    case = Case(name=name, messages=CASE.messages, models=CASE.models, checks=CASE.checks)
    trials = [CaseAttempt(passed=place < passes) for place in range(n)]
    trials += [CaseAttempt(passed=None, error_code="TIMEOUT", error_message="late")] * errors
    return CaseRun(case=case, model="p/m", trials=tuple(trials))


def accepted(passes: int, n: int) -> Accepted:
    return Accepted(
        passes=passes, repeats=n, shown="x", prompt="", accepted_at="2026-01-01T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ((1, 1), (1, 1), "pass"),
        ((0, 1), (0, 1), "pass"),
        ((1, 1), (0, 1), "regressed"),
        ((0, 1), (1, 1), "fixed"),
        ((5, 5), (5, 5), "pass"),
        ((5, 5), (0, 5), "regressed"),
        ((5, 5), (4, 5), "flaky"),
        ((5, 5), (1, 5), "regressed"),
        ((0, 5), (4, 5), "fixed"),
        ((0, 5), (1, 5), "flaky"),
        ((3, 5), (2, 5), "flaky"),
        ((3, 5), (5, 5), "pass"),
        ((3, 5), (0, 5), "flaky"),
        ((9, 10), (1, 10), "regressed"),
    ],
)
def test_the_verdict_compares_with_what_was_accepted(before, now, verdict):
    assert judge_run(run(*now), accepted(*before), alpha=0.05).verdict == verdict


def test_without_a_baseline_a_case_is_new_and_fails_only_if_its_checks_do():
    good, bad = judge_run(run(1, 1), None, alpha=0.05), judge_run(run(0, 1), None, alpha=0.05)
    assert (good.verdict, good.is_failing) == ("new", False)
    assert (bad.verdict, bad.is_failing) == ("new", True)


def test_what_could_not_be_judged_is_an_error_and_no_regression():
    verdict = judge_run(run(0, 0, errors=3), accepted(5, 5), alpha=0.05)
    assert (verdict.verdict, verdict.reason) == ("error", "TIMEOUT: late")
    assert judge_run(run(2, 2, errors=1), accepted(3, 3), alpha=0.05).verdict == "pass"


def test_a_case_accepted_as_failing_says_so():
    assert judge_run(run(0, 1), accepted(0, 1), alpha=0.05).reason.startswith("fails as accepted")


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_fishers_test_is_the_hypergeometric_tail(n, m, data):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    total = sum(
        comb(n, k) * comb(m, a + b - k) for k in range(n + 1) if 0 <= a + b - k <= m and k <= a
    )
    assert fisher_less(a, n, b, m) == pytest.approx(total / comb(n + m, a + b))
    assert fisher_less(a, n, b, m) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("cases", "alpha", "expected"),
    [(150, 0.05, 0.04), (6, 0.05, 1.0), (5, 0.05, None), (8, 0.01, 1.0), (7, 0.01, None)],
)
def test_the_smallest_visible_change_is_what_an_exact_test_can_call_real(cases, alpha, expected):
    found = find_smallest_visible(cases, alpha)
    assert found == expected
    if found is not None:
        changed = round(found * cases)
        assert 2 * 0.5**changed <= alpha < 2 * 0.5 ** (changed - 1)


def test_ten_regressed_of_forty_are_shown_and_one_is_not():
    names = [f"c{n}" for n in range(40)]
    baseline = {(name, "p/m"): accepted(1, 1) for name in names}
    for broken, shown in ((10, True), (1, False)):
        runs = [run(0 if n < broken else 1, 1, name=name) for n, name in enumerate(names)]
        found = compare_with_baseline(runs, baseline, alpha=0.05)
        assert found is not None
        assert (found.test, found.cases) == ("McNemar", 40)
        assert found.difference == pytest.approx(-broken / 40)
        assert found.p_value == pytest.approx(min(1.0, 2 * 0.5**broken))
        assert (found.p_value < 0.05) is shown
        assert (found.high < 0) is shown


def test_repeats_are_compared_by_flipped_signs_over_cases():
    names = [f"c{n}" for n in range(30)]
    baseline = {(name, "p/m"): accepted(4, 5) for name in names}
    runs = [run(2, 5, name=name) for name in names]
    found = compare_with_baseline(runs, baseline, alpha=0.05)
    assert found is not None
    assert found.test == "sign flips"
    assert found.difference == pytest.approx(-0.4)


def test_nothing_to_compare_is_no_comparison():
    assert compare_with_baseline([run(1, 1)], {}, alpha=0.05) is None
    assert (
        compare_with_baseline([run(0, 0, errors=1)], {("one", "p/m"): accepted(1, 1)}, alpha=0.05)
        is None
    )
