"""Answers and scores: what a scorer gets and what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from toolkit.evals.bounded import TookTooLong
from toolkit.evals.cells import is_blank
from toolkit.evals.dataset import Sample
from toolkit.records import Reply

UNREADABLE: Final = "UNREADABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scorer gets: the sample, the answer's text, and the whole reply where there is one."""

    sample: Sample
    text: str
    reply: Reply | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The accepted targets; a blank one is none, as every answer would contain it.

        Raises:
            MissingTarget: the sample has none.
        """
        found = targets_of(self.sample)
        if not found:
            raise MissingTarget(f"sample {self.sample.sample_id!r} has no target")
        return found


def targets_of(sample: Sample) -> tuple[str, ...]:
    """The accepted targets of a sample that are not blank."""
    target = sample.target
    given = () if target is None else (target,) if isinstance(target, str) else target
    return tuple(text for text in given if not is_blank(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of a scorer.

    Attributes:
        value: 0 (wrong) to 1 (right); None when the answer could not be scored.
        reason: why, for people.
        error: what went wrong while scoring, or None.
        details: anything else worth keeping (a judge's model and cost, ...).
        is_unreadable: the answer gives nothing to compare: no number, no option, no JSON.
    """

    value: float | None
    reason: str = ""
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    is_unreadable: bool = False


class MissingTarget(ValueError):
    """A scorer needs a target and the sample has none."""


class InvalidTarget(ValueError):
    """The sample's target is nothing that this scorer can compare with."""


Scorer = Callable[[Answer], "Score | float | bool"]


AsyncScorer = Callable[[Answer], Awaitable[Score]]
AnyScorer = Callable[[Answer], Any]
"""A scorer as a run takes it: plain or asynchronous, returning a score, a number or a boolean."""


def score(scorer: Scorer, answer: Answer) -> Score:
    """Run one scorer; whatever it does, the result is a `Score`."""
    try:
        return read_score(scorer(answer))
    except Exception as error:  # noqa: BLE001 - a user's own function may raise anything
        return score_of_error(error)


def score_of_error(error: Exception) -> Score:
    """A score without value, with a code, for what a scorer raised."""
    codes = (
        (MissingTarget, "TARGET_MISSING"),
        (InvalidTarget, "TARGET_INVALID"),
        (TookTooLong, "SCORER_TIMEOUT"),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            return Score(value=None, error=str(error), details={"code": code})
    return Score(value=None, error=f"{type(error).__name__}: {error}")


def read_score(result: object) -> Score:
    """What a scorer returned, as a `Score`; anything but a finite number is an error."""
    kept = result if isinstance(result, Score) else Score(value=None)
    value: object = result.value if isinstance(result, Score) else result
    if value is None and kept.error is None:
        return Score(value=None, error="the scorer returned no score", reason=kept.reason)
    if value is None:
        return kept
    native = getattr(value, "item", None)  # numpy's numbers and booleans
    value = native() if callable(native) else value
    if isinstance(value, bool | int | float) and isfinite(value):
        return Score(
            value=float(value),
            reason=kept.reason,
            details=kept.details,
            is_unreadable=kept.is_unreadable,
        )
    return Score(value=None, error=f"the scorer returned {value!r}, which is not a number")


def named(
    name: str,
    scorer: Scorer,
    check_target: Callable[[Sample, str], str | None] | None = None,
) -> Scorer:
    """The scorer with the name under which its scores are kept.

    `check_target` says what is wrong with a target, before the first call of a run.
    """
    scorer.__name__ = name
    if check_target is not None:
        scorer.check_target = check_target  # type: ignore[attr-defined]
    return scorer


def unreadable(reason: str) -> Score:
    """The score of an answer that gives nothing to compare: 0, and counted as unreadable."""
    return Score(value=0.0, reason=reason, is_unreadable=True)


def require_reply(answer: Answer) -> Reply:
    """The whole reply of an answer.

    Raises:
        ValueError: only its text is known.
    """
    if answer.reply is None:
        raise ValueError("this scorer needs the whole reply, not only its text")
    return answer.reply
