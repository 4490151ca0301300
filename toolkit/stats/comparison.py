"""Statistics one can defend: paired comparisons, corrections, effect sizes, power.

Scores are floats (0 to 1 for pass/fail). Repeats of one sample are not independent, so every
function takes the sample mean first. Randomness comes from a fixed seed, so the same data gives
the same result. Intervals of one mean: `intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, comb, copysign, inf, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from toolkit.stats.intervals import (
    RESAMPLES,
    SEED,
    UNBOUNDED,
    Bounds,
    Interval,
    Scores,
    is_pass_fail,
    sample_means,
    spread_interval,
)
from toolkit.stats.power import ALPHA, smallest_share_difference, smallest_shift
from toolkit.stats.proportion import wilson_interval

_NORMAL: Final = NormalDist()
_EXACT_PAIRS: Final = 14
POINTS: Final[Bounds] = (-1.0, 1.0)
"""Where differences of scores lie; those of a measure have no such bounds."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """B against A on the same samples.

    Attributes:
        difference: mean of B minus A, with its interval: that of `bonett_price_interval` for
            pass/fail scores, else that of `intervals.spread_interval` over the pairs.
        p_value: exact McNemar for pass/fail scores, else that of `sign_flip_p`.
        only_a, only_b: samples that only A, or only B, passed (pass/fail scores; else None).
        effect: Cohen's h for shares, Cohen's d of the differences otherwise.
        smallest_detectable: smallest true difference that this test shows with these samples in
            80 % of runs at the 5 % level; None: they cannot show any.
        test: name of the test behind `p_value`.
    """

    difference: Interval
    p_value: float
    only_a: int | None
    only_b: int | None
    effect: float
    smallest_detectable: float | None
    test: str


def compare_paired(a: Scores, b: Scores, *, within: Bounds = UNBOUNDED) -> PairedComparison:
    """Compare B with A over the samples that both have, pair by pair.

    Args:
        a, b: scores by sample.
        within: where the difference must lie, `POINTS` for scores from 0 to 1.

    Raises:
        ValueError: they share no sample.
    """
    means_a, means_b = sample_means(a), sample_means(b)
    shared = sorted(means_a.keys() & means_b.keys())
    if not shared:
        raise ValueError("the two have no sample in common")
    left = np.array([means_a[sample] for sample in shared])
    right = np.array([means_b[sample] for sample in shared])
    differences = right - left
    n = len(shared)
    mean = float(differences.mean())
    if is_pass_fail(left) and is_pass_fail(right):
        only_a = int(((left == 1) & (right == 0)).sum())
        only_b = int(((left == 0) & (right == 1)).sum())
        effect = cohens_h(float(left.mean()), float(right.mean()))
        p = mcnemar_exact(only_a, only_b)
        difference = Interval(mean, *bonett_price_interval(only_a, only_b, n), n)
        # One more pair that differs, as in the interval: none seen is not none there.
        detectable = smallest_share_difference(n, (only_a + only_b + 1) / (n + 1))
        return PairedComparison(difference, p, only_a, only_b, effect, detectable, "McNemar")
    p = sign_flip_p(differences)
    bounds = _constant_interval(mean, n) if _is_constant(differences, within) else None
    bounds = bounds or spread_interval(differences, within=within)
    difference = Interval(mean, *bounds, n)
    effect, detectable = cohens_d(differences), smallest_shift(differences)
    return PairedComparison(difference, p, None, None, effect, detectable, "sign flips")


def _is_constant(differences: np.ndarray, within: Bounds) -> bool:
    return within == POINTS and float(np.ptp(differences)) < 1e-12


def _constant_interval(mean: float, n: int) -> tuple[float, float]:
    """Interval of a difference that is the same for all samples seen.

    It has no spread to go by, but a difference between -1 and 1 varies at most as much as a share
    on that scale (Bhatia & Davis 2000), so Wilson's interval is never too narrow.
    """
    low, high = wilson_interval((mean + 1) / 2 * n, n)
    return 2 * low - 1, 2 * high - 1


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar test: the binomial test of the discordant pairs at 1/2.

    Source: McNemar 1947; the exact form in Fagerland, Lydersen & Laake 2013, eq. 3.
    """
    n = only_a + only_b
    if n == 0:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**n))


