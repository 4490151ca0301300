"""Intervals of a mean: over independent samples, honest where there are few of them.

Repeats of one sample are not independent, so each sample's mean is taken first. Randomness comes
from a fixed seed, so the same data gives the same interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import atan, cos, inf, pi, sin, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from toolkit.stats.proportion import wilson_interval

_NORMAL: Final = NormalDist()
RESAMPLES: Final = 10_000
SEED: Final = 20_260_101
FEW: Final = 8
"""With fewer samples than these a resample repeats itself too often, and Student's t is taken."""
Scores = Mapping[str, Sequence[float]]
"""Scores of each repeat, by sample id."""
Bounds = tuple[float, float]
_EXACT_FREEDOM: Final = 30
SHARE: Final[Bounds] = (0.0, 1.0)
"""Where scores lie; a measure has no such bounds."""
UNBOUNDED: Final[Bounds] = (-inf, inf)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a 95 % interval.

    Attributes:
        value: the estimate.
        low, high: bounds of the interval.
        n: independent samples behind it.
    """

    value: float
    low: float
    high: float
    n: int


def sample_means(scores: Scores) -> dict[str, float]:
    """The mean of each sample's repeats; samples without a score are left out."""
    return {sample: float(np.mean(values)) for sample, values in scores.items() if len(values)}


def mean_interval(
    scores: Scores, *, within: Bounds = UNBOUNDED, confidence: float = 0.95
) -> Interval:
    """The mean over samples with an interval that respects repeats.

    Samples that passed or failed in all their repeats get Wilson's score interval (Wilson 1927),
    everything else `spread_interval`. Scores `within` 0 and 1 that are all the same get Wilson's,
    too: their variance is at most that of a share with their mean (Bhatia & Davis 2000), so it
    is never too narrow.

    Args:
        scores: by sample.
        within: where the mean must lie, `SHARE` for scores from 0 to 1.
        confidence: of the interval.
    """
    means = np.array(list(sample_means(scores).values()))
    n = len(means)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    mean = float(means.mean())
    is_same = bool((means == means[0]).all())
    if is_pass_fail(means) or (is_same and within == SHARE):
        low, high = wilson_interval(float(means.sum()), n, confidence=confidence)
    else:
        low, high = spread_interval(means, within=within, confidence=confidence)
    return Interval(mean, low, high, n)


def is_pass_fail(values: np.ndarray) -> bool:
    """Whether every value is exactly 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def spread_interval(
    values: np.ndarray, *, within: Bounds = UNBOUNDED, confidence: float = 0.95
) -> tuple[float, float]:
    """An interval of the mean from the spread of its values.

    One value has no spread: all that lies `within` is possible, and where that has no bounds
    the value alone is given.

    Below `FEW` values Student's t (Student 1908), else `bootstrap_interval`. Between 0 and 1, with
    three values or more, either holds the true mean in some 92 to 96 % of cases where it says
    95 %; the plain percentile bootstrap does so in 75 % (n = 3) to 90 % (n = 10).
    """
    n = len(values)
    if n < 2:
        return (float(values[0]), float(values[0])) if within == UNBOUNDED else within
    if n < FEW:
        reach = student_t(n - 1, confidence) * float(values.std(ddof=1)) / sqrt(n)
        low, high = float(values.mean()) - reach, float(values.mean()) + reach
    else:
        low, high = bootstrap_interval(values, confidence=confidence)
    return max(low, within[0]), min(high, within[1])


def bootstrap_interval(
    values: np.ndarray, *, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Expanded percentile bootstrap interval of the mean (Hesterberg 2015).

    The percentiles of the resampled means (Efron & Tibshirani 1993, ch. 13) are moved outwards by
    the factor sqrt(n / (n - 1)) * t / z by which such an interval is too narrow.
    """
    n = len(values)
    means = _bootstrap_means(values, resamples)
    reach = sqrt(n / (n - 1)) * student_t(n - 1, confidence) if n > 1 else inf
    tail = _NORMAL.cdf(-reach)
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


@cache
def student_t(freedom: int, confidence: float = 0.95) -> float:
    """Two-sided quantile of Student's t, right to five digits and more.

    Up to 30 degrees of freedom by bisection of the distribution function, above by its expansion
    around the normal (Abramowitz & Stegun 1964, 26.7.3, 26.7.4 and 26.7.5).
    """
    if freedom > _EXACT_FREEDOM:
        z = _NORMAL.inv_cdf(0.5 + confidence / 2)
        first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / freedom + second / freedom**2 + third / freedom**3
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def _t_within(t: float, freedom: int) -> float:
    """The chance that Student's t with so many degrees of freedom lies between -t and t."""
    angle = atan(t / sqrt(freedom))
    is_odd = freedom % 2 == 1
    term = cos(angle) if is_odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if is_odd else 2, freedom - 1, 2):
        term *= (k - 1) / k * cos(angle) ** 2
        total += term
    return 2 / pi * (angle + sin(angle) * total) if is_odd else sin(angle) * total


def _bootstrap_means(values: np.ndarray, resamples: int) -> np.ndarray:
    """Means of resamples, drawn in blocks so that memory stays below some 40 MB."""
    rng = np.random.default_rng(SEED)
    n = len(values)
    block = max(1, min(resamples, 4_000_000 // max(n, 1)))
    parts = []
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        parts.append(values[rng.integers(0, n, (count, n))].mean(axis=1))
    return np.concatenate(parts)
