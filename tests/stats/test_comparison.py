"""Comparisons of two runs: what a sampled mutant of the package got past the other tests."""

from __future__ import annotations

import math

import pytest

from toolkit.stats.comparison import compare_paired, flicker, smallest_share_difference


def test_without_repeats_the_flicker_is_not_known() -> None:
    found = flicker({"a": [1.0], "b": [0.0]})
    assert found.n == 0
    assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)


def test_the_detectable_difference_counts_one_more_pair_that_differs() -> None:
    a = {f"s{i}": [1.0] for i in range(400)}
    b = {name: [0.0 if index < 20 else 1.0] for index, name in enumerate(a)}
    found = compare_paired(a, b)
    assert (found.only_a, found.only_b) == (20, 0)
    assert found.smallest_detectable == pytest.approx(smallest_share_difference(400, 21 / 401))
    assert found.smallest_detectable != pytest.approx(smallest_share_difference(400, 22 / 401))


@pytest.mark.parametrize(("n", "only_a", "only_b"), [(12, 2, 1), (40, 5, 0), (400, 9, 20)])
def test_the_detectable_difference_is_that_of_the_share_of_pairs_that_differ(n, only_a, only_b):
    a = {f"s{i}": [1.0] for i in range(n)}
    b = {name: [0.0 if index < only_a else 1.0] for index, name in enumerate(a)}
    for index in range(only_a, only_a + only_b):
        a[f"s{index}"] = [0.0]
    found = compare_paired(a, b)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    expected = smallest_share_difference(n, (only_a + only_b + 1) / (n + 1))
    assert found.smallest_detectable == expected


def test_scores_beside_passes_and_fails_are_tested_by_flipped_signs() -> None:
    passes = {f"s{i}": [float(i % 2)] for i in range(8)}
    scores = {name: [0.1 * index] for index, name in enumerate(passes)}
    assert compare_paired(passes, scores).test == "sign flips"
    assert compare_paired(scores, passes).test == "sign flips"
