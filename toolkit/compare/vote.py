"""A judgement over two panes of a board: one is better, both are as good, or both are bad.

As preference data (DPO) votes are one question with the better and the worse answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Votes as rows for training.

    Attributes:
        rows: `prompt`, `chosen` and `rejected` as lists of messages, the form that TRL's
            `DPOTrainer` reads, then the models, ids and voter.
        left_out: how many votes gave no row, by reason.
    """

    rows: tuple[Mapping[str, Any], ...]
    left_out: Mapping[str, int]

    def as_jsonl(self) -> str:
        """One JSON object per line."""
        return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in self.rows)


def read_preferences(votes: Iterable[Mapping[str, Any]]) -> Preferences:
    """The preference data of votes that were read with their question and answers.

    Args:
        votes: rows of `toolkit.store.queries.boards.judged_rows`.
    """
    rows: list[Mapping[str, Any]] = []
    left_out: dict[str, int] = {}
    for vote in votes:
        reason = _reason(vote)
        if reason is None:
            rows.append(_row(vote))
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    return Preferences(rows=tuple(rows), left_out=left_out)


def _reason(vote: Mapping[str, Any]) -> str | None:
    """Why a vote gives no row, or None."""
    if vote["outcome"] not in ("a", "b"):
        return "ties and answers that are all bad"
    if not vote["text_a"] or not vote["text_b"] or not vote["messages_a"]:
        return "answers that were not recorded"
    if vote["messages_a"] != vote["messages_b"]:
        return "answers to different conversations"
    if vote["text_a"] == vote["text_b"]:
        return "equal answers"
    return None


def _row(vote: Mapping[str, Any]) -> Mapping[str, Any]:
    better, worse = ("a", "b") if vote["outcome"] == "a" else ("b", "a")
    return {
        "prompt": json.loads(vote["messages_a"]),
        "chosen": [{"role": "assistant", "content": vote[f"text_{better}"]}],
        "rejected": [{"role": "assistant", "content": vote[f"text_{worse}"]}],
        "chosen_model": vote[f"model_{better}"],
        "rejected_model": vote[f"model_{worse}"],
        "voter": vote["voter"] or "person",
        "note": vote["note"],
        "vote_id": vote["vote_id"],
        "board_id": vote["board_id"],
        "voted_at": vote["voted_at"].isoformat(),
    }
