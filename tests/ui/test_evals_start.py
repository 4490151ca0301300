"""A run is put together on the page, its cost told before anything is sent; it can be stopped."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.evals.answers import failed, row, run, skipped
from tests.evals.service.conftest import data, price
from tests.servers import Answer, MockProvider
from toolkit.evals.estimate import Estimate
from toolkit.toolkit import Toolkit
from toolkit.ui.components.format import money
from toolkit.ui.evals.new_run import say_cost

ROWS = [{"id": f"q{n}", "question": f"What is {n}?", "answer": "Hello", "n": n} for n in range(3)]


def words(app: Any) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "warning")
    return "\n".join(str(e.value) for kind in kinds for e in app.get(kind)).replace("\\", "")


def table(app: Any, column: str) -> Any:
    (found,) = [f.value for f in app.dataframe if column in f.value.columns]
    return found


def started(toolkit: Toolkit) -> Any:
    """The run that the page started, once it is over."""
    run_id = toolkit.store.rows("SELECT run_id FROM eval_runs")[0]["run_id"]
    running = toolkit.evaluation.find_background_run(run_id)
    assert running is not None and running.wait(60)
    return toolkit.evaluation.get(run_id)


def with_model(app: Any, *models: str) -> Any:
    return app.multiselect(key="eval-models").set_value(list(models)).run()


def test_the_cost_is_told_before_anything_is_sent_and_the_run_goes_on_by_itself(
    toolkit: Toolkit, mock: MockProvider, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(toolkit, 0.01, monkeypatch)
    mock.default = Answer(text="Paris")
    app = with_model(open_page("evals"), "mock/mock-small")
    assert "40 samples" in words(app), "the bundled dataset stands ready"
    app.segmented_control(key="eval-data").set_value("a file").run()
    file = b"input,target\nWhat is the capital of France?,Paris\nAnd of Italy?,Rome\n"
    app.file_uploader(key="eval-file").upload("towns.csv", file)
    app.number_input(key="eval-max-tokens").set_value(10).run()
    assert not [b for b in app.button if b.label == "Start"]
    app.button(key="eval-estimate").click().run()
    assert not app.exception and not mock.requests
    estimate = table(app, "Expected")
    asked = int(estimate["Calls"][0])
    assert list(estimate["Model"]) == ["mock/mock-small"]
    assert estimate["High"][0] == f"~{money(asked * 0.1)}"
    assert f"high {money(asked * 0.1)}" in words(app)
    app.button(key="eval-start").click().run()
    assert not app.exception and not app.error
    done = started(toolkit)
    assert done.status == "done" and len(mock.requests) == asked
    assert app.query_params["run"] == done.run_id
    assert done.facts["scorers"] == ["contains"]
    app.run()
    assert f"{asked} of {asked} answers" in words(app)


def test_what_was_changed_since_the_estimate_cannot_be_started(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = with_model(open_page("evals"), "mock/mock-small")
    app.button(key="eval-estimate").click().run()
    assert [b for b in app.button if b.label == "Start"]
    assert "No price is known" in words(app)
    app.number_input(key="eval-epochs").set_value(3).run()
    assert not [b for b in app.button if b.label == "Start"]
    assert "estimate again" in words(app) and not mock.requests


def test_a_file_its_columns_and_prompts_with_its_variables(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    app = with_model(open_page("evals"), "mock/mock-small", "mock/mock-large")
    app.number_input(key="eval-epochs").set_value(2)
    app.segmented_control(key="eval-data").set_value("a file").run()
    file = "\n".join(json.dumps(one) for one in ROWS).encode()
    app.file_uploader(key="eval-file").upload("mine.jsonl", file).run()
    assert "row 1 has nothing in the column 'input'" in words(app)
    app.text_input(key="eval-column-input").set_value("question")
    app.text_input(key="eval-column-target").set_value("answer").run()
    assert "3 samples" in words(app) and "{{ n }}" in words(app)
    app.text_area(key="eval-prompt-1").set_value("{{ m }}: {{ input }}").run()
    assert "Not every sample has `{{ m }}`" in words(app)
    app.text_area(key="eval-prompt-1").set_value("Number {{ n }}: {{ input }}")
    app.button(key="eval-more").click().run()
    app.text_input(key="eval-system-2").set_value("Be brief.").run()
    app.multiselect(key="eval-scorers-True").set_value(["exact", "tool_call"]).run()
    assert "Still missing: tool_call: Tool that must be called" in words(app)
    app.text_input(key="eval-tool_call-name").set_value("look_up").run()
    app.toggle(key="eval-exact-ignore_case").set_value(True).run()
    app.button(key="eval-estimate").click().run()
    app.button(key="eval-start").click().run()
    assert not app.exception and not app.error
    done = started(toolkit)
    asked = sorted(r.json["messages"][-1]["content"] for r in mock.requests)
    each = [f"{start}What is {n}?" for start in ("", "Number {}: ") for n in range(3)]
    assert asked == sorted(4 * [text.format(text[-2]) for text in each])
    assert sum(r.json["messages"][0]["role"] == "system" for r in mock.requests) == 3 * 4
    assert set(done.frame()["model"]) == {"mock/mock-small", "mock/mock-large"}
    assert done.facts["scorers"] == ["exact", "tool_call"] and done.facts["dataset"] == "mine"


def test_recorded_calls_are_asked_again_as_the_conversations_that_they_were(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    toolkit.complete("mock/mock-small", [{"role": "system", "content": "Sing."},
                                       {"role": "user", "content": "[1] Why?"}])  # fmt: skip
    app = with_model(open_page("evals"), "mock/mock-large")
    app.segmented_control(key="eval-data").set_value("recorded calls").run()
    query = app.text_area(key="eval-sql").value
    app.text_area(key="eval-sql").set_value("DROP TABLE calls").run()
    assert app.error and not app.exception
    app.text_area(key="eval-sql").set_value(query).run()
    assert not app.error and "1 sample" in words(app)
    app.button(key="eval-estimate").click().run()
    app.button(key="eval-start").click().run()
    assert started(toolkit).status == "done"
    first, again = (r.json["messages"] for r in mock.requests)
    assert again == first


def test_a_run_under_way_is_watched_stopped_and_resumed(
    toolkit: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    mock.default = Answer(text="Paris", first_delay_s=0.2)
    running = toolkit.evaluation.start(data(60), "mock/mock-small", concurrency=1)
    app = open_page("evals")
    assert not app.exception
    (bar,) = app.get("progress")
    assert "of 60 answers" in bar.proto.text.replace("\\", "")
    app.button(key="eval-stop").click().run()
    assert running.wait(60)
    mock.default = Answer(text="Paris")
    app.run()
    assert "not asked yet" in words(app)
    app.button(key="eval-resume").click().run()
    again = toolkit.evaluation.find_background_run(running.run_id)
    assert again is not None and again is not running and again.wait(60)
    assert toolkit.evaluation.get(running.run_id).summary["answers"] == 60
    assert "60 of 60 answers" in words(app.run())


def test_only_what_can_be_asked_again_offers_to_be_resumed(
    toolkit: Toolkit, open_page: Any
) -> None:
    now = datetime.now(UTC)
    kinds = {
        "whole": run("whole", errors=0),
        "imported": run("imported", status="stopped", dataset_sha256=None),
        "elsewhere": run("elsewhere", status="running", started_at=now, summary={}),
        "capped": run("capped", status="stopped", config={"cap_usd": 0.5}),
        "gone": run("gone", status="running", started_at=now - timedelta(hours=2), summary={}),
    }
    for one in kinds.values():
        toolkit.store.append("eval_runs", one)
    toolkit.store.append_many("eval_samples", [skipped(1, run_id="capped"), failed(2), row(3)])
    offered = set()
    for run_id in kinds:
        app = open_page("evals", run=run_id)
        assert not app.exception
        if [b for b in app.button if b.label == "Resume"]:
            offered.add(run_id)
        if run_id == "capped":
            assert app.number_input(key="eval-resume-cap").value == 0.5
    assert offered == {"capped", "gone"}


def test_a_run_whose_samples_are_gone_says_so_when_it_is_resumed(
    toolkit: Toolkit, open_page: Any
) -> None:
    toolkit.store.append(
        "eval_runs", run(status="stopped", config={"dataset": "q", "models": ["a"]})
    )
    app = open_page("evals")
    app.button(key="eval-resume").click().run()
    assert not app.exception and app.error


@pytest.mark.parametrize(
    ("usd", "cap", "told"),
    [
        ([None], None, "No price is known, so the cost cannot be estimated"),
        (["0.10"], None, "About $0.100 (low $0.0500, high $0.200)."),
        (["0.10", None], 0.15, "the run stops at $0.150; 1 of 2 models have no known price"),
        (["0.10"], 0, "the run stops at $0"),
    ],
)
def test_the_cost_in_words_says_what_is_not_known(usd: Any, cap: Any, told: str) -> None:
    estimates = [
        Estimate(
            model="m/m",
            calls=1,
            input_tokens=1,
            low_usd=None if one is None else Decimal(one) / 2,
            expected_usd=None if one is None else Decimal(one),
            high_usd=None if one is None else Decimal(one) * 2,
            basis="",
        )
        for one in usd
    ]
    assert told in say_cost(estimates, cap)


def test_a_recorded_call_is_added_to_a_dataset_and_evaluated(
    recorded: Toolkit, mock: MockProvider, open_page: Any
) -> None:
    row = recorded.store.rows("SELECT request_id, call_id FROM calls WHERE origin = 'compare'")[0]
    app = open_page("calls", call=row["request_id"])
    target = app.text_area(key=f"dataset-target-{row['call_id']}")
    assert target.value == "The sky is blue."
    target.set_value("blue").run()
    app.button(key="dataset-add").click().run()
    assert not app.exception and not app.error
    assert [entry.value for entry in app.success] == ["Added. The dataset has 1 sample."]
    app.button(key="dataset-add").click().run()
    assert "already has the sample" in words(app)
    mock.default = Answer(text="It is blue.")
    app = open_page("evals")
    app.segmented_control(key="eval-data").set_value("yours").run()
    assert "1 sample" in words(app)
    app = with_model(app, "mock/mock-small")
    app.button(key="eval-estimate").click().run()
    app.button(key="eval-start").click().run()
    assert not app.exception and not app.error
    done = started(recorded)
    assert done.status == "done" and list(done.frame()["score"]) == [1.0]
