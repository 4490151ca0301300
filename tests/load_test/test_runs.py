"""Load tests against a server on a real socket: what is measured, what ends a run, what is kept."""

from __future__ import annotations

import _thread
import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.servers import Answer, MockProvider
from toolkit.load_test.load_runner import LoadProgress
from toolkit.pricing.budget import Cap
from toolkit.toolkit import Toolkit

from .conftest import MODEL


def one_call(toolkit: Toolkit, run_id: str) -> list[dict[str, Any]]:
    return toolkit.store.rows("SELECT * FROM calls WHERE origin_id = ? ORDER BY seq", [run_id])


def test_a_closed_loop_measures_every_request_and_drops_the_warmup(
    toolkit: Toolkit, server: MockProvider
) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=3, requests=12, warmup=5, seed=4)
    assert len(server.requests) == 17
    (step,) = run.summary["steps"]
    assert (step["requests"], step["ok"], step["errors"]) == (12, 12, 0)
    assert step["e2e_n"] == step["ttft_n"] == step["tpot_n"] == 12 and step["itl_n"] == 12 * 4
    frame = run.frame()
    assert list(frame["phase"].value_counts().items()) == [("measured", 12), ("warmup", 5)]
    measured = frame[frame["phase"] == "measured"]
    assert step["e2e_p50_ms"] == pytest.approx(measured["e2e_ms"].median())
    assert step["e2e_max_ms"] == pytest.approx(measured["e2e_ms"].max())
    assert step["e2e_p90_ms"] is not None and step["e2e_p95_ms"] is None  # 12 calls: no p95
    assert (measured["ttft_ms"] <= measured["e2e_ms"]).all()
    span_s = (measured["ended_at"].max() - measured["scheduled_at"].min()).total_seconds()
    assert step["requests_per_s"] == pytest.approx(12 / span_s)
    assert step["output_tokens_per_s"] == pytest.approx(12 * 5 / span_s)
    assert run.status == "done" and run.passed


def test_the_warmup_is_in_no_figure(toolkit: Toolkit, server: MockProvider) -> None:
    server.enqueue("slow", times=2, first_delay_s=0.8)
    run = toolkit.load_tests.run(MODEL, concurrency=1, requests=4, warmup=2)
    frame = run.frame()
    assert frame["e2e_ms"].iloc[:2].min() >= 800
    assert run.summary["steps"][0]["e2e_max_ms"] == pytest.approx(frame["e2e_ms"].iloc[2:].max())


