"""A cap holds with calls in flight, and each answer that it left out has a row that says so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.evals.service.conftest import data, price
from tests.servers.dialects import Answer
from tests.servers.mock_provider import MockProvider
from toolkit.toolkit import Toolkit


def test_a_cap_of_zero_makes_no_paid_call_and_says_so(
    toolkit: Toolkit, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(toolkit, 0.01, monkeypatch)
    run = toolkit.evaluation.run(data(), "mock/mock-model", cap_usd=0, params={"max_tokens": 1})
    assert not server.requests
    assert run.status == "stopped" and not run.passed
    assert "4 left out by a cap" in str(run) and "budget" in str(run)
    rows = run.frame()
    assert set(rows["sample_id"]) == {"s0", "s1", "s2", "s3"}
    assert set(rows["status"]) == {"skipped"} and set(rows["error_code"]) == {"BUDGET_EXCEEDED"}
    assert all(f"eval resume {run.run_id} --cap" in told for told in rows["error_message"])
    assert run.summary["scores"] == [] and run.summary["errors"] == {}
    told = {name: run.summary[name] for name in ("answers", "failed", "skipped", "not_asked")}
    assert told == {"answers": 0, "failed": 0, "skipped": 4, "not_asked": 0}


def test_the_cap_holds_with_calls_in_flight(
    toolkit: Toolkit, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.default = Answer(text="Paris", first_delay_s=0.05)
    price(toolkit, 0.01, monkeypatch)
    one = {"max_tokens": 1}
    run = toolkit.evaluation.run(
        data(40), "mock/mock-model", cap_usd=0.105, concurrency=32, params=one
    )
    spent = toolkit.store.rows("SELECT sum(cost_usd) AS usd FROM calls")[0]["usd"]
    assert len(server.requests) == 10 and spent <= Decimal("0.105")
    assert run.status == "stopped" and run.summary["skipped"] == 30
    assert len(run.frame()) == 40
    again = toolkit.evaluation.resume(run.run_id)
    assert len(server.requests) == 10 and again.summary["skipped"] == 30
    more = toolkit.evaluation.resume(run.run_id, cap_usd=1)
    assert len(server.requests) == 40 and more.status == "done"
    assert more.summary["skipped"] == 0 and set(more.frame()["status"]) == {"ok"}


def test_a_failed_call_that_a_cap_leaves_out_later_is_asked_by_the_next_resume(
    toolkit: Toolkit, server: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    price(toolkit, 0.01, monkeypatch)
    one = {"max_tokens": 1}
    server.default = Answer(status=401)
    run = toolkit.evaluation.run(data(3), "mock/mock-model", params=one)
    server.default = Answer(text="Paris")
    held = toolkit.evaluation.resume(run.run_id, retry_errors=True, cap_usd=0)
    assert held.summary["skipped"] == 3 and held.summary["failed"] == 0
    assert toolkit.evaluation.resume(run.run_id, cap_usd=1).summary["answers"] == 3
