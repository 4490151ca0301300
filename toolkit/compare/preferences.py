"""Votes as preference data: one question, the better and the worse answer (DPO)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


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
