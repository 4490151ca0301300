"""What votes say beyond the plain leaderboard: control, slices, the next pair, the Pareto front."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Literal

from toolkit.compare.ranking import MIDDLE, SPREAD, games_of, groups_of, tally_of
from toolkit.stats.paired_comparison import PairedFit, expected_gain, fit_pairs

if TYPE_CHECKING:
    import pandas as pd

_TAG: Final = re.compile(r"(?<!\S)#([^\s#]{1,40})")
_POINTS: Final = SPREAD / math.log(10)
_MOST_MODELS: Final = 40
_TWICE: Final = 1 / 3  # the length covariate of an answer twice as long as the other
Votes = Iterable[Mapping[str, Any]]
Voters = Literal["people", "judges", "both"]


def tags_of(note: str | None) -> list[str]:
    """The tags of a vote's note, written as `#tag` before its comment."""
    return list(dict.fromkeys(tag.lower() for tag in _TAG.findall(note or "")))


def count_tags(votes: Votes) -> dict[str, int]:
    """How many votes carry each tag, the most frequent first."""
    found = Counter(tag for vote in votes for tag in tags_of(vote["note"]))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def with_tags(votes: Votes, tags: Sequence[str]) -> list[Mapping[str, Any]]:
    """The votes that carry at least one of these tags; all of them where none is named."""
    wanted = set(tags)
    return [vote for vote in votes if not wanted or wanted & set(tags_of(vote["note"]))]


