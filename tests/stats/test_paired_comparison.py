"""Strengths from paired comparisons against a reference, and the gain of one more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.stats.paired_comparison import expected_gain, fit_pairs


def test_two_items_have_the_gap_that_makes_the_likelihood_flat() -> None:
    fit = fit_pairs([(0, 1)] * 100, [1.0] * 75 + [0.0] * 25, 2, virtual_games=1e-6)
    assert fit.level[0] - fit.level[1] == pytest.approx(math.log(3), abs=1e-4)
    # The variance of a log-odds is 1 / (n p q).
    assert fit.difference(0, 1)[1] == pytest.approx(math.sqrt(1 / (100 * 0.75 * 0.25)), rel=1e-3)


def test_an_item_without_a_comparison_keeps_its_level_and_a_wide_interval() -> None:
    fit = fit_pairs([(0, 1)] * 10, [1.0] * 10, 3)
    assert fit.level[2] == 0
    assert fit.covariance[2, 2] == pytest.approx(4.0)  # one half-won game: 1 / (0.5 * 0.5)


def test_the_gain_is_that_of_a_fine_sum() -> None:
    def entropy(p: float) -> float:
        return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))

    mean, sd, step = 0.7, 1.3, 0.001
    grid = [mean + sd * step * k for k in range(-8_000, 8_001)]
    weight = [math.exp(-(((d - mean) / sd) ** 2) / 2) for d in grid]
    chance = [1 / (1 + math.exp(-d)) for d in grid]
    total = sum(weight)
    average = sum(w * p for w, p in zip(weight, chance, strict=True)) / total
    inside = sum(w * entropy(p) for w, p in zip(weight, chance, strict=True)) / total
    assert expected_gain(mean, sd) == pytest.approx(entropy(average) - inside, abs=1e-6)


@given(st.floats(-6, 6), st.floats(0, 4))
def test_a_gain_is_between_nothing_and_one_bit_and_the_same_for_both_sides(
    mean: float, sd: float
) -> None:
    gain = expected_gain(mean, sd)
    assert 0 <= gain <= 1
    assert gain == pytest.approx(expected_gain(-mean, sd), abs=1e-9)


def test_what_is_known_exactly_tells_nothing() -> None:
    assert expected_gain(1.0, 0.0) == pytest.approx(0, abs=1e-12)