def test_every_request_is_a_recorded_call_without_retries(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.enqueue(status=500, body="{}")
    run = toolkit.load_tests.run(
        MODEL, requests=3, warmup=0, output_tokens=7, tags={"team": "a"}, params={"seed": 5}
    )
    calls = one_call(toolkit, run.run_id)
    assert [call["status"] for call in calls] == ["error", "ok", "ok"]
    assert {call["origin"] for call in calls} == {"load_test"}
    assert {call["tags"]["step"] for call in calls} == {"1"} and calls[0]["tags"]["team"] == "a"
    sent = [request.json for request in server.requests]
    assert [body["max_tokens"] for body in sent] == [7, 7, 7] and sent[0]["seed"] == 5
    assert len({body["messages"][0]["content"] for body in sent}) == 3
    (step,) = run.summary["steps"]
    assert step["error_codes"] == {"SERVER_ERROR": 1}
    assert step["error_rate"] == pytest.approx(1 / 3) and step["e2e_n"] == 2
    assert "SERVER_ERROR 1" in str(run)


def test_latency_counts_from_the_scheduled_time_when_the_server_is_slower_than_the_rate(
    toolkit: Toolkit, server: MockProvider
) -> None:
    """One request every 20 ms, and one answer every 100 ms: a queue grows, and all of it counts."""
    server.default = Answer(text="slow", first_delay_s=0.1)
    run = toolkit.load_tests.run(
        MODEL, rate=50, arrival="constant", requests=15, warmup=1, max_concurrency=1
    )
    frame = run.frame().query("phase == 'measured'")
    moments = (frame["scheduled_at"] - frame["scheduled_at"].iloc[0]).dt.total_seconds()
    assert moments.to_numpy() == pytest.approx([i / 50 for i in range(15)], abs=1e-5)
    for number, latency_ms in enumerate(frame["e2e_ms"]):
        assert latency_ms >= (number + 1) * 100 - number * 20 - 1
    # The same requests timed from when they were sent would hide the queue.
    durations = [call["duration_ms"] for call in one_call(toolkit, run.run_id)[1:]]
    assert sum(durations) < frame["e2e_ms"].sum() / 2
    (step,) = run.summary["steps"]
    assert step["start_delay_max_ms"] >= 14 * 80 - 1
    assert run.summary["saturation"]["step"] == 1 and "latency grew" in str(run)
    assert any("after they were due" in note for note in run.summary["notes"])


def test_an_open_loop_does_not_wait_for_answers(toolkit: Toolkit, server: MockProvider) -> None:
    """All requests are there before the first answer is: the server holds it until then."""
    server.default = Answer(text="late", first_delay_s=1.5)
    toolkit.load_tests.run(MODEL, rate=100, arrival="constant", requests=5, warmup=0)
    arrived = [request.arrived_ns for request in server.requests]
    assert len(arrived) == 5
    assert (max(arrived) - min(arrived)) / 1e9 < 1.5


def test_a_trace_decides_moments_and_lengths(
    toolkit: Toolkit, server: MockProvider, tmp_path: Any
) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text('{"timestamp":0,"output_length":3}\n{"timestamp":40,"output_length":9}')
    run = toolkit.load_tests.run(MODEL, trace=file)
    sent = [request.json["max_tokens"] for request in server.requests]
    assert sent[0] == 3 and sorted(sent[1:]) == [3, 9]  # one alone before the trace, then its two
    measured = run.frame().query("phase == 'measured'").sort_values("scheduled_at")
    assert len(measured) == 2
    gap = measured["scheduled_at"].diff().iloc[1].total_seconds()
    assert gap == pytest.approx(0.04, abs=1e-5)


def test_prompts_of_a_dataset_are_sent_in_order(toolkit: Toolkit, server: MockProvider) -> None:
    run = toolkit.load_tests.run(
        MODEL, dataset=["Hi", "Ho"], system="Be brief.", requests=3, warmup=0
    )
    asked = [[m["content"] for m in request.json["messages"]] for request in server.requests]
    assert asked == [["Be brief.", "Hi"], ["Be brief.", "Ho"], ["Be brief.", "Hi"]]
    assert "2 samples" in run.summary["notes"][0]


def test_goodput_counts_answers_within_every_objective(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.enqueue("slow one", times=2, first_delay_s=2.0)
    run = toolkit.load_tests.run(
        MODEL, requests=8, warmup=0, objectives={"ttft": 1_500, "e2e": 1_900}
    )
    (step,) = run.summary["steps"]
    good = int(run.frame()["is_good"].sum())
    assert good <= 6 and step["goodput_share"] == good / 8
    assert step["goodput_per_s"] == pytest.approx(good / step["duration_s"])


def test_repeats_give_confidence_intervals(toolkit: Toolkit) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=[1, 2], requests=4, repeats=3)
    for step in run.summary["steps"]:
        bounds = step["intervals"]["requests_per_s"]
        assert bounds["low"] <= step["requests_per_s"] <= bounds["high"]
        assert step["repeats"] == 3 and step["ok"] == 12
    steps = run.steps()
    assert (steps["requests_per_s_low"] <= steps["requests_per_s_high"]).all()
    single = toolkit.load_tests.run(MODEL, requests=4)
    assert single.summary["steps"][0]["intervals"] == {}


def test_answers_that_are_not_streamed_have_no_ttft(toolkit: Toolkit, server: MockProvider) -> None:
    run = toolkit.load_tests.run(MODEL, requests=2, warmup=0, stream=False)
    (step,) = run.summary["steps"]
    assert step["ttft_n"] == step["itl_n"] == 0 and step["e2e_n"] == 2
    assert not server.requests[0].json.get("stream")
    assert any("not streamed" in note for note in run.summary["notes"])


def test_saturation_ends_a_ramp(toolkit: Toolkit, server: MockProvider) -> None:
    """All requests of the second step fail, so the third one is left out, in all repeats."""
    server.enqueue("ok", times=3)
    server.default = Answer(status=503, body="{}")
    run = toolkit.load_tests.run(
        MODEL, concurrency=[1, 2, 4], requests=3, warmup=0, until_saturated=True
    )
    assert [step["step"] for step in run.summary["steps"]] == [1, 2]
    assert run.summary["saturation"]["reason"] == "100% of the requests failed"
    assert any("left out" in note for note in run.summary["notes"])


# Bounds


def test_the_bound_on_requests_holds(toolkit: Toolkit, server: MockProvider) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=4, seconds=60, max_requests=9, warmup=2)
    assert len(server.requests) == 9
    assert run.status == "stopped" and run.summary["stopped_by"]["cause"] == "max_requests"
    assert run.summary["steps"][0]["ok"] == 7


