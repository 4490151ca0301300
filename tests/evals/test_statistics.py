"""Our statistics against scipy, against published examples, and by property."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.stats.comparison import (
    POINTS,
    bonett_price_interval,
    cohens_d,
    cohens_h,
    compare_paired,
    flicker,
    holm,
    mcnemar_exact,
    say_comparison,
    sign_flip_p,
)
from toolkit.stats.intervals import (
    FEW,
    SHARE,
    bootstrap_interval,
    mean_interval,
    sample_means,
    spread_interval,
    student_t,
)
from toolkit.stats.proportion import wilson_interval

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
    rng = np.random.default_rng(n)
    shown = [sign_flip_p(rng.normal(0, 0.2, n), resamples=2_000) <= 0.05 for _ in range(400)]
    assert np.mean(shown) <= 0.08


def test_one_sample_shows_nothing():
    result = compare_paired({"x": [0.2, 0.4]}, {"x": [0.9, 0.8]})
    assert result.p_value == 1.0
    assert say_comparison(result, "A", "B").endswith("(1 sample cannot show any difference)")


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


def test_a_difference_that_is_not_significant_says_what_could_have_been():
    few = compare_paired(passes(1, 0, 1, 0, 1), passes(1, 1, 1, 0, 1))
    assert few.smallest_detectable is None
    assert "not significant (5 samples cannot show any difference)" in say_comparison(few, "A", "B")
    many = compare_paired(passes(*[1, 0] * 20), passes(*[1, 0] * 19, 1, 1))
    assert "not significant (smallest detectable difference: " in say_comparison(many, "A", "B")


def test_a_difference_just_above_the_level_is_not_called_significant():
    result = compare_paired(passes(*[0] * 5, *[1] * 20), passes(*[1] * 25))
    assert result.p_value == pytest.approx(0.0625)
    assert "not significant" in say_comparison(result, "A", "B")
    shown = compare_paired(passes(*[0] * 6, *[1] * 20), passes(*[1] * 26))
    assert shown.p_value == pytest.approx(0.03125)
    assert "not significant" not in say_comparison(shown, "A", "B")


def test_bonett_and_prices_interval_by_hand():
    """7 and 1 discordant of 21 (Bentur et al. 2009): shares 8/23 and 2/23, so the difference is
    -6/23, its standard error sqrt((10/23 - 36/529) / 23) = 0.1263, and 1.96 of them 0.2475.
    """
    low, high = bonett_price_interval(7, 1, 21)
    assert (low, high) == pytest.approx((-0.5083, -0.0134), abs=5e-4)


def test_a_constant_difference_has_an_interval():
    result = compare_paired(
        {f"s{i}": [0.5] for i in range(10)}, {f"s{i}": [0.7] for i in range(10)}, within=POINTS
    )
    assert result.difference.low < 0.0 < 0.2 < result.difference.high
    slow = compare_paired({"a": [10.0], "b": [20.0]}, {"a": [15.0], "b": [25.0]})
    assert "no interval" in say_comparison(slow, "A", "B", unit="ms")


def test_a_share_of_none_or_all_ends_at_zero_or_one_exactly():
    for n in range(1, 500):
        assert wilson_interval(0, n)[0] == 0.0
        assert wilson_interval(n, n)[1] == 1.0


def test_flicker_needs_two_repeats():
    assert flicker({"a": [1, 0], "b": [1, 1]}).n == 2
    assert flicker({"a": [1]}).n == 0


def test_students_t_is_used_below_eight_values_and_the_bootstrap_from_there_on():
    values = np.random.default_rng(2).beta(2, 5, FEW)
    few = values[: FEW - 1]
    expected = stats.t.interval(0.95, FEW - 2, few.mean(), stats.sem(few))
    assert spread_interval(few) == pytest.approx(expected, rel=1e-4)
    assert spread_interval(values) == bootstrap_interval(values)


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


@given(st.one_of(st.integers(1, 60), st.integers(61, 50_000)))
def test_students_t_is_scipys(freedom):
    assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)


def skewed(rng, n):
    return rng.beta(2, 5, n), 2 / 7


def repeated(rng, n):
    """Shares of five repeats, samples of different difficulty."""
    return rng.binomial(5, rng.beta(2, 2, n)) / 5, 0.5


@pytest.mark.parametrize("n", [3, 5, FEW - 1, FEW, 12])
@pytest.mark.parametrize("draw", [skewed, repeated])
def test_an_interval_of_few_samples_holds_the_truth_about_as_often_as_it_says(draw, n):
    """95 % is said; the percentile bootstrap alone holds it in 73 % (n = 3) to 91 % (n = 12)."""
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(400):
        values, truth = draw(rng, n)
        low, high = spread_interval(values, within=SHARE)
        held += low <= truth <= high
    assert 0.91 <= held / 400 <= 0.99


@pytest.mark.parametrize("n", [5, 10, 20, 60])
@pytest.mark.parametrize("shares", [(0.3, 0.1), (0.05, 0.05), (0.4, 0.4)])
def test_an_interval_of_paired_shares_holds_the_truth_as_often_as_it_says(shares, n):
    only_a, only_b = shares
    rng = np.random.default_rng(n)
    drawn = rng.multinomial(n, (only_a, only_b, 1 - only_a - only_b), 2_000)
    bounds = [bonett_price_interval(int(a), int(b), n) for a, b, _ in drawn]
    held = np.mean([low <= only_b - only_a <= high for low, high in bounds])
    assert held >= 0.91


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_paired_shares_swapped_are_the_same_the_other_way_round(only_a, only_b, agreeing):
    n = only_a + only_b + agreeing
    low, high = bonett_price_interval(only_a, only_b, n)
    assert bonett_price_interval(only_b, only_a, n) == pytest.approx((-high, -low))
    assert -1 <= low < high <= 1


def test_pairs_that_all_agree_still_leave_room_for_a_difference():
    result = compare_paired(passes(1, 1, 1, 1, 1), passes(1, 1, 1, 1, 1))
    assert result.difference.low < -0.2 and result.difference.high > 0.2


def test_samples_that_pass_in_all_repeats_get_wilsons_interval_and_never_no_width():
    always = {f"s{i}": [1.0] * 5 for i in range(6)}
    found = mean_interval(always, within=SHARE)
    assert (found.low, found.high) == wilson_interval(6, 6)
    same = mean_interval({f"s{i}": [0.7] for i in range(3)}, within=SHARE)
    assert same.low < 0.4 and same.high > 0.85


def test_an_interval_of_scores_stays_where_scores_lie_and_that_of_a_measure_need_not():
    values = np.array([0.9, 1.0, 0.2])
    assert spread_interval(values, within=SHARE) == (0.0, 1.0)
    low, high = spread_interval(values)
    assert low < 0 and high > 1
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert spread_interval(values[:1], within=SHARE) == SHARE
    assert spread_interval(values[:1]) == (0.9, 0.9)
