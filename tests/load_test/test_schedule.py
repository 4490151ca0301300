"""Schedules are fixed beforehand: by seed, with the rate that was asked for; traces are read."""

from __future__ import annotations

import json
from itertools import pairwise
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import InvalidInput
from toolkit.load_test.send_schedule import (
    Schedule,
    constant_schedule,
    make_schedule,
    poisson_schedule,
    read_trace,
)

RATES = st.floats(0.01, 1_000)


@given(rate=RATES, count=st.integers(1, 300))
def test_constant_arrivals_have_equal_gaps_and_begin_at_once(rate: float, count: int) -> None:
    found = constant_schedule(rate, count).offsets_s
    assert len(found) == count and found[0] == 0
    assert np.diff(found) == pytest.approx(np.full(count - 1, 1 / rate), rel=1e-6)


@settings(max_examples=30)
@given(rate=RATES, seed=st.integers(0, 10_000))
def test_the_mean_gap_of_a_poisson_process_is_that_of_its_rate(rate: float, seed: int) -> None:
    count = 2_001
    gaps = np.diff(poisson_schedule(rate, count, seed).offsets_s)
    # Standard error of the mean of exponential gaps; six of them are never left by chance.
    assert gaps.mean() * rate == pytest.approx(1, abs=6 / sqrt(count - 1))
    assert gaps.std() * rate == pytest.approx(1, abs=0.25)
    assert (gaps >= 0).all()


def test_a_share_of_poisson_gaps_is_as_long_as_it_should_be() -> None:
    gaps = np.diff(poisson_schedule(10, 20_001, 7).offsets_s) * 10
    for length in (0.1, 0.5, 1, 2, 3):
        assert (gaps > length).mean() == pytest.approx(np.exp(-length), abs=0.015)


@given(seed=st.integers(0, 2**31), count=st.integers(1, 200), rate=RATES)
def test_a_seed_fixes_the_schedule(seed: int, count: int, rate: float) -> None:
    first = make_schedule("poisson", rate, count, f"{seed}:1:1")
    assert first == make_schedule("poisson", rate, count, f"{seed}:1:1")
    other = make_schedule("poisson", rate, count, f"{seed}:1:2")
    assert count == 1 or first != other
    assert list(first.offsets_s) == sorted(first.offsets_s)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=60))
def test_the_peak_rate_is_that_of_the_busiest_window(moments: list[float]) -> None:
    offsets = sorted(moments)
    window = min(10.0, max(offsets[-1] - offsets[0], 1.0))
    busiest = max(sum(at <= other < at + window for other in offsets) for at in offsets)
    assert Schedule(offsets_s=tuple(offsets)).peak_rate == pytest.approx(busiest / window)


def test_a_trace_of_json_lines_has_moments_and_lengths(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 3000, "input_length": 900, "output_length": 20, "hash_ids": [1]},
        {"timestamp": 1000, "input_length": 100, "output_length": 5},
        {"timestamp": 1500},
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n", "utf-8")
    found = read_trace(file)
    assert found.offsets_s == (0.0, 0.5, 2.0)
    assert found.lengths == ((100, 5), (None, None), (900, 20))
    assert read_trace(file, speed=2).offsets_s == (0.0, 0.25, 1.0)


def test_a_trace_in_csv_may_have_iso_times(tmp_path: Path) -> None:
    file = tmp_path / "azure.csv"
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,4808,10\n"
        "2023-11-16 18:17:04.4799600,3180,8\n",
        "utf-8",
    )
    found = read_trace(file)
    assert [round(b - a, 6) for a, b in pairwise(found.offsets_s)] == [0.5]
    assert found.lengths == ((4808, 10), (3180, 8))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no request"),
        ('{"timestamp": 1}\nnot json', "line 2"),
        ('{"timestamp": 1}\n\n[1]', "line 3"),
        ('{"input_length": 5}', "no time"),
        ('{"timestamp": "soon"}', "no time"),
        ('{"timestamp": true}', "no time"),
        ('{"timestamp": NaN}', "no time"),
    ],
)
def test_a_trace_that_cannot_be_used_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=said):
        read_trace(file)


def test_a_trace_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_trace(tmp_path / "none.jsonl")
