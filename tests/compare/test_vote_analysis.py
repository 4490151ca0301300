"""Length and position as covariates, slices by tag, the next pair, the Pareto front."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.compare.ranking import leaderboard
from toolkit.compare.vote_analysis import (
    controlled_leaderboard,
    count_tags,
    next_pairs,
    pareto_front,
    tags_of,
    with_tags,
)


def vote(a: str, b: str, outcome: str, **more: Any) -> dict[str, Any]:
    known = {"voter": None, "note": None, "chars_a": 100, "chars_b": 100}
    return {"model_a": a, "model_b": b, "outcome": outcome, **known, **more}


def simulated(
    n: int, strengths: dict[str, float], *, length: float, position: float
) -> list[dict[str, Any]]:
    """Votes of people who like long answers and the left one; `wordy` writes long answers."""
    rng, votes = random.Random(3), []
    for _ in range(n):
        a, b = rng.sample(sorted(strengths), 2)
        chars = [rng.randint(50, 400) * (3 if name == "wordy" else 1) for name in (a, b)]
        share = (chars[0] - chars[1]) / sum(chars)
        odds = strengths[a] - strengths[b] + length * share + position
        outcome = "a" if rng.random() < 1 / (1 + math.exp(-odds)) else "b"
        votes.append(vote(a, b, outcome, chars_a=chars[0], chars_b=chars[1]))
    return votes


def test_control_finds_the_strengths_behind_length_and_position() -> None:
    votes = simulated(6_000, {"short": 0.4, "wordy": 0.0}, length=2.0, position=0.5)
    plain = leaderboard(votes, resamples=20)
    assert list(plain["model"]) == ["wordy", "short"], "length alone makes it the first"
    found = controlled_leaderboard(votes)
    assert list(found.table["model"]) == ["short", "wordy"]
    per_unit = 400 / math.log(10)
    gap = found.table["rating"].iloc[0] - found.table["rating"].iloc[1]
    assert gap == pytest.approx(0.4 * per_unit, abs=25)
    assert found.length.points == pytest.approx(2.0 / 3 * per_unit, abs=12)
    assert found.position.points == pytest.approx(0.5 * per_unit, abs=12)
    for effect, true in ((found.length, 2.0 / 3 * per_unit), (found.position, 0.5 * per_unit)):
        assert effect.low < true < effect.high


def test_without_a_bias_control_changes_nothing_and_agrees_with_the_plain_fit() -> None:
    votes = simulated(4_000, {"p": 0.5, "q": 0.0, "r": -0.4}, length=0.0, position=0.0)
    plain = leaderboard(votes, resamples=300).set_index("model")
    found = controlled_leaderboard(votes)
    assert found.length.low < 0 < found.length.high
    assert found.position.low < 0 < found.position.high
    for row in found.table.itertuples():
        other = plain.loc[row.model]
        assert row.rating == pytest.approx(other["rating"], abs=4)
        # The bootstrap and the curvature are two roads to the same interval.
        assert row.high - row.low == pytest.approx(other["high"] - other["low"], rel=0.2)


def test_a_judge_has_no_position_and_unknown_lengths_are_counted() -> None:
    votes = [vote("x", "y", "a", voter="m/judge")] * 50
    assert controlled_leaderboard(votes).position.points == pytest.approx(0, abs=1e-6)
    votes = [vote("x", "y", "a"), vote("x", "y", "b", chars_b=None), vote("x", "x", "a")]
    found = controlled_leaderboard(votes)
    assert (found.left_out, found.table["votes"].tolist()) == (1, [1, 1])
    assert len(controlled_leaderboard([]).table) == 0


def test_a_position_that_cannot_be_told_from_the_models_stays_bounded() -> None:
    found = controlled_leaderboard([vote("x", "y", "a")] * 30)
    assert math.isfinite(found.position.points) and found.table["rating"].between(0, 2_000).all()


def test_tags_are_read_counted_and_chosen() -> None:
    assert tags_of("#Correct #coding nice #coding") == ["correct", "coding"]
    assert tags_of("issue#3 and # alone") == [] and tags_of(None) == []
    votes = [
        vote("x", "y", "a", note="#coding"),
        vote("x", "y", "b", note="#coding #short it is"),
        vote("x", "y", "b"),
    ]
    assert count_tags(votes) == {"coding": 2, "short": 1}
    assert with_tags(votes, ["short", "gone"]) == votes[1:2]
    assert with_tags(votes, []) == votes


def test_the_next_pair_is_the_one_that_is_known_least() -> None:
    votes = [vote("p", "q", outcome) for outcome in "ab" * 100]
    votes += [vote("q", "r", "a"), vote("p", "r", "a")]
    first, *_, last = next_pairs(votes, most=9)
    assert "r" in (first.model_a, first.model_b)
    assert (last.model_a, last.model_b, last.votes) == ("p", "q", 200)
    assert first.bits > 5 * last.bits > 0


def test_a_model_without_a_vote_comes_first_and_no_models_are_no_pair() -> None:
    votes = [vote("p", "q", outcome) for outcome in "ab" * 20]
    assert "new" in vars_of(next_pairs(votes, ["p", "new"])[0])
    assert next_pairs([]) == [] and next_pairs([], ["one"]) == []
    assert vars_of(next_pairs([], ["b", "a"])[0]) == {"a", "b"}


def vars_of(pair: Any) -> set[str]:
    return {pair.model_a, pair.model_b}


def test_a_pair_with_a_sure_winner_tells_little() -> None:
    sure = [vote("best", "worst", "a")] * 200
    open_ = [vote("m", "n", outcome) for outcome in "ab"] + [vote("best", "m", "a")] * 3
    pairs = next_pairs([*sure, *open_], most=99)
    bits = {frozenset(vars_of(pair)): pair.bits for pair in pairs}
    assert bits[frozenset({"m", "n"})] > 3 * bits[frozenset({"best", "worst"})]


rows = st.lists(
    st.fixed_dictionaries(
        {
            name: st.one_of(st.none(), st.integers(0, 4).map(float))
            for name in ("rating", "usd_per_thousand", "p50_ms")
        }
    ),
    max_size=12,
)


@given(rows)
def test_the_front_is_what_no_other_row_beats(rows: list[dict[str, Any]]) -> None:
    def beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
        pairs = [(-a["rating"], -b["rating"])]
        pairs += [(a[name], b[name]) for name in ("usd_per_thousand", "p50_ms")]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    known = [row for row in rows if None not in row.values()]
    for row, is_front in zip(rows, pareto_front(rows), strict=True):
        expected = row in known and not any(beats(other, row) for other in known)
        assert is_front == expected