def bonett_price_interval(
    only_a: int, only_b: int, n: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a difference of paired shares, B minus A: Wald's with one pair more of each kind.

    Source: Bonett & Price 2012; recommended for paired shares, few or many, by Fagerland,
    Lydersen & Laake 2013. A bootstrap of pairs that all agree has no width at all.

    Args:
        only_a, only_b: samples that only A, or only B, passed.
        n: all samples.
        confidence: of the interval.
    """
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    difference = share_b - share_a
    spread = sqrt((share_a + share_b - difference**2) / (n + 2))
    reach = _NORMAL.inv_cdf(0.5 + confidence / 2) * spread
    return max(-1.0, difference - reach), min(1.0, difference + reach)


def sign_flip_p(differences: np.ndarray, *, resamples: int = RESAMPLES) -> float:
    """Two-sided p of paired differences, by flipping their signs at random.

    If A and B are the same, each difference could as well have had the other sign. Up to
    `_EXACT_PAIRS` pairs all sign patterns are counted, so the test is exact and never smaller than
    2 / 2^n: five samples cannot show anything at 5 %. Beyond that a sample of patterns is drawn,
    (k + 1) / (B + 1). Source: Fisher 1935, sec. 21; Phipson & Smyth 2010.
    """
    moved = differences[differences != 0]
    n = len(moved)
    if n == 0:
        return 1.0
    least = abs(float(moved.sum())) * (1 - 1e-12)  # sums of the same terms in another order
    if n <= _EXACT_PAIRS:
        patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
        sums = np.abs((2 * patterns - 1) @ moved)
        return float((sums >= least).mean())
    rng = np.random.default_rng(SEED)
    block, reached = max(1, 4_000_000 // n), 0
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        signs = rng.integers(0, 2, (count, n), dtype=np.int8) * 2 - 1
        reached += int((np.abs(signs @ moved) >= least).sum())
    return (reached + 1) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for many tests (Holm 1979); adjusted p, same order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def cohens_h(share_a: float, share_b: float) -> float:
    """Effect size of two shares, 2 asin(sqrt(b)) - 2 asin(sqrt(a)) (Cohen 1988, sec. 6.2)."""
    return 2 * asin(sqrt(share_b)) - 2 * asin(sqrt(share_a))


def cohens_d(differences: np.ndarray) -> float:
    """Effect size of paired differences, mean / standard deviation (Cohen 1988, sec. 2.3)."""
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    mean = float(differences.mean())
    if spread == 0:
        return 0.0 if mean == 0 else copysign(inf, mean)
    return float(mean / spread)


def flicker(scores: Scores) -> Interval:
    """Share of samples whose repeats do not all agree, with Wilson's interval.

    Only samples with at least two repeats count.
    """
    repeated = [values for values in scores.values() if len(values) >= 2]
    changed = sum(len(set(values)) > 1 for values in repeated)
    n = len(repeated)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    return Interval(changed / n, *wilson_interval(changed, n), n)


def say_comparison(
    result: PairedComparison, name_a: str, name_b: str, *, unit: str | None = None
) -> str:
    """The comparison in words: "B is better by 3.1 points [0.4, 5.9], p = 0.02, 400 samples".

    Scores from 0 to 1 are given in points of a hundred. `unit` is that of a measure ("" where it
    has no name): more of it is not better, so it reads "B is higher by 191 ms ...".
    """
    d = result.difference
    scale, word = (100, "better") if unit is None else (1, "higher")
    of = " points" if unit is None else f" {unit}".rstrip()
    form = ".1f" if unit is None else ".3g"
    value, low, high = d.value * scale, d.low * scale, d.high * scale
    facts = f"p = {result.p_value:.2g}, {d.n:,} samples"
    if value == 0:
        return f"{name_a} and {name_b} score the same [{low:+{form}}, {high:+{form}}], {facts}"
    ahead, sign = (name_b, 1) if value > 0 else (name_a, -1)
    bounds = sorted((sign * low, sign * high))
    interval = f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"
    if low == high and d.n > 1:
        interval = "[no interval: the same in all samples]"
    text = f"{ahead} is {word} by {abs(value):{form}}{of} {interval}, {facts}"
    if result.p_value <= ALPHA:
        return text
    if result.smallest_detectable is None:
        few = "1 sample" if d.n == 1 else f"{d.n:,} samples"
        return f"{text}: not significant ({few} cannot show any difference)"
    smallest = result.smallest_detectable * scale
    return f"{text}: not significant (smallest detectable difference: {smallest:{form}}{of})"
