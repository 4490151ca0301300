"""Power of the exact tests: what a number of samples can and cannot show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from toolkit.stats.comparison import (
    mcnemar_power,
    sign_flip_p,
    smallest_share_difference,
    smallest_shift,
)
from toolkit.stats.intervals import spread_interval, student_t


def brute_force_power(n, difference, discordance):
    """The sum over all counts of pairs, with scipy's binomial test."""
    only_b, only_a = (discordance + difference) / 2, (discordance - difference) / 2
    total = 0.0
    for b in range(n + 1):
        for a in range(n + 1 - b):
            if a + b and stats.binomtest(a, a + b, 0.5).pvalue <= 0.05:
                total += stats.multinomial.pmf(
                    [b, a, n - a - b], n, [only_b, only_a, 1 - only_a - only_b]
                )
    return total


@pytest.mark.parametrize("case", [(6, 0.5, 0.6), (12, 0.3, 0.4), (20, 0.28, 0.35)])
def test_the_power_is_the_exact_tests_own(case):
    assert mcnemar_power(*case) == pytest.approx(brute_force_power(*case), abs=1e-9)


@pytest.mark.parametrize("n", range(1, 6))
def test_five_samples_or_fewer_can_never_show_anything(n):
    assert smallest_share_difference(n, 0.5) is None
    assert smallest_shift(np.arange(float(n))) is None


@pytest.mark.parametrize("n", [6, 10, 20, 100, 250])
def test_the_smallest_difference_is_shown_in_eighty_percent_and_a_smaller_one_is_not(n):
    found = smallest_share_difference(n, 0.3)
    assert mcnemar_power(n, found, 0.3) >= 0.8
    assert mcnemar_power(n, found * 0.9, 0.3) < 0.8


def test_the_approximation_for_many_samples_continues_the_exact_figures():
    exact, near = smallest_share_difference(400, 0.2), smallest_share_difference(401, 0.2)
    assert near == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("n", [8, 14, 60])
def test_a_shift_of_that_size_is_shown_in_eighty_percent_of_simulations(n):
    from toolkit.stats.comparison import sign_flip_p

    rng = np.random.default_rng(7)
    values = rng.normal(0, 1, n)
    shift = smallest_shift((values - values.mean()) / values.std(ddof=1))
    shown = [sign_flip_p(rng.normal(shift, 1, n), resamples=999) <= 0.05 for _ in range(600)]
    assert 0.74 <= np.mean(shown) <= 0.87


@pytest.mark.parametrize("n", [11, 12, 15, 20, 60])
def test_above_ten_pairs_the_smallest_shift_has_the_power_of_the_t_test(n):
    differences = np.random.default_rng(n).normal(size=n)
    effect = smallest_shift(differences) / differences.std(ddof=1)
    critical = stats.t.ppf(0.975, n - 1)
    power = 1 - stats.nct.cdf(critical, n - 1, effect * np.sqrt(n))
    assert power == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize("n", [7, 10])
def test_up_to_ten_pairs_the_smallest_shift_has_the_power_of_flipped_signs(n):
    differences = np.random.default_rng(n).normal(size=n)
    effect = smallest_shift(differences) / differences.std(ddof=1)
    draws = np.random.default_rng(99).normal(size=(300, n)) + effect
    assert np.mean([sign_flip_p(draw) <= 0.05 for draw in draws]) == pytest.approx(0.8, abs=0.06)


def test_students_t_is_exact_up_to_thirty_degrees_of_freedom_and_close_above():
    assert student_t(30) == pytest.approx(stats.t.ppf(0.975, 30), abs=1e-9)
    for freedom, error in ((31, 2e-6), (40, 1e-6), (100, 1e-7)):
        assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=error)


def test_an_interval_is_one_of_95_percent_unless_another_is_wanted():
    few = np.array([0.2, 0.3, 0.9])
    many = np.linspace(0.1, 0.9, 20)
    for values in (few, many):
        assert spread_interval(values) == spread_interval(values, confidence=0.95)
        assert spread_interval(values) != spread_interval(values, confidence=0.9)