def of_voters(votes: Votes, voters: Voters) -> list[Mapping[str, Any]]:
    """The votes of people, of model judges, or of both."""
    return [
        vote
        for vote in votes
        if voters == "both" or (vote["voter"] is None) == (voters == "people")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What something other than the models is worth, in rating points, with its 95 % interval."""

    points: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlledRatings:
    """Ratings as they would be for answers of equal length, with no side preferred.

    Attributes:
        table: as `leaderboard` gives it.
        length: what an answer twice as long as the other is worth.
        position: what being the left one is worth.
        left_out: votes whose answers were not recorded, so that their lengths are not known.
    """

    table: pd.DataFrame
    length: Effect
    position: Effect
    left_out: int

    @property
    def sentence(self) -> str:
        """What length and position are worth, and how many votes could not be used."""
        parts = [
            f"An answer twice as long is worth {_points(self.length)}, the left position "
            f"{_points(self.position)} (95 % intervals); the ratings above are without both."
        ]
        if self.left_out:
            votes = "1 vote is" if self.left_out == 1 else f"{self.left_out:,} votes are"
            parts.append(f"{votes} left out, because an answer was not recorded.")
        return " ".join(parts)


def _points(effect: Effect) -> str:
    return f"{effect.points:+.0f} points [{effect.low:+.0f}, {effect.high:+.0f}]"


def controlled_leaderboard(votes: Votes, *, confidence: float = 0.95) -> ControlledRatings:
    """Rank models with length and position as covariates of the Bradley-Terry fit.

    The chance that the left answer l wins against the right one r is
    1 / (1 + exp(-(b_l - b_r + g_len (n_l - n_r) / (n_l + n_r) + g_pos))), n the lengths in
    characters. The difference in length as a share of the sum is that of "Does style matter?"
    (Li, Angelopoulos & Chiang 2024, lmarena.ai); control by regression is also that of AlpacaEval
    2 (Dubois et al. 2024). Intervals are normal ones from the curvature of the likelihood, of each
    model against the mean of those it was compared with. A model judge is shown both orders, so
    its votes have no position.

    Args:
        votes: rows of `toolkit.store.queries.boards.vote_rows_with_lengths`.
        confidence: width of the intervals.
    """
    import pandas as pd

    every = [vote for vote in votes if vote["model_a"] != vote["model_b"]]
    known = [vote for vote in every if vote["chars_a"] and vote["chars_b"]]
    names = sorted({str(vote[side]) for vote in known for side in ("model_a", "model_b")})
    fit = _controlled_fit(known, names)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2)
    games = games_of(known)
    tally, groups = tally_of(games, names), groups_of([(a, b) for a, b, _ in games])
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        rating = MIDDLE + _POINTS * float(fit.level[index])
        side = reach * _POINTS * _sd_in_group(fit, names, groups, name)
        ends = {"rating": rating, "low": rating - side, "high": rating + side}
        rows.append({"model": name, **ends, **tally[name], "group": groups[name]})
    rows.sort(key=lambda row: (-row["rating"], row["model"]))
    for row in rows:
        row["rank"] = 1 + sum(other["low"] > row["high"] for other in rows)
    columns = ["rank", "model", "rating", "low", "high", "votes", "wins", "losses", "ties", "group"]
    return ControlledRatings(
        table=pd.DataFrame(rows, columns=columns),
        length=_effect(fit, len(names), _TWICE * _POINTS, reach),
        position=_effect(fit, len(names) + 1, _POINTS, reach),
        left_out=len(every) - len(known),
    )


def _controlled_fit(votes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> PairedFit:
    place = {name: index for index, name in enumerate(names)}
    won = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}
    lengths = [
        (vote["chars_a"] - vote["chars_b"]) / (vote["chars_a"] + vote["chars_b"]) for vote in votes
    ]
    left = [1.0 if vote["voter"] is None else 0.0 for vote in votes]
    return fit_pairs(
        [(place[str(vote["model_a"])], place[str(vote["model_b"])]) for vote in votes],
        [won[vote["outcome"]] for vote in votes],
        len(names),
        [lengths, left],
    )


def _sd_in_group(
    fit: PairedFit, names: Sequence[str], groups: Mapping[str, int], name: str
) -> float:
    """Standard deviation of a model's level against the mean of the models it was compared with.

    What all of them share is set by the virtual games alone, and says nothing about the ranks.
    """
    import numpy as np

    inside = np.array([float(groups[other] == groups[name]) for other in names])
    contrast = -inside / inside.sum()
    contrast[list(names).index(name)] += 1.0
    size = len(names)
    return math.sqrt(max(0.0, float(contrast @ fit.covariance[:size, :size] @ contrast)))


def _effect(fit: PairedFit, index: int, scale: float, reach: float) -> Effect:
    points = scale * float(fit.effects[index - len(fit.level)])
    side = reach * scale * math.sqrt(float(fit.covariance[index, index]))
    return Effect(points=points, low=points - side, high=points + side)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPair:
    """Two models, and how many bits one more vote on them is expected to tell."""

    model_a: str
    model_b: str
    bits: float
    votes: int


def next_pairs(votes: Votes, models: Iterable[str] = (), *, most: int = 3) -> list[NextPair]:
    """The pairs of models whose next vote tells most about the ratings, best first.

    Args:
        votes: rows of votes.
        models: further models that have no vote yet.
        most: how many pairs.
    """
    games = games_of(votes)
    met = Counter((a, b) for a, b, _ in games)
    rated = sorted({name for pair in met for name in pair})
    more = [name for name in dict.fromkeys(models) if name not in set(rated)]
    names = sorted([*rated, *more[: max(0, _MOST_MODELS - len(rated))]])
    place = {name: index for index, name in enumerate(names)}
    fit = fit_pairs(
        [(place[a], place[b]) for a, b, _ in games], [won for *_, won in games], len(names)
    )
    pairs = [
        NextPair(
            model_a=a,
            model_b=b,
            bits=expected_gain(*fit.difference(place[a], place[b])),
            votes=met[a, b],
        )
        for a, b in combinations(names, 2)
    ]
    return sorted(pairs, key=lambda pair: (-round(pair.bits, 9), pair.model_a, pair.model_b))[:most]


def pareto_front(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which rows no other row beats: at least as good in all three, and better in one.

    Args:
        rows: with `rating` (more is better), `usd_per_thousand` and `p50_ms` (less is better); a
            row where one of them is missing is never on the front.
    """
    points = [_point(row) for row in rows]
    known = [point for point in points if point is not None]
    return [
        point is not None
        and not any(
            other != point and all(o <= p for o, p in zip(other, point, strict=True))
            for other in known
        )
        for point in points
    ]


def _point(row: Mapping[str, Any]) -> tuple[float, float, float] | None:
    values = [row[name] for name in ("rating", "usd_per_thousand", "p50_ms")]
    if any(value is None or math.isnan(value) for value in values):
        return None
    return -float(values[0]), float(values[1]), float(values[2])
