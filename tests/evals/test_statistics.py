"""Our statistics against scipy, against published examples, and by property."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.evals.statistics import (
    bootstrap_interval,
    cohens_d,
    cohens_h,
    compare_paired,
    flicker,
    holm,
    mcnemar_exact,
    mean_interval,
    power_for,
    sample_means,
    say_comparison,
    sign_flip_p,
    smallest_detectable,
    wilson_interval,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def passes(*values):
    return {f"s{i}": [float(v)] for i, v in enumerate(values)}


@given(counts)
def test_wilson_is_scipys(case):
    successes, n = case
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test(only_a, only_b):
    n = only_a + only_b
    expected = 1.0 if n == 0 else stats.binomtest(only_a, n, 0.5).pvalue
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_of_the_airway_example():
    """Bentur et al. 2009 as in Fagerland et al. 2013: 1 and 7 discordant pairs, p = 0.070."""
    assert mcnemar_exact(1, 7) == pytest.approx(0.0703, abs=5e-5)


def test_holms_own_steps():
    """p = .01, .04, .03, .005 at four tests gives .03, .06, .06, .02 (Holm 1979's procedure)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    by_p = [adjusted[i] for i in np.argsort(p_values, kind="stable")]
    assert by_p == sorted(by_p)


def test_cohens_h_of_his_own_example():
    """Cohen 1988, table 6.2.2: shares .50 and .25 lie .524 apart."""
    assert abs(cohens_h(0.25, 0.50)) == pytest.approx(0.524, abs=5e-4)


def test_the_bootstrap_interval_is_scipys_within_its_noise():
    values = np.random.default_rng(3).normal(0.4, 0.2, 150)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000
    ).confidence_interval
    ours = bootstrap_interval(values)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_flipped_signs_are_near_the_t_test_where_there_are_many():
    differences = np.random.default_rng(5).normal(0.05, 0.2, 120)
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected, abs=0.02)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=9))
def test_flipped_signs_are_exact_where_there_are_few(tenths):
    differences = np.array(tenths) / 10
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(differences) == pytest.approx(min(1.0, expected), abs=1e-9)


@pytest.mark.parametrize("n", [1, 3, 5, 8, 15, 20])
def test_no_more_is_shown_by_chance_than_the_level_allows(n):
    """A bootstrap of the mean shows a difference by chance in 12 % of cases of five samples."""
    dice = np.random.default_rng(n)
    shown = [sign_flip_p(dice.normal(0, 0.2, n), resamples=2_000) <= 0.05 for _ in range(400)]
    assert np.mean(shown) <= 0.08


def test_one_sample_shows_nothing():
    result = compare_paired({"x": [0.2, 0.4]}, {"x": [0.9, 0.8]})
    assert result.p_value == 1.0
    assert say_comparison(result, "A", "B").endswith("not shown (one sample shows nothing)")


def test_power_is_the_z_tests():
    assert power_for(63, 0.25, 0.7) == pytest.approx(0.808, abs=0.002)
    differences = np.random.default_rng(1).normal(0, 0.5, 100)
    found = smallest_detectable(differences)
    spread = differences.std(ddof=1)
    assert power_for(100, found, spread) == pytest.approx(0.8, abs=1e-3)


def test_the_same_data_gives_the_same_interval():
    scores = {f"s{i}": [i / 10, i / 11] for i in range(10)}
    assert mean_interval(scores) == mean_interval(scores)


def test_repeats_of_a_sample_are_no_new_samples():
    """A hundred repeats of ten samples say as little as ten samples do."""
    once = {f"s{i}": [float(i % 2)] for i in range(10)}
    often = {sample: values * 100 for sample, values in once.items()}
    wide, narrow = mean_interval(once), mean_interval(often)
    assert narrow.n == 10
    assert narrow.high - narrow.low > 0.8 * (wide.high - wide.low)


def test_a_paired_comparison_in_words():
    a = passes(*[0] * 30 + [1] * 70)
    b = passes(*[1] * 25 + [0] * 5 + [1] * 65 + [0] * 5)
    result = compare_paired(a, b)
    assert (result.only_a, result.only_b) == (5, 25)
    assert result.p_value == pytest.approx(stats.binomtest(5, 30, 0.5).pvalue)
    words = say_comparison(result, "A", "B")
    assert words.startswith("B is better by 20.0 points [")
    assert words.endswith("100 samples")


def test_a_difference_that_is_not_shown_says_so():
    result = compare_paired(passes(1, 0, 1, 0, 1), passes(1, 1, 1, 0, 1))
    assert "not shown (smallest change this could see:" in say_comparison(result, "A", "B")


def test_only_shared_samples_are_compared():
    result = compare_paired({"x": [1.0], "y": [0.0]}, {"y": [1.0], "z": [1.0]})
    assert result.difference.n == 1
    with pytest.raises(ValueError, match="in common"):
        compare_paired({"x": [1.0]}, {"y": [1.0]})


def test_graded_scores_are_tested_by_flipped_signs():
    a = {f"s{i}": [0.5 + i / 100] for i in range(20)}
    b = {f"s{i}": [0.6 + i / 90] for i in range(20)}
    result = compare_paired(a, b)
    assert result.test == "sign flips"
    assert result.only_a is None
    assert result.difference.low > 0
    assert result.p_value < 0.01


@given(st.dictionaries(st.text(max_size=4), st.lists(st.floats(0, 1), max_size=4), max_size=8))
def test_intervals_hold_their_estimate(scores):
    result = mean_interval(scores)
    if result.n:
        assert result.low - 1e-9 <= result.value <= result.high + 1e-9
    else:
        assert math.isnan(result.value)
    assert result.n == len(sample_means(scores))


def test_flicker_counts_samples_whose_repeats_disagree():
    result = flicker({"a": [1, 1, 1], "b": [1, 0, 1], "c": [1]})
    assert (result.value, result.n) == (0.5, 2)


def test_differences_that_are_all_equal():
    assert cohens_d(np.array([0.0, 0.0])) == 0.0
    assert cohens_d(np.array([0.5, 0.5])) == math.inf
    assert sign_flip_p(np.zeros(10)) == 1.0