def test_the_bound_on_time_holds_and_cancels_what_is_in_flight(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(text="never", first_delay_s=300)
    run = toolkit.load_tests.run(MODEL, concurrency=2, max_seconds=1.5, warmup=0)
    assert run.summary["stopped_by"]["cause"] == "max_seconds"
    assert [call["status"] for call in one_call(toolkit, run.run_id)] == ["cancelled"] * 2
    (step,) = run.summary["steps"]
    assert (step["cancelled"], step["ok"], step["errors"]) == (2, 0, 0) and not run.passed


def test_the_bound_on_the_rate_holds_in_a_closed_loop(
    toolkit: Toolkit, server: MockProvider
) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=2, requests=8, warmup=0, max_rate=4)
    due = run.frame()["scheduled_at"].sort_values()
    # Five requests in a row always take more than a second.
    assert (due.diff(4).dropna().dt.total_seconds() >= 1 - 1e-6).all()
    assert any("max_rate" in note for note in run.summary["notes"])


def test_the_bound_on_the_cost_holds_with_calls_in_flight(
    toolkit: Toolkit, server: MockProvider, price: Callable[[float], None]
) -> None:
    server.default = Answer(text="one", first_delay_s=0.05)
    price(0.01)
    run = toolkit.load_tests.run(
        MODEL, concurrency=8, requests=60, warmup=0, output_tokens=1, max_usd="0.105"
    )
    spent = sum(call["cost_usd"] or 0 for call in one_call(toolkit, run.run_id))
    assert len(server.requests) <= 10 and spent <= Decimal("0.105")
    assert run.summary["stopped_by"]["cause"] == "max_usd"
    assert run.summary["not_sent"]["BUDGET_EXCEEDED"] >= 1 and run.facts["cost_usd"] == spent
    assert toolkit.budgets.find(f"run:{run.run_id}") is None


def test_caps_of_the_home_see_load_tests(
    toolkit: Toolkit, server: MockProvider, price: Callable[[float], None]
) -> None:
    server.default = Answer(text="one")
    price(0.01)
    toolkit.budgets.set(Cap(kind="day", limit_usd=Decimal("0.025")))
    run = toolkit.load_tests.run(MODEL, requests=9, warmup=0, output_tokens=1)
    assert len(server.requests) == 2 and run.summary["stopped_by"]["cause"] == "max_usd"
    assert toolkit.spend("origin").set_index("origin").loc["load_test", "calls"] == 2


def test_failures_in_a_row_end_the_run(toolkit: Toolkit, server: MockProvider) -> None:
    server.default = Answer(status=500, body="{}")
    run = toolkit.load_tests.run(MODEL, requests=50, max_consecutive_errors=5)
    assert len(server.requests) == 5 and run.status == "stopped"
    assert run.summary["stopped_by"]["cause"] == "consecutive_errors"
    assert "SERVER_ERROR" in str(run)


def test_the_toolkits_own_limiter_never_paces_in_silence(
    toolkit: Toolkit, server: MockProvider
) -> None:
    toolkit.providers.registry.update("mock", rpm=4, rate_window_s=1.0)
    run = toolkit.load_tests.run(MODEL, concurrency=3, requests=7, warmup=0)
    (step,) = run.summary["steps"]
    assert step["paced"] >= 1 and step["paced_max_ms"] > 0
    assert any(
        "own rate limit" in note and "measure the limit" in note for note in run.summary["notes"]
    )


# Other calls are not misled


