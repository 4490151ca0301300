"""Strengths from paired comparisons (Bradley-Terry), with covariates, and what one more tells.

Bradley & Terry 1952: the chance that i beats j is 1 / (1 + exp(-(b_i - b_j))), with b the
log-strengths. A covariate x of a comparison, for example the difference in length of two answers,
adds its effect g: 1 / (1 + exp(-(b_i - b_j + g x))), so that b is the strength at x = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

_ROUNDS: Final = 100
_LONGEST_MOVE: Final = 2.0
_CLOSE_ENOUGH: Final = 1e-10
_NODES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedFit:
    """What paired comparisons say.

    Attributes:
        level: log-strength of each item.
        effects: effect of each covariate.
        covariance: of the levels and then the effects: the inverse of the curvature of the
            penalised log-likelihood at its maximum, Laplace's approximation of the posterior.
    """

    level: np.ndarray
    effects: np.ndarray
    covariance: np.ndarray

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """Mean and standard deviation of the level of i less that of j."""
        spread = self.covariance
        variance = float(spread[i, i] + spread[j, j] - 2 * spread[i, j])
        return float(self.level[i] - self.level[j]), sqrt(max(variance, 0.0))


def fit_pairs(
    pairs: Sequence[tuple[int, int]],
    points: Sequence[float],
    size: int,
    covariates: Sequence[Sequence[float]] = (),
    *,
    virtual_games: float = 1.0,
    effect_sd: float = 3.0,
) -> PairedFit:
    """Fit strengths and effects by Newton's method.

    Args:
        pairs: the two items of each comparison, as numbers below `size`.
        points: what the first of them got: 1 won, 0 lost, 0.5 a tie.
        size: how many items there are; one without a comparison keeps the level 0.
        covariates: the values of each covariate, one per comparison.
        virtual_games: each item plays that many games, half won, against a fixed opponent of
            level 0, so that one that never lost has a finite strength.
        effect_sd: standard deviation of the normal prior of an effect, so that one that the
            comparisons cannot tell from the strengths stays near 0.
    """
    import numpy as np

    rows = len(pairs)
    design = np.zeros((rows, size + len(covariates)))
    for row, (first, second) in enumerate(pairs):
        design[row, first] += 1.0
        design[row, second] -= 1.0
    for column, values in enumerate(covariates):
        design[:, size + column] = values
    won = np.asarray(points, dtype=float)
    is_level = np.arange(design.shape[1]) < size
    found = np.zeros(design.shape[1])
    curve = np.eye(design.shape[1])
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-(design @ found)))
        virtual = 1 / (1 + np.exp(-found))
        slope = design.T @ (won - chance)
        slope += np.where(is_level, virtual_games * (0.5 - virtual), -found / effect_sd**2)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design
        prior = np.where(is_level, virtual_games * virtual * (1 - virtual), 1 / effect_sd**2)
        curve[np.diag_indices(len(found))] += prior
        change = np.linalg.solve(curve, slope)
        # The likelihood is concave; short moves keep the first ones from overshooting.
        found = found + np.clip(change, -_LONGEST_MOVE, _LONGEST_MOVE)
        if float(np.abs(change).max(initial=0.0)) < _CLOSE_ENOUGH:
            break
    return PairedFit(level=found[:size], effects=found[size:], covariance=np.linalg.inv(curve))


def expected_gain(mean: float, sd: float) -> float:
    """How many bits one more comparison of two items tells about their strengths.

    The mutual information of the outcome and the difference d of their levels, normal with this
    mean and standard deviation: H(E[p(d)]) - E[H(p(d))], with p(d) = 1 / (1 + exp(-d)) and H the
    entropy of a yes or no (Lindley 1956; Houlsby et al. 2011, "BALD"). It is high where the winner
    is not known because d is not known, and low where d is known to be near 0.
    """
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    chance = 1 / (1 + np.exp(-(mean + sd * nodes)))
    share = weights / weights.sum()
    return max(0.0, _entropy(float(share @ chance)) - float(share @ _entropies(chance)))


def _entropy(chance: float) -> float:
    import numpy as np

    return float(_entropies(np.array([chance]))[0])


def _entropies(chance: np.ndarray) -> np.ndarray:
    import numpy as np

    inside = np.clip(chance, 1e-15, 1 - 1e-15)
    bits: np.ndarray = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return bits
