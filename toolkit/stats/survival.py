"""Durations of which some are only known to be longer than a limit: Kaplan-Meier.

An attempt that was cut off after 6 s is not one that took 6 s. Leaving such attempts out, or taking
the limit as their duration, makes the slowest part of a distribution look faster than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Survival:
    """The Kaplan-Meier estimate of a distribution of durations (Kaplan & Meier 1958).

    Attributes:
        order: indices of the observations, by duration.
        mass: probability of each observation in that order; 0 for those cut off. What Efron (1967)
            calls redistribution to the right: the mass of one that was cut off goes to those
            that lasted longer.
        rest: the mass beyond the longest observation, where that one was cut off.
    """

    order: np.ndarray
    mass: np.ndarray
    rest: float

    def quantile(self, durations: np.ndarray, q: float) -> float:
        """The shortest duration that at least the share `q` does not exceed; inf: not known."""
        reached = np.cumsum(self.mass) >= q - 1e-12
        return float(durations[self.order[int(np.argmax(reached))]]) if reached.any() else np.inf


def kaplan_meier(durations: np.ndarray, is_ended: np.ndarray) -> Survival:
    """Estimate a distribution from durations, some of them cut off.

    Args:
        durations: how long each was observed.
        is_ended: whether it ended then; False: it was cut off and would have lasted longer.
            What is cut off at the same moment as others end counts as still running then.

    The estimate is right where being cut off does not depend on how long the rest would have
    taken, as with a fixed time limit.
    """
    order = np.lexsort((~is_ended, durations))
    ended = is_ended[order].astype(float)
    hazard = ended / np.arange(len(order), 0, -1)
    surviving = np.cumprod(1.0 - hazard)
    before = np.concatenate(([1.0], surviving[:-1]))
    return Survival(order, before * hazard, float(surviving[-1]) if len(order) else 1.0)
