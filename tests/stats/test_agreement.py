"""Cohen's kappa and pass@k against worked examples and by enumeration."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from toolkit.stats.agreement import cohens_kappa, pass_at_k


def ratings(*counted):
    """Two raters from (first's rating, second's rating, how often)."""
    pairs = [(a, b) for a, b, count in counted for _ in range(count)]
    first = {str(i): a for i, (a, _) in enumerate(pairs)}
    return first, {str(i): b for i, (_, b) in enumerate(pairs)}


def test_kappa_of_the_grant_example():
    """50 proposals; both say yes to 20 and no to 15: observed 0.7, by chance 0.5, kappa 0.4."""
    found = cohens_kappa(*ratings(("y", "y", 20), ("y", "n", 5), ("n", "y", 10), ("n", "n", 15)))
    assert found.kappa == pytest.approx(0.40, abs=1e-9)
    assert found.observed == pytest.approx(0.7)
    assert (found.low, found.high, found.n) == (
        pytest.approx(0.151, abs=1e-3), pytest.approx(0.649, abs=1e-3), 50
    )  # fmt: skip


def test_kappa_of_three_categories_is_its_definition():
    shares = ((0.25, 0.13, 0.12), (0.12, 0.02, 0.16), (0.03, 0.15, 0.02))
    counts = [(i, j, round(shares[i][j] * 200)) for i in range(3) for j in range(3)]
    n = sum(count for *_, count in counts)
    rows = [sum(c for i, _, c in counts if i == k) / n for k in range(3)]
    columns = [sum(c for _, j, c in counts if j == k) / n for k in range(3)]
    observed = sum(c for i, j, c in counts if i == j) / n
    chance = sum(r * c for r, c in zip(rows, columns, strict=True))
    found = cohens_kappa(*ratings(*counts))
    assert found.kappa == pytest.approx((observed - chance) / (1 - chance))


def test_near_ratings_count_partly_with_weights():
    pair = ratings((1, 1, 5), (2, 3, 5), (5, 5, 5))
    plain, linear, quadratic = (
        cohens_kappa(*pair, weights=w).kappa for w in ("none", "linear", "quadratic")
    )
    assert plain < linear < quadratic < 1


def test_raters_who_never_differ_and_never_vary_have_no_kappa():
    found = cohens_kappa({"a": 1, "b": 1}, {"a": 1, "b": 1})
    assert math.isnan(found.kappa)
    assert found.observed == 1
    with pytest.raises(ValueError, match="no item in common"):
        cohens_kappa({"a": 1}, {"b": 1})


@pytest.mark.parametrize(("right", "n", "k"), [(2, 5, 2), (0, 4, 3), (3, 6, 4), (5, 5, 1)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(right, n, k):
    tries = [True] * right + [False] * (n - right)
    draws = [any(draw) for draw in combinations(tries, k)]
    assert pass_at_k(tries, k) == pytest.approx(sum(draws) / len(draws))


def test_pass_at_k_needs_k_tries():
    assert math.isnan(pass_at_k([True], 2))