def test_no_circuit_breaker_stops_a_load_test_or_is_opened_by_it(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(status=500, body="{}")
    run = toolkit.load_tests.run(
        MODEL, concurrency=4, requests=30, warmup=0, max_consecutive_errors=100
    )
    assert run.summary["steps"][0]["error_codes"] == {"SERVER_ERROR": 30}
    server.default = Answer(text="fine")
    assert toolkit.complete(MODEL, "Hello").text == "fine"


def test_a_load_test_is_no_evidence_of_health_and_in_no_latency_statistics(
    toolkit: Toolkit, server: MockProvider
) -> None:
    from datetime import UTC, datetime, timedelta

    from toolkit.store.queries import call_list, filters, health_evidence

    server.default = Answer(status=500, body="{}")
    toolkit.load_tests.run(MODEL, requests=6, warmup=0)
    server.default = Answer(text="fine")
    toolkit.complete(MODEL, "Hello")
    now = datetime.now(UTC)
    day = timedelta(days=1)
    seen = health_evidence.outcomes(now - day, now + day, None, 100).rows(toolkit.store)
    assert [row["status"] for row in seen] == ["ok"]
    every, load = filters.CallFilter(), filters.CallFilter(origin="load_test")
    assert call_list.errors(every, 60).rows(toolkit.store) == []
    assert call_list.errors(load, 60).rows(toolkit.store)[0]["n"] == 6
    assert len(toolkit.calls()) == 7


# The end of a run, and reading it again


def test_an_interrupt_ends_the_run_and_keeps_what_was_measured(
    toolkit: Toolkit, server: MockProvider
) -> None:
    def interrupt(progress: LoadProgress) -> None:
        if progress.done == 5:
            server.default = Answer(text="never", first_delay_s=300)
            _thread.interrupt_main()

    run = toolkit.load_tests.run(MODEL, concurrency=2, requests=500, on_progress=interrupt)
    assert run.status == "stopped" and run.summary["stopped_by"]["cause"] == "interrupted"
    assert run.summary["steps"][0]["ok"] >= 3
    again = toolkit.load_tests.get(run.run_id)
    assert again.summary == run.summary and again.status == "stopped"


def test_a_run_is_read_again_as_it_was_printed(toolkit: Toolkit) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=[1, 2], requests=4, repeats=2, name="first")
    for wanted in (run.run_id, run.run_id[:13], "first"):
        again = toolkit.load_tests.get(wanted)
        assert again.summary == run.summary and str(again) == str(run)
        assert again.html().split("Written")[0] == run.html().split("Written")[0]
    assert [row["run_id"] for row in toolkit.load_tests.list()] == [run.run_id]


def test_a_run_whose_process_was_killed_is_computed_from_its_calls(toolkit: Toolkit) -> None:
    run = toolkit.load_tests.run(MODEL, concurrency=[1, 2], requests=4, objectives={"e2e": 9e5})
    toolkit.store.append("load_tests", {**run.facts, "status": "running", "summary": {}})
    again = toolkit.load_tests.get(run.run_id)
    assert again.status == "interrupted"
    assert again.summary["steps"] == run.summary["steps"]


def test_it_runs_on_the_callers_own_loop_too(toolkit: Toolkit) -> None:
    run = asyncio.run(toolkit.load_tests.arun(MODEL, requests=3))
    assert run.summary["steps"][0]["ok"] == 3


def test_the_estimate_says_what_would_be_sent(
    toolkit: Toolkit, server: MockProvider, price: Callable[[float], None]
) -> None:
    price(0.01)
    found = toolkit.load_tests.estimate(MODEL, concurrency=[1, 2], requests=10, output_tokens=5)
    assert found.requests == 23 and found.output_tokens == 115
    assert found.most_usd == Decimal("1.15") and "at most $1.15" in found.sentence()
    bounded = toolkit.load_tests.estimate(MODEL, seconds=5)
    assert bounded.is_bound and bounded.requests == 1_000
    assert not server.requests


def test_the_first_warmup_request_is_sent_alone_and_ends_a_run_that_cannot_work(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.default = Answer(status=401, body="{}")
    run = toolkit.load_tests.run(MODEL, rate=50, requests=20)
    assert len(server.requests) == 1
    assert run.status == "stopped" and run.summary["stopped_by"]["cause"] == "not_callable"
    assert not run.passed and "the first request failed" in str(run)


def test_a_failure_of_the_callers_own_code_is_raised_and_the_run_is_not_done(
    toolkit: Toolkit, server: MockProvider
) -> None:
    def fail(progress: LoadProgress) -> None:
        raise RuntimeError("my own callback")

    with pytest.raises(RuntimeError, match="my own"):
        toolkit.load_tests.run(MODEL, requests=5, on_progress=fail, name="broken")
    run = toolkit.load_tests.get("broken")
    assert run.status == "stopped" and "RuntimeError" in str(run)


def test_a_request_that_fails_alone_does_not_end_the_run(
    toolkit: Toolkit, server: MockProvider
) -> None:
    server.enqueue(status=400, body='{"error": {"message": "bad"}}')
    run = toolkit.load_tests.run(MODEL, requests=3, warmup=0)
    assert run.status == "done" and run.summary["steps"][0]["ok"] == 2
