"""Agreement of two raters, and the chance that one of k tries is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, nan, sqrt
from statistics import NormalDist
from typing import Literal

Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two raters agree.

    Attributes:
        kappa: Cohen's kappa: 1 is full agreement, 0 what chance alone gives; NaN where both
            always give the same rating, so that chance explains everything.
        low, high: its 95 % interval.
        observed: share of items that they rate alike (weighted where there are weights).
        n: items that both rated.
    """

    kappa: float
    low: float
    high: float
    observed: float
    n: int


def cohens_kappa(
    first: Mapping[str, Hashable], second: Mapping[str, Hashable], *, weights: Weights = "none"
) -> Agreement:
    """Agreement of two raters over the items that both rated, corrected for chance.

    Source: Cohen 1960; weighted for ordered ratings, Cohen 1968; the variance of Fleiss, Cohen &
    Everitt 1969.

    Args:
        first, second: ratings by item.
        weights: `linear` or `quadratic` for ratings that are numbers, where near ones count partly.

    Raises:
        ValueError: they have no item in common.
    """
    shared = sorted(first.keys() & second.keys())
    n = len(shared)
    if n == 0:
        raise ValueError("the two raters have no item in common")
    pairs = Counter((first[item], second[item]) for item in shared)
    ratings = _in_order({rating for pair in pairs for rating in pair})
    table = [[pairs[row, column] / n for column in ratings] for row in ratings]
    size = range(len(ratings))
    rows = [sum(table[i]) for i in size]
    columns = [sum(table[i][j] for i in size) for j in size]
    weight = _weights(ratings, weights)
    observed = sum(weight[i][j] * table[i][j] for i in size for j in size)
    chance = sum(weight[i][j] * rows[i] * columns[j] for i in size for j in size)
    if chance >= 1:
        return Agreement(nan, nan, nan, observed, n)
    kappa = (observed - chance) / (1 - chance)
    by_row = [sum(columns[j] * weight[i][j] for j in size) for i in size]
    by_column = [sum(rows[i] * weight[i][j] for i in size) for j in size]
    variance = (
        sum(
            table[i][j] * (weight[i][j] - (by_row[i] + by_column[j]) * (1 - kappa)) ** 2
            for i in size
            for j in size
        )
        - (kappa - chance * (1 - kappa)) ** 2
    )
    reach = NormalDist().inv_cdf(0.975) * sqrt(max(variance, 0.0) / n) / (1 - chance)
    return Agreement(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach), observed, n)


def pass_at_k(tries: Sequence[bool], k: int) -> float:
    """The chance that at least one of k tries passes, from n >= k tries; NaN with fewer.

    The unbiased estimate 1 - C(n - c, k) / C(n, k) of Chen et al. 2021, eq. 1.
    """
    n, right = len(tries), sum(map(bool, tries))
    if k < 1 or n < k:
        return nan
    return 1 - comb(n - right, k) / comb(n, k)


def _in_order(ratings: set[Hashable]) -> list[Hashable]:
    try:
        return sorted(ratings)  # type: ignore[type-var]
    except TypeError:
        return sorted(ratings, key=str)


def _weights(ratings: Sequence[Hashable], kind: Weights) -> list[list[float]]:
    """What an agreement on each pair of ratings counts, from 0 to 1."""
    if kind == "none":
        return [[float(a == b) for b in ratings] for a in ratings]
    values = [float(rating) for rating in ratings]  # type: ignore[arg-type]
    width = max(values) - min(values) or 1.0
    power = 1 if kind == "linear" else 2
    return [[1 - (abs(a - b) / width) ** power for b in values] for a in values]
