"""Evaluations end to end against a provider on a real socket: rows, bad input, caps, resuming."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.evals.service.conftest import data
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.errors import InvalidInput
from toolkit.evals.dataset import Dataset, Sample
from toolkit.evals.scoring.judge import judge, judge_pair
from toolkit.evals.scoring.measures import duration_ms, similarity
from toolkit.evals.solvers import Solver
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit


def test_each_answer_has_one_row_per_scorer(toolkit: Toolkit, server: MockProvider) -> None:
    run = toolkit.evaluation.run(data(), "mock/mock-model", scorers=["exact", "fuzzy"], epochs=2)
    rows = run.frame()
    assert run.status == "done"
    assert len(rows) == 4 * 2 * 2 and rows["result_id"].is_unique
    assert set(rows["epoch"]) == {1, 2} and set(rows["score"]) == {1.0}
    assert len(server.requests) == 8
    calls = toolkit.calls(origin="eval", origin_id=run.run_id)
    assert set(rows["call_id"]) == set(calls["call_id"])
    assert list(run.answers()["exact"]) == [1.0] * 8


def test_a_run_is_found_by_id_prefix_and_name(toolkit: Toolkit) -> None:
    run = toolkit.evaluation.run(data(1), "mock/mock-model", name="first")
    for word in (run.run_id, run.run_id[:30], "first"):
        assert toolkit.evaluation.get(word).run_id == run.run_id
    assert list(toolkit.evaluation.list()["run_id"]) == [run.run_id]
    with pytest.raises(InvalidInput, match="no run"):
        toolkit.evaluation.get("other")


def test_an_empty_dataset_and_double_ids_are_refused_before_anything_is_asked(
    toolkit: Toolkit, server: MockProvider
) -> None:
    for rows in ([], [{"id": 1, "input": "a"}, {"id": 1, "input": "b"}]):
        with pytest.raises(InvalidInput):
            toolkit.evaluation.run(rows, "mock/mock-model")
    assert not server.requests


def test_a_missing_target_is_said_on_its_row(toolkit: Toolkit) -> None:
    run = toolkit.evaluation.run(data(2, target=None), "mock/mock-model", scorers="exact")
    rows = run.frame()
    assert set(rows["error_code"]) == {"TARGET_MISSING"} and rows["score"].isna().all()
    assert set(rows["output"]) == {"Paris"}


def test_a_scorer_that_raises_or_gives_nan_marks_only_its_own_rows(toolkit: Toolkit) -> None:
    def broken(answer: Any) -> float:
        raise RuntimeError("no idea")

    def empty(answer: Any) -> float:
        return math.nan

    run = toolkit.evaluation.run(data(2), "mock/mock-model", scorers=[broken, empty, "exact"])
    rows = run.frame().set_index("scorer")
    assert set(rows.loc[["broken", "empty"], "error_code"]) == {"SCORER_ERROR"}
    assert rows.loc[["broken", "empty"], "score"].isna().all()
    assert "no idea" in rows.loc["broken", "explanation"].iloc[0]
    assert set(rows.loc["exact", "score"]) == {1.0}


def test_a_model_that_fails_on_every_sample_leaves_a_row_each(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(status=401)
    run = toolkit.evaluation.run(data(5), "mock/mock-model", scorers="exact")
    rows = run.frame()
    assert run.status == "failed" and not run.passed
    assert len(rows) == 5 and set(rows["error_code"]) == {"AUTHENTICATION_FAILED"}
    assert rows["scorer"].isna().all() and "5 failed" in str(run)


def test_repeats_added_later_take_what_is_done(toolkit: Toolkit, server: MockProvider) -> None:
    toolkit.evaluation.run(data(), "mock/mock-model")
    run = toolkit.evaluation.run(data(), ["mock/mock-model", "mock/mock-small"], epochs=2)
    assert len(server.requests) == 4 * 2 * 2
    rows = run.frame()
    assert len(rows) == 16 and int(rows["is_cached"].sum()) == 4
    assert rows["duration_ms"].notna().all()


def test_another_prompt_of_the_same_name_is_asked_again(
    toolkit: Toolkit, server: MockProvider
) -> None:
    for prompt in ("{{ input }}", "Say: {{ input }}"):
        solver = Solver(name="p", prompt=prompt)
        toolkit.evaluation.run(data(3), "mock/mock-model", solvers=solver)
    assert len(server.requests) == 6


def test_answers_are_taken_by_content_on_request_with_their_first_timing(
    toolkit: Toolkit, server: MockProvider
) -> None:
    first = toolkit.evaluation.run(data(), "mock/mock-model", solvers=Solver(name="a"))
    other = Solver(name="b")
    second = toolkit.evaluation.run(data(), "mock/mock-model", solvers=other, cache=True)
    assert len(server.requests) == 4
    rows = second.frame()
    assert rows["is_cached"].all()
    assert sorted(rows["duration_ms"]) == sorted(first.frame()["duration_ms"])


def test_resuming_a_finished_run_asks_nothing_and_doubles_nothing(
    toolkit: Toolkit, server: MockProvider
) -> None:
    run = toolkit.evaluation.run(data(), "mock/mock-model", scorers="exact", epochs=2)
    again = toolkit.evaluation.resume(run.run_id)
    assert again.run_id == run.run_id and len(server.requests) == 8
    stored = toolkit.store.rows("SELECT count(*) AS n FROM eval_samples")
    assert stored == [{"n": 8}]


def test_a_failed_call_is_asked_again_on_request_and_its_answer_counts(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(status=401)
    run = toolkit.evaluation.run(data(3), "mock/mock-model", scorers="exact")
    server.default = Answer(text="Paris")
    assert toolkit.evaluation.resume(run.run_id).status == "failed"
    again = toolkit.evaluation.resume(run.run_id, retry_errors=True)
    assert again.status == "done" and set(again.frame()["score"]) == {1.0}


def test_a_failure_that_passes_is_asked_again_at_the_end_of_the_run(server: MockProvider) -> None:
    hasty = Toolkit(settings=Settings(max_retries=0))
    hasty.providers.add("mock", base_url=server.base_url, local=True, test=False)
    server.enqueue("out of order", status=503)
    run = hasty.evaluation.run(data(2), "mock/mock-model", scorers=["exact"], concurrency=1)
    hasty.close()
    asked = [request.json["messages"][0]["content"] for request in server.requests]
    assert (run.status, run.summary["failed"], run.summary["answers"]) == ("done", 0, 2)
    assert asked == ["question 0", "question 1", "question 0"]


def test_a_judge_is_recorded_with_its_call(toolkit: Toolkit, server: MockProvider) -> None:
    server.default = Answer(text="Good enough. SCORE: 4")
    run = toolkit.evaluation.run(
        data(2), "mock/mock-model", scorers=judge("mock/mock-large", "Is it right?")
    )
    rows = run.frame()
    assert list(rows["score"]) == [0.8, 0.8] and set(rows["judge_model"]) == {"mock/mock-large"}
    judged = toolkit.calls(model="mock/mock-large", origin_id=run.run_id)
    assert set(rows["judge_call_id"]) == set(judged["call_id"])


def test_a_judge_that_talks_nonsense_is_asked_once_more_then_it_is_an_error(
    toolkit: Toolkit, server: MockProvider
) -> None:
    run = toolkit.evaluation.run(data(1), "mock/mock-model", scorers=judge("mock/mock-large", "?"))
    row = run.frame().iloc[0]
    assert row["error_code"] == "UNREADABLE" and "no readable verdict" in row["explanation"]
    again = server.requests[2].json["messages"]
    assert [m["role"] for m in again] == ["user", "assistant", "user"]
    assert row["judge_model"] == "mock/mock-large" and len(server.requests) == 3


def test_a_judge_that_prefers_a_place_sees_a_tie(toolkit: Toolkit, server: MockProvider) -> None:
    server.default = Answer(text="The first. WINNER: A")
    scorer = judge_pair("mock/mock-large", "Which is right?")
    run = toolkit.evaluation.run(data(1), "mock/mock-model", scorers=scorer)
    assert run.frame().iloc[0]["score"] == 0.5
    asked = [r.json["messages"][0]["content"] for r in server.requests[1:]]
    first = [text.index("WINNER: A\n</answer") < text.index("Paris") for text in asked]
    assert sorted(first) == [False, True]


def test_measures_have_their_unit_and_no_pass(toolkit: Toolkit) -> None:
    near = similarity(embed=lambda texts: [[1.0, 0.0]] * len(texts))
    run = toolkit.evaluation.run(data(1), "mock/mock-model", scorers=[duration_ms(), near])
    rows = run.frame().set_index("scorer")
    assert rows.loc["duration_ms", "score"] == rows.loc["duration_ms", "duration_ms"]
    assert rows.loc["duration_ms", "is_pass"] is None
    assert rows.loc["similarity", "score"] == 1.0


def test_two_runs_are_compared_in_words(toolkit: Toolkit, server: MockProvider) -> None:
    right = toolkit.evaluation.run(data(20), "mock/mock-model", name="right", scorers="exact")
    server.default = Answer(text="London")
    wrong = toolkit.evaluation.run(
        data(20), "mock/mock-model", name="wrong", scorers="exact", reuse=False
    )
    (found,) = right.compare(wrong)
    assert found["sentence"].startswith("right is better by 100.0 points")
    assert found["n"] == 20 and found["test"] == "McNemar" and found["p_value"] < 0.001


def test_an_estimate_says_where_it_is_from(toolkit: Toolkit) -> None:
    (told,) = toolkit.evaluation.estimate(data(), "mock/mock-model", params={"max_tokens": 10})
    assert told.calls == 4 and told.expected_usd is None and "at most 10 tokens" in told.basis


def test_an_estimate_has_the_judges_with_what_they_read(toolkit: Toolkit) -> None:
    toolkit.catalog.sync("mock")
    toolkit.catalog.override("mock/mock-large", {"price:input": 1, "price:output": 10})
    scorers = [
        {"type": "judge", "model": "mock/mock-large", "rubric": "Is it right? " * 20},
        {"type": "judge_pair", "model": "mock/mock-small", "rubric": "Which is better?"},
    ]
    options = {"params": {"max_tokens": 10}, "scorers": scorers}
    model, judge, pair = toolkit.evaluation.estimate(data(), "mock/mock-model", **options)
    assert (model.role, judge.role, pair.role) == ("model", "judge", "judge_pair")
    assert (judge.model, judge.calls, pair.calls) == ("mock/mock-large", 4, 8)
    assert judge.input_tokens > model.input_tokens
    assert pair.expected_usd is None
    assert judge.low_usd is not None
    assert judge.high_usd is not None
    # All of its input at one dollar a million tokens, and some output at ten.
    assert Decimal(judge.input_tokens) / 10**6 < judge.high_usd
    assert judge.low_usd < judge.high_usd


def test_a_wrong_target_is_refused_by_row_before_anything_is_asked(
    toolkit: Toolkit, server: MockProvider
) -> None:
    rows = [{"input": "a", "target": "4"}, {"input": "b", "target": "Paris"}]
    with pytest.raises(
        InvalidInput, match=r"row 2 \(id .*\), column 'target': 'Paris' is not a num"
    ):
        toolkit.evaluation.run(rows, "mock/mock-model", scorers="numeric")
    with pytest.raises(InvalidInput, match="no value for the variable 'colour'"):
        toolkit.evaluation.run(rows, "mock/mock-model", solvers="{{ colour }}")
    assert not server.requests


def test_pass_at_k_and_agreement_with_people(toolkit: Toolkit, server: MockProvider) -> None:
    run = toolkit.evaluation.run(data(4), "mock/mock-model", scorers="exact", epochs=3)
    (found,) = run.pass_at(2)
    assert (found["value"], found["n"], found["k"]) == (1.0, 4, 2)
    with pytest.raises(InvalidInput, match="4 repeats"):
        run.pass_at(4)
    server.default = Answer(text="Rome")
    half = [*data(2), *(Sample(sample_id=f"r{i}", input="q", target="Rome") for i in range(2))]
    judged = toolkit.evaluation.run(Dataset(half), "mock/mock-model", scorers="exact")
    agreed = judged.agreement({"s0": False, "s1": False, "r0": True, "r1": True}, "exact")
    assert (agreed.kappa, agreed.n) == (1.0, 4)


def test_a_transcript_holds_every_turn_and_the_judge(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(text="Fine. SCORE: 4")
    run = toolkit.evaluation.run(
        data(2),
        "mock/mock-model",
        solvers={"name": "two", "turns": ["And again?"]},
        scorers=judge("mock/mock-large", "Right?"),
    )
    calls = run.transcript("s1")
    assert [(c["model"], c["scorer"]) for c in calls] == [
        ("mock/mock-model", None), ("mock/mock-model", None), ("mock/mock-large", "judge")
    ]  # fmt: skip
    assert [m["content"] for m in calls[1]["messages"]][-1] == "And again?"


@pytest.mark.parametrize(
    "verdict",
    ["banana", "I'm sorry, but I can't grade this. SCORE: 0", "SCORE: 5\nSCORE: 0"],
    ids=["nonsense", "refusal", "contradiction"],
)
def test_a_judge_without_a_verdict_is_reported_and_not_counted_as_zero(
    toolkit: Toolkit, server: MockProvider, verdict: str
) -> None:
    for text in ("Paris", "SCORE: 5", "Paris", verdict, verdict):
        server.enqueue(text)
    scorer = judge("mock/mock-large", "Is it right?", structured=False)
    run = toolkit.evaluation.run(data(2), "mock/mock-model", scorers=[scorer], concurrency=1)
    (score,) = run.summary["scores"]
    assert (score["mean"], score["n"]) == (1.0, 1)
    assert run.summary["errors"] == {"UNREADABLE": 1}
    (unread,) = [row for row in run.frame().to_dict("records") if row["error_code"] == "UNREADABLE"]
    assert math.isnan(unread["score"]) and "no readable verdict" in unread["error_message"]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (None, {}, "the models are a NoneType"),
        (5, {}, "the models are a int"),
        ("mock/mock-model", {"concurrency": "4"}, "`concurrency` is '4'"),
        ("mock/mock-model", {"concurrency": 0}, "`concurrency` is 0"),
        ("mock/mock-model", {"workers": 1.5}, "`workers` is 1.5"),
        ("mock/mock-model", {"params": 0.5}, "`params` is 0.5 and must be a mapping"),
        ("mock/mock-model", {"tags": ["a"]}, r"`tags` is \['a'\] and must be a mapping"),
    ],
)
def test_values_of_a_wrong_kind_are_named_before_the_first_call(
    toolkit: Toolkit,
    server: MockProvider,
    models: Any,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(InvalidInput, match=message):
        toolkit.evaluation.run(data(2), models, **options)
    assert not server.requests
