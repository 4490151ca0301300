"""The leaderboard: right where the answer is known, honest where votes say little."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.compare.ranking import MIDDLE, groups_of, leaderboard
from toolkit.errors import InvalidInput

outcomes = st.sampled_from(["a", "b", "tie", "both_bad"])
games = st.lists(
    st.builds(
        lambda a, b, outcome: {"model_a": a, "model_b": b, "outcome": outcome},
        st.sampled_from("wxyz"),
        st.sampled_from("wxyz"),
        outcomes,
    ),
    max_size=30,
)


def votes(a, b, *outcomes):
    return [{"model_a": a, "model_b": b, "outcome": outcome} for outcome in outcomes]


def test_two_models_have_the_rating_gap_of_their_odds():
    """With many games, 3 wins for each loss are a gap of 400 log10(3) = 191 points."""
    table = leaderboard(votes("x", "y", *["a", "a", "a", "b"] * 500), resamples=20)
    gap = table["rating"].iloc[0] - table["rating"].iloc[1]
    assert list(table["model"]) == ["x", "y"]
    assert gap == pytest.approx(400 * math.log10(3), abs=1.0)


def test_known_strengths_are_found_again():
    strength = {"p": 4.0, "q": 2.0, "r": 1.0}
    rng = random.Random(1)
    rows = []
    for _ in range(6_000):
        a, b = rng.sample(sorted(strength), 2)
        won = rng.random() < strength[a] / (strength[a] + strength[b])
        rows += votes(a, b, "a" if won else "b")
    table = leaderboard(rows, resamples=100).set_index("model")
    assert list(table.index) == ["p", "q", "r"]
    assert list(table["rank"]) == [1, 2, 3]
    for better, worse in (("p", "q"), ("q", "r")):
        gap = table.loc[better, "rating"] - table.loc[worse, "rating"]
        assert gap == pytest.approx(400 * math.log10(2), abs=25)


def test_the_common_level_is_exact_with_many_votes():
    """The likelihood's slope is zero for every model, also in the level that all share."""
    rng = random.Random(4)
    rows = []
    for _ in range(20_000):
        a, b = rng.sample("pqrstu", 2)
        won = rng.random() < 1 / (1 + 2 ** (ord(b) - ord(a)))
        rows += votes(a, b, "a" if won else "b")
    table = leaderboard(rows, resamples=2)
    strength = {r.model: 10 ** ((r.rating - MIDDLE) / 400) for r in table.itertuples()}
    for name, own in strength.items():
        expected = own / (own + 1)  # the virtual game
        won = 0.5
        for row in rows:
            if name in (row["model_a"], row["model_b"]):
                other = row["model_b"] if row["model_a"] == name else row["model_a"]
                expected += own / (own + strength[other])
                won += (row["outcome"] == "a") == (row["model_a"] == name)
        assert won == pytest.approx(expected, abs=1e-4)


def test_only_ties_are_equal_ratings():
    table = leaderboard(votes("x", "y", "tie", "both_bad", "tie"))
    assert table["rating"].tolist() == pytest.approx([MIDDLE, MIDDLE])
    assert table["rank"].tolist() == [1, 1]
    assert table["ties"].tolist() == [3, 3]


def test_a_model_that_never_lost_has_a_finite_rating_that_grows_with_its_wins():
    few = leaderboard(votes("x", "y", "a"), resamples=10)
    many = leaderboard(votes("x", "y", *["a"] * 50), resamples=10)
    assert math.isfinite(few["rating"].iloc[0])
    assert few["rating"].iloc[0] < many["rating"].iloc[0]


def test_models_that_never_met_stand_in_groups_of_their_own():
    table = leaderboard(votes("a1", "a2", "a") + votes("b1", "b2", "b"), resamples=10)
    assert dict(zip(table["model"], table["group"], strict=True)) == {
        "a1": 1,
        "a2": 1,
        "b1": 2,
        "b2": 2,
    }


def test_no_votes_are_an_empty_table_and_nonsense_is_refused():
    assert len(leaderboard([])) == 0
    assert len(leaderboard(votes("x", "x", "a"))) == 0
    with pytest.raises(InvalidInput):
        leaderboard(votes("x", "y", "maybe"))
    with pytest.raises(InvalidInput):
        leaderboard([], confidence=2)


@settings(max_examples=40)
@given(games, st.randoms())
def test_ratings_depend_on_neither_the_order_of_votes_nor_the_sides(rows, rng):
    turned = [
        {
            "model_a": row["model_b"],
            "model_b": row["model_a"],
            "outcome": {"a": "b", "b": "a"}.get(row["outcome"], row["outcome"]),
        }
        for row in rows
    ]
    rng.shuffle(turned)
    before, after = leaderboard(rows, resamples=20), leaderboard(turned, resamples=20)
    assert before["model"].tolist() == after["model"].tolist()
    for column in ("rating", "low", "high"):
        assert before[column].tolist() == pytest.approx(after[column].tolist(), abs=1e-3)


@settings(max_examples=40)
@given(games)
def test_an_interval_is_in_order_and_every_vote_is_counted_twice(rows):
    table = leaderboard(rows, resamples=20)
    assert (table["low"] <= table["high"]).all()
    between = [row for row in rows if row["model_a"] != row["model_b"]]
    assert table["votes"].sum() == 2 * len(between)
    assert (table["wins"] + table["losses"] + table["ties"] == table["votes"]).all()


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"))))
def test_a_pair_is_always_of_one_group(pairs):
    groups = groups_of(pairs)
    assert all(groups[a] == groups[b] for a, b in pairs)
    assert set(groups.values()) == set(range(1, len(set(groups.values())) + 1))
