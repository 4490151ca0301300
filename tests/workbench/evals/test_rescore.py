"""Stored answers are scored again, imported ones too; what they cost and how long is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from tests.workbench.evals.conftest import data, price
from toolkit.errors import InvalidInput
from toolkit.evals.exchange.files import read_file
from toolkit.evals.judge import judge
from toolkit.evals.reading import summarize_sides
from toolkit.workbench.bench import Workbench

FIXTURES = Path(__file__).resolve().parents[2] / "evals" / "fixtures"


def test_stored_answers_are_scored_again_without_a_call(
    bench: Workbench, server: MockProvider
) -> None:
    run = bench.evaluation.run(data(), "mock/mock-model", scorers="exact")
    again = bench.evaluation.rescore(run.run_id, ["exact", {"type": "regex", "pattern": "^P"}])
    assert len(server.requests) == 4
    assert len(again.frame()) == 8 and set(again.frame()["score"]) == {1.0}


def test_an_answer_that_is_scored_again_keeps_its_cost_and_its_latency(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(bench, 0.01, monkeypatch)
    run = bench.evaluation.run(data(), "mock/mock-model", scorers="exact")
    (before,) = summarize_sides(run.rows())
    again = bench.evaluation.rescore(run.run_id, ["exact", "fuzzy"])
    after, _ = summarize_sides(again.rows())
    assert before["cost_usd"] and before["timed"] == 4
    assert {name: after[name] for name in before} == before
    assert again.facts["cost_usd"] == run.facts["cost_usd"] == before["cost_usd"]


def test_judging_again_adds_what_the_judge_costs(
    bench: Workbench, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(bench, 0.01, monkeypatch)
    run = bench.evaluation.run(data(2), "mock/mock-model", scorers="exact")
    server.default = Answer(text="Good. SCORE: 5")
    again = bench.evaluation.rescore(run.run_id, [judge("mock/mock-large", "Is it right?")])
    spent = bench.store.rows("SELECT sum(cost_usd) AS usd FROM calls")[0]["usd"]
    assert again.facts["cost_usd"] == spent > run.facts["cost_usd"]


@pytest.mark.parametrize("name", ["inspect-ten-questions.eval", "promptfoo-towns.json"])
def test_an_imported_run_is_scored_again_and_cannot_be_asked_again(
    bench: Workbench, server: MockProvider, name: str
) -> None:
    found = read_file(FIXTURES / name)
    bench.store.append_many("eval_samples", found.rows)
    bench.store.append("eval_runs", found.run)
    run_id = found.run["run_id"]
    again = bench.evaluation.rescore(run_id, ["contains", {"type": "regex", "pattern": "."}])
    rows = [row for row in again.rows() if row["scorer"] == "regex"]
    assert len(rows) == again.summary["answers"] == found.run["summary"]["answers"]
    assert all(row["score"] is not None for row in rows)
    assert again.summary["not_asked"] == 0 and not server.requests
    with pytest.raises(InvalidInput, match="imported"):
        bench.evaluation.resume(run_id)
