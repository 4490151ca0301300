"""What an exact test can show: its own power, and the smallest true difference that it finds.

A z-test's formula promises more than an exact test keeps: for five samples it named 56 points,
but McNemar's exact test can never reach 5 % with five samples.
"""

from __future__ import annotations

from functools import cache
from math import inf, lgamma, log, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from toolkit.stats.intervals import SEED, student_t

POWER: Final = 0.8
ALPHA: Final = 0.05
_NORMAL: Final = NormalDist()
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
