"""Statistics one can defend: paired comparisons, corrections, effect sizes, power.

Scores are floats (0 to 1 for pass/fail). Repeats of one sample are not independent, so every
function takes the sample mean first. Randomness comes from a fixed seed, so the same data gives
the same result. Intervals of one mean: `intervals`.

Power is that of the exact test itself: a z-test's formula promises more than an exact test keeps.
For five samples it named 56 points, but McNemar's exact test can never reach 5 % with five samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import asin, comb, copysign, inf, lgamma, log, sqrt
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
    student_t,
)
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


POWER: Final = 0.8
ALPHA: Final = 0.05
_EXACT_SAMPLES: Final = 400
"""Above this many samples the normal approximation is as good, and much faster."""
_FEW_PAIRS: Final = 10
_SIMULATED: Final = 2_000
_PRECISION: Final = 1e-3


def mcnemar_power(n: int, difference: float, discordance: float, *, alpha: float = ALPHA) -> float:
    """The chance that McNemar's exact test shows a true difference of paired shares.

    The number of pairs that differ is binomial, and given it the test is a binomial test: both are
    summed exactly (Miettinen 1968; Connor 1987 has the approximation).

    Args:
        n: samples.
        difference: the true difference of the shares.
        discordance: the true share of samples on which the two differ; at least the difference.
        alpha: level of the test, two-sided.
    """
    share = min(1.0, max(discordance, abs(difference)))
    if share == 0 or n < 1:
        return 0.0
    tilt = (1 + abs(difference) / share) / 2
    spread = sqrt(n * share * (1 - share))
    fewest, most = max(0, int(n * share - 8 * spread - 1)), min(n, int(n * share + 8 * spread + 2))
    weights = np.exp(_log_binomials(n, np.arange(fewest, most + 1), share))
    chances = [_binomial_power(pairs, tilt, alpha) for pairs in range(fewest, most + 1)]
    return float(weights @ np.array(chances))


def smallest_share_difference(
    n: int, discordance: float, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The smallest difference of paired shares that McNemar's exact test shows with this power.

    None: there is none, as with five samples or fewer.

    Args:
        n: samples.
        discordance: the share of samples on which the two differ; a larger difference than that
            takes a larger share.
        power: how often it is shown.
        alpha: level of the test.
    """
    if n > _EXACT_SAMPLES:
        return _approximate_share_difference(n, discordance, power, alpha)
    if mcnemar_power(n, 1.0, discordance, alpha=alpha) < power:
        return None
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        found = mcnemar_power(n, middle, discordance, alpha=alpha) >= power
        low, high = (low, middle) if found else (middle, high)
    return high


def smallest_shift(
    differences: np.ndarray, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The smallest true mean of paired differences that flipped signs show with this power.

    For normal differences with the spread of the given ones: by simulation of the exact test up
    to ten pairs, above by the power of the t-test, which the flipped signs are close to. None: no
    difference can be shown, as 2 / 2^n is above the level.
    """
    n = len(differences)
    if n < 2 or 2 / 2**n > alpha:
        return None
    spread = float(differences.std(ddof=1)) or 1 / n
    if n <= _FEW_PAIRS:
        return spread * _simulated_effect(n, power, alpha)
    low, high = 0.0, 20.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        found = _t_power(n, middle, alpha) >= power
        low, high = (low, middle) if found else (middle, high)
    return spread * high


def _approximate_share_difference(
    n: int, discordance: float, power: float, alpha: float
) -> float | None:
    """Connor (1987): (z_alpha sqrt(psi) + z_power sqrt(psi - d^2)) / sqrt(n), solved for d."""
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    share, found = discordance, 0.0
    for _ in range(100):
        reach = z_alpha * sqrt(share) + z_power * sqrt(max(share - found**2, 0.0))
        updated = reach / sqrt(n)
        share = max(discordance, updated)
        if abs(updated - found) < 1e-9:
            break
        found = updated
    return found if found <= 1 else None


@cache
def _critical_count(pairs: int, alpha: float) -> int:
    """The largest count of the rarer kind at which the exact test is significant; -1 for none."""
    if pairs == 0:
        return -1
    tails = np.cumsum(np.exp(_log_binomials(pairs, np.arange(pairs // 2 + 1), 0.5)))
    return int(np.searchsorted(2 * tails, alpha * (1 + 1e-12), side="right")) - 1


def _binomial_power(pairs: int, tilt: float, alpha: float) -> float:
    critical = _critical_count(pairs, alpha)
    if critical < 0:
        return 0.0
    few = np.arange(critical + 1)
    low = np.exp(_log_binomials(pairs, few, tilt)).sum()
    high = np.exp(_log_binomials(pairs, few, 1 - tilt)).sum()
    return float(low + high)


def _log_binomials(n: int, counts: np.ndarray, share: float) -> np.ndarray:
    table = _log_factorials(n)
    yes = log(share) if share > 0 else -inf
    no = log(1 - share) if share < 1 else -inf
    with np.errstate(invalid="ignore"):
        return np.asarray(
            table[n]
            - table[counts]
            - table[n - counts]
            + np.where(counts > 0, counts * yes, 0.0)
            + np.where(n - counts > 0, (n - counts) * no, 0.0)
        )


@cache
def _log_factorials(n: int) -> np.ndarray:
    return np.array([lgamma(k + 1) for k in range(n + 1)])


@cache
def _simulated_effect(n: int, power: float, alpha: float) -> float:
    """The mean in units of the spread that flipped signs show with this power, for few pairs."""
    draws = np.random.default_rng(SEED).normal(size=(_SIMULATED, n))
    patterns = 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1) - 1
    low, high = 0.0, 20.0
    while high - low > _PRECISION * 5:
        middle = (low + high) / 2
        moved = draws + middle
        sums = np.abs(moved @ patterns.T)
        least = np.abs(moved.sum(axis=1))[:, None] * (1 - 1e-12)
        found = float(((sums >= least).mean(axis=1) <= alpha).mean()) >= power
        low, high = (low, middle) if found else (middle, high)
    return high


def _t_power(n: int, effect: float, alpha: float) -> float:
    """Power of the paired t-test; the noncentral t by its normal approximation (A&S 26.7.10)."""
    critical, shift = student_t(n - 1, 1 - alpha), effect * sqrt(n)
    freedom = n - 1
    scale = sqrt(1 + critical**2 / (2 * freedom))
    return 1 - _NORMAL.cdf((critical * (1 - 1 / (4 * freedom)) - shift) / scale)
