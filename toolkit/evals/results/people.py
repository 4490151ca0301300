"""Ratings that people give answers of a run: rows of `eval_samples` whose scorer is `people`.

A rating is kept like the score of any scorer, so that tables, exports and comparisons have it
without knowing more. The newest rating of an answer counts; one without a verdict and without a
comment takes an earlier one back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from uuid_utils import uuid7

from toolkit.errors import InvalidInput
from toolkit.evals.results.cell_values import as_value
from toolkit.evals.results.summary import PEOPLE, Row, newest_rows
from toolkit.stats.agreement import Agreement, cohens_kappa

MAX_COMMENT: Final = 2_000
_JSON: Final = ("input", "target", "metadata", "params")
_JUDGING: Final = ("judge_model", "judge_call_id", "judge_cost_usd", "error_code", "error_message")


def rating_row(answer: Row, is_good: bool | None, comment: str = "") -> dict[str, Any]:
    """The row of a rating.

    Args:
        answer: any row of the answer that is rated.
        is_good: the verdict; None with a comment: a remark without a verdict; None without one:
            the earlier rating is taken back.
        comment: a remark.

    Raises:
        InvalidInput: the call failed or was skipped, so there is no answer; a comment too long.
    """
    if answer["scorer"] is None and answer["status"] != "ok":
        raise InvalidInput(
            f"the sample {answer['sample_id']!r} has no answer of {answer['model']} to rate",
            hint="Resume the run to ask the model again.",
        )
    comment = comment.strip()
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"a comment has at most {MAX_COMMENT:,} characters")
    return {
        **answer,
        # JSON comes out of the database as text; written as it is, it would be encoded again.
        **{name: as_value(answer[name]) for name in _JSON},
        **dict.fromkeys(_JUDGING),
        "result_id": str(uuid7()),
        "scorer": PEOPLE,
        "score": None if is_good is None else float(is_good),
        "is_pass": is_good,
        "explanation": comment or None,
        "scores": None,
        "status": "ok",
        "scored_at": datetime.now(UTC),
    }


def agreement_with_people(rows: Iterable[Row]) -> dict[str, Agreement]:
    """Cohen's kappa of each scorer with people's ratings, over the answers that both judged.

    Scorers whose scores neither pass nor fail are left out.
    """
    by_scorer: dict[str, dict[str, bool]] = {}
    for row in newest_rows(rows):
        if row["scorer"] is not None and row["is_pass"] is not None:
            by_scorer.setdefault(str(row["scorer"]), {})[_answer_key(row)] = bool(row["is_pass"])
    people: Mapping[str, bool] = by_scorer.pop(PEOPLE, {})
    return {
        scorer: cohens_kappa(people, verdicts)
        for scorer, verdicts in by_scorer.items()
        if people.keys() & verdicts.keys()
    }


def _answer_key(row: Row) -> str:
    return repr((row["model"], row["variant"], row["sample_id"], row["epoch"]))
