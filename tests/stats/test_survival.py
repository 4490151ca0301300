"""Kaplan-Meier against a published table and against a simulation with a known truth."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.stats.survival import kaplan_meier

# Freireich et al. 1963, 6-MP group: weeks of remission, `+` for those still in remission.
WEEKS = (6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35)
CUT_OFF = (3, 5, 7, 8, 11, 12, 13, 16, 17, 18, 19, 20)  # positions of those with a `+`
PUBLISHED = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}


def test_it_gives_the_published_survival_of_a_known_data_set():
    durations = np.array(WEEKS, float)
    ended = ~np.isin(np.arange(len(WEEKS)), CUT_OFF)
    found = kaplan_meier(durations, ended)
    sorted_durations = durations[found.order]
    for week, share in PUBLISHED.items():
        assert 1 - found.mass[sorted_durations <= week].sum() == pytest.approx(share, abs=5e-4)
    assert found.rest == pytest.approx(0.448, abs=5e-4), "the longest ones were cut off"
    assert found.quantile(durations, 0.5) == 23 and found.quantile(durations, 0.9) == np.inf


def test_without_cut_off_durations_it_is_the_plain_distribution():
    durations = np.array([3.0, 1.0, 2.0, 2.0])
    found = kaplan_meier(durations, np.ones(4, bool))
    assert found.mass == pytest.approx([0.25] * 4) and found.rest == pytest.approx(0)
    assert found.quantile(durations, 0.5) == 2.0


def test_random_limits_do_not_shift_a_quantile():
    rng = np.random.default_rng(1)
    true, limit = rng.exponential(1.0, 40_000), rng.exponential(2.0, 40_000)
    seen = np.minimum(true, limit)
    found = kaplan_meier(seen, true <= limit)
    assert found.quantile(seen, 0.95) == pytest.approx(-np.log(0.05), rel=0.05)
    assert np.quantile(seen[true <= limit], 0.95) < 2.4, "leaving them out makes it look faster"
