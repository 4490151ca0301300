"""Ratings of people: kept as scores, the newest counts, taken back, and compared with scorers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.evals.answers import failed, row, run, two_models
from toolkit.errors import InvalidInput
from toolkit.evals.results.matrix import find_sample, read_matrix
from toolkit.evals.results.people import MAX_COMMENT, agreement_with_people, rating_row
from toolkit.evals.results.summary import PEOPLE, newest_rows, summarize
from toolkit.toolkit import current
from toolkit.ui.evals.eval_labels import say_cell


def test_a_rating_is_a_score_beside_the_others_and_the_newest_counts() -> None:
    answer = row(1, judge_model="m/judge", explanation="it is")
    rows = [answer, rating_row(answer, True), rating_row(answer, False, "wrong tone")]
    (cell,) = read_matrix(rows).answers
    given = cell.find_judgement(PEOPLE)
    assert given is not None and (given.mark, given.explanation) == ("✕", "wrong tone")
    assert given.judge_model is None, "no model judged it"
    exact = cell.find_judgement("exact")
    assert exact is not None and exact.mark == "✓"
    means = {entry["scorer"]: entry["mean"] for entry in summarize(newest_rows(rows))}
    assert means == {"exact": 1.0, PEOPLE: 0.0}
    assert say_cell([cell], "exact").startswith("✓ 1 · rated ✕ · yes")


def test_a_comment_needs_no_verdict_and_a_rating_can_be_taken_back() -> None:
    answer = row(1)
    remark = rating_row(answer, None, " look again ")
    (cell,) = read_matrix([answer, remark]).answers
    given = cell.find_judgement(PEOPLE)
    assert given is not None and (given.mark, given.explanation) == ("·", "look again")
    assert "commented" in say_cell([cell], "exact")
    taken_back = [answer, remark, rating_row(answer, None)]
    assert newest_rows(taken_back) == [answer]


def test_what_has_no_answer_is_not_rated() -> None:
    with pytest.raises(InvalidInput):
        rating_row(failed(1), True)
    with pytest.raises(InvalidInput):
        rating_row(row(1), True, "x" * (MAX_COMMENT + 1))


def test_scorers_are_compared_with_people_over_the_answers_both_judged() -> None:
    answers = [row(n, score=float(n <= 6)) for n in range(1, 11)]
    graded = [row(n, scorer="length", is_pass=None, score=0.3) for n in range(1, 11)]
    ratings = [rating_row(answers[n], n < 4) for n in range(8)]
    found = agreement_with_people([*answers, *graded, *ratings])
    assert list(found) == ["exact"]
    assert (found["exact"].n, found["exact"].observed) == (8, 0.75)
    assert found["exact"].kappa == pytest.approx(0.5)
    assert agreement_with_people(answers) == {}


def test_a_run_is_rated_and_read_again(home: Any) -> None:
    store = current().store
    store.append_many("eval_samples", two_models())
    store.append("eval_runs", run())
    evaluated = current().evaluation.get("run-1")
    evaluated.rate("q2", True, model="mock/b", comment="good enough")
    with pytest.raises(InvalidInput, match="several answers"):
        evaluated.rate("q2", True)
    with pytest.raises(InvalidInput, match="no such answer"):
        evaluated.rate("q99", True)
    with pytest.raises(InvalidInput, match="no answer"):
        evaluated.rate("q20", True, model="mock/b")
    sample = find_sample(read_matrix(evaluated.rows()), "q2")
    assert sample is not None
    given = [cell.find_judgement(PEOPLE) for cell in sample.answers]
    assert [judged.explanation for judged in given if judged] == ["good enough"]
    assert evaluated.agreement_with_people()["exact"].n == 1
    assert (sample.input, sample.metadata) == ("Question 2?", {"topic": "first"})
    rated = store.rows("SELECT * FROM eval_samples WHERE scorer IN ('people', 'exact') "
                       "AND sample_id = 'q2' AND model = 'mock/b' ORDER BY scored_at")  # fmt: skip
    for column in ("input", "target", "metadata", "params"):
        assert rated[0][column] == rated[1][column], "written as it was, not encoded again"
