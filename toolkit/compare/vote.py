"""A judgement over two panes of a board: one is better, both are as good, or both are bad."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal

from uuid_utils import uuid7

from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.compare.pane import Pane

Outcome = Literal["a", "b", "tie", "both_bad"]
RETRACTED: Final = "retracted"
"""Outcome of a row that undoes the vote named in its note."""
Choice = int | Literal["tie", "both_bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One judgement over two panes; `a` is the one further left.

    Attributes:
        vote_id: UUIDv7 text.
        board_id: the board it belongs to.
        voted_at: when, UTC.
        pane_a, pane_b: ids of the two panes.
        model_a, model_b: their models.
        outcome: `a`, `b`, `tie` or `both_bad`.
        is_blind: the names were hidden from the voter.
        voter: None for a person, or the model that judged.
        note: a remark of the voter.
    """

    vote_id: str
    board_id: str
    voted_at: datetime
    pane_a: str
    pane_b: str
    model_a: str
    model_b: str
    outcome: Outcome
    is_blind: bool = False
    voter: str | None = None
    note: str | None = None


def judge(
    board_id: str,
    panes: tuple[Pane, ...],
    winner: Choice,
    *,
    between: tuple[int, int] | None = None,
    is_blind: bool = False,
    voter: str | None = None,
    note: str | None = None,
) -> tuple[Vote, ...]:
    """The votes that a choice means: one for the pair judged, or one for each pair it decides.

    Raises:
        InvalidInput: no such pane, a pane that never answered, or a winner outside the pair.
    """
    pairs = _pairs(len(panes), winner, between)
    for index in {i for pair in pairs for i in pair}:
        if panes[index].state == "waiting":
            raise InvalidInput(f"pane {index} has not answered yet")
    now = datetime.now(UTC)
    return tuple(
        Vote(
            vote_id=str(uuid7()),
            board_id=board_id,
            voted_at=now,
            pane_a=panes[a].pane_id,
            pane_b=panes[b].pane_id,
            model_a=panes[a].model,
            model_b=panes[b].model,
            outcome=winner if isinstance(winner, str) else ("a" if winner == a else "b"),
            is_blind=is_blind,
            voter=voter,
            note=note,
        )
        for a, b in pairs
    )


def _pairs(count: int, winner: Choice, between: tuple[int, int] | None) -> list[tuple[int, int]]:
    if isinstance(winner, str) and winner not in ("tie", "both_bad"):
        raise InvalidInput(
            f"{winner!r} is not an outcome", hint="Use a pane's index, tie or both_bad."
        )
    named = [i for i in (winner, *(between or ())) if not isinstance(i, str)]
    for index in named:
        if not 0 <= index < count:
            raise InvalidInput(f"the board has no pane {index}; it has {count}")
    if between is not None:
        a, b = sorted(between)
        if a == b or (isinstance(winner, int) and winner not in (a, b)):
            raise InvalidInput(
                "a vote needs two different panes, and the winner must be one of them"
            )
        return [(a, b)]
    everyone = combinations(range(count), 2)
    return [pair for pair in everyone if isinstance(winner, str) or winner in pair]
