"""Stored answers are scored again, imported ones too; what they cost and how long is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evals.service.conftest import data, price
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.errors import InvalidInput
from toolkit.evals.exchange.run_files import read_file
from toolkit.evals.results.run_results import summarize_sides
from toolkit.evals.scoring.judge import judge
from toolkit.toolkit import Toolkit

FIXTURES = Path(__file__).resolve().parents[2] / "evals" / "fixtures"


def test_stored_answers_are_scored_again_without_a_call(
    toolkit: Toolkit, server: MockProvider
) -> None:
    run = toolkit.evaluation.run(data(), "mock/mock-model", scorers="exact")
    again = toolkit.evaluation.rescore(run.run_id, ["exact", {"type": "regex", "pattern": "^P"}])
    assert len(server.requests) == 4
    assert len(again.frame()) == 8 and set(again.frame()["score"]) == {1.0}


def test_an_answer_that_is_scored_again_keeps_its_cost_and_its_latency(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(toolkit, 0.01, monkeypatch)
    run = toolkit.evaluation.run(data(), "mock/mock-model", scorers="exact")
    (before,) = summarize_sides(run.rows())
    again = toolkit.evaluation.rescore(run.run_id, ["exact", "fuzzy"])
    after, _ = summarize_sides(again.rows())
    assert before["cost_usd"] and before["timed"] == 4
    assert {name: after[name] for name in before} == before
    assert again.facts["cost_usd"] == run.facts["cost_usd"] == before["cost_usd"]


def test_judging_again_adds_what_the_judge_costs(
    toolkit: Toolkit, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(toolkit, 0.01, monkeypatch)
    run = toolkit.evaluation.run(data(2), "mock/mock-model", scorers="exact")
    server.default = Answer(text="Good. SCORE: 5")
    again = toolkit.evaluation.rescore(run.run_id, [judge("mock/mock-large", "Is it right?")])
    spent = toolkit.store.rows("SELECT sum(cost_usd) AS usd FROM calls")[0]["usd"]
    assert again.facts["cost_usd"] == spent > run.facts["cost_usd"]


def test_an_unfinished_run_keeps_its_scorers_when_it_is_scored_by_another(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not asked yet is scored by all of them; one of the same name is replaced."""
    price(toolkit, 0.01, monkeypatch)
    scorers = ["exact", {"type": "regex", "pattern": "^X"}]
    one = {"max_tokens": 1}
    stopped = toolkit.evaluation.run(
        data(4), "mock/mock-model", scorers=scorers, cap_usd=0.025, concurrency=1, params=one
    )
    assert stopped.status == "stopped"
    added = ["fuzzy", {"type": "regex", "pattern": "^P"}]
    toolkit.evaluation.rescore(stopped.run_id, added)
    run = toolkit.evaluation.resume(stopped.run_id, cap_usd=10.0)
    assert run.status == "done"
    frame = run.frame()
    counts = frame[frame["score"] == 1.0].groupby("scorer").size().to_dict()
    assert counts == {"exact": 4, "fuzzy": 4, "regex": 4}


@pytest.mark.parametrize("name", ["inspect-ten-questions.eval", "promptfoo-towns.json"])
def test_an_imported_run_is_scored_again_and_cannot_be_asked_again(
    toolkit: Toolkit, server: MockProvider, name: str
) -> None:
    found = read_file(FIXTURES / name)
    toolkit.store.append_many("eval_samples", found.rows)
    toolkit.store.append("eval_runs", found.run)
    run_id = found.run["run_id"]
    again = toolkit.evaluation.rescore(run_id, ["contains", {"type": "regex", "pattern": "."}])
    rows = [row for row in again.rows() if row["scorer"] == "regex"]
    assert len(rows) == again.summary["answers"] == found.run["summary"]["answers"]
    assert all(row["score"] is not None for row in rows)
    assert again.summary["not_asked"] == 0 and not server.requests
    with pytest.raises(InvalidInput, match="imported"):
        toolkit.evaluation.resume(run_id)
