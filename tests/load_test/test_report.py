"""What people see of a load test: figures from rows, a table, a chart, and one safe HTML file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from toolkit.load_test.figures import count_phase, find_saturation, find_trends, measure_row
from toolkit.load_test.load_config import read_stored
from toolkit.load_test.load_report import render_load_report, table_row
from toolkit.load_test.load_result import LoadTestRun, summarize_run
from toolkit.toolkit import Toolkit

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'\"&"


def row(
    number: int, at_s: float, *, step: int = 1, repeat: int = 1, **fields: Any
) -> dict[str, Any]:
    """One row of `calls`: sent 10 ms after it was due, first token after 40 ms, over in 100 ms."""
    due = AT + timedelta(seconds=at_s)
    made: dict[str, Any] = {
        "call_id": f"c{number}",
        "started_at": due + timedelta(milliseconds=7),
        "status": "ok",
        "error_code": None,
        "input_tokens": 10,
        "output_tokens": 4,
        "cost_usd": Decimal("0.001"),
        "queue_ms": None,
        "connect_ms": 2.0,
        "overhead_ms": 1.0,
        "ttft_ms": 40.0,
        "duration_ms": 100.0,
        "tpot_ms": 20.0,
        "loop_lag_ms": 0.5,
        "chunk_offsets_us": [40_000, 60_000, 100_000],
        "tags": {
            "step": str(step),
            "repeat": str(repeat),
            "phase": "measured",
            "scheduled_at": due.isoformat(),
        },
    }
    return made | fields


def config(loop: str = "closed", targets: tuple[float, ...] = (1,), **values: Any) -> Any:
    stored: dict[str, Any] = {
        "model": "mock/m",
        "name": "first",
        "arrival": "constant",
        "steps": [
            {"number": n, "loop": loop, "target": target, "warmup": 0, "requests": 5}
            for n, target in enumerate(targets, 1)
        ],
        "prompts": "random words",
        "is_approximate": True,
        "own_limit": None,
        "repeats": 1,
        "objectives": {},
        "seed": 0,
        "stream": True,
        "max_usd": None,
        "max_requests": 100,
        "max_seconds": 60.0,
        "max_rate": 100.0,
        "max_concurrency": 10,
        "max_consecutive_errors": 20,
    }
    return read_stored(stored | values)


def test_the_formulas_of_one_request() -> None:
    one = measure_row(row(1, 0))
    assert one.start_delay_ms == pytest.approx(7 + 2 + 1)
    assert one.ttft_ms == pytest.approx(50) and one.e2e_ms == pytest.approx(110)
    assert one.gaps_ms == (20.0, 40.0) and one.tpot_ms == 20
    assert one.ended_at == AT + timedelta(milliseconds=110)
    assert one.meets({"ttft": 50.1, "e2e": 110.1}) and not one.meets({"ttft": 49})
    unknown = measure_row(row(2, 0, ttft_ms=None))
    assert not unknown.meets({"ttft": 1e9}) and unknown.meets({})
    failed = measure_row(row(3, 0, status="error", error_code="TIMEOUT"))
    assert not failed.meets({})


def test_the_formulas_of_one_step() -> None:
    rows = [row(i, i * 0.5) for i in range(10)]
    rows[9] |= {"status": "error", "error_code": "TIMEOUT", "cost_usd": None}
    rows[8]["tags"] = rows[8]["tags"] | {"phase": "warmup"}
    found = count_phase([measure_row(r) for r in rows], {"e2e": 200.0})
    assert (found["requests"], found["ok"], found["errors"]) == (9, 8, 1)
    assert found["duration_s"] == pytest.approx(4.5 + 0.11)
    assert found["requests_per_s"] == pytest.approx(8 / 4.61)
    assert found["output_tokens_per_s"] == pytest.approx(32 / 4.61)
    assert found["error_rate"] == pytest.approx(1 / 9)
    assert found["goodput_share"] == pytest.approx(8 / 9)
    assert found["cost_usd"] == pytest.approx(0.009)  # the warm-up costs as well
    assert found["e2e_p90_ms"] is None and found["e2e_p50_ms"] == pytest.approx(110)
    assert (found["e2e_n"], found["itl_n"]) == (8, 16)


def test_nothing_measured_is_unknown_and_never_zero() -> None:
    found = count_phase([], {})
    assert found["requests_per_s"] is None and found["error_rate"] is None
    assert found["e2e_mean_ms"] is None and found["e2e_n"] == 0
    summary = summarize_run(config(), [], {"not_sent": {"API_KEY_REQUIRED": 2}})
    assert summary["steps"] == [] and "2 not sent (API_KEY_REQUIRED 2)" in summary["sentence"]


def test_a_provider_that_counts_no_tokens_has_no_tokens_per_second() -> None:
    rows = [row(i, i, output_tokens=None, tpot_ms=None) for i in range(3)]
    summary = summarize_run(config(), rows, {})
    assert summary["steps"][0]["output_tokens_per_s"] is None
    assert any("does not report output tokens" in note for note in summary["notes"])


def test_a_closed_loop_is_saturated_where_more_in_flight_brings_nothing() -> None:
    rows = [row(i, i * 0.1, step=1) for i in range(10)]
    rows += [row(20 + i, 10 + i * 0.05, step=2) for i in range(10)]
    rows += [row(40 + i, 20 + i * 0.05, step=3) for i in range(10)]
    chosen = config(targets=(1, 2, 4))
    found = summarize_run(chosen, rows, {})["saturation"]
    assert found["step"] == 3 and "fewer in flight" in found["reason"]


def test_an_open_loop_is_saturated_where_its_queue_grows() -> None:
    stable = [row(i, i * 0.1, duration_ms=100.0 + 80 * (i % 2)) for i in range(30)]
    growing = [row(i, i * 0.1, duration_ms=100.0 + 60 * i) for i in range(30)]
    chosen = config("open", (10,))
    for rows, is_saturated in ((stable, False), (growing, True)):
        measured = [measure_row(r) for r in rows]
        steps = summarize_run(chosen, rows, {})["steps"]
        assert bool(find_saturation(chosen, steps, find_trends(measured))) is is_saturated


def test_too_few_calls_show_the_maximum_and_how_many() -> None:
    (step,) = summarize_run(config(), [row(i, i) for i in range(3)], {})["steps"]
    shown = table_row(step)
    assert shown["latency p95"] == "max 110 ms (n = 3)" and shown["latency p50"] == "110 ms"


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_html_file_is_inert_whatever_names_and_errors_say() -> None:
    chosen = config(
        targets=(1, 2), objectives={"e2e": 100.0}, model=f"mock/{HOSTILE}", prompts=HOSTILE
    )
    rows = [row(i, i, step=1 + i % 2, error_code=HOSTILE, status="error") for i in range(4)]
    rows += [row(9 + i, i, step=1 + i % 2) for i in range(4)]
    stopped = {"cause": "max_usd", "message": HOSTILE}
    summary = summarize_run(chosen, rows, {"stopped_by": stopped})
    facts = {"run_id": "r", "name": HOSTILE, "model": chosen.model, "status": "stopped"}
    html = render_load_report(facts | {"started_at": AT}, summary, chosen.as_stored())
    seen = _Seen()
    seen.feed(html)
    assert not seen.tags & {"script", "img", "iframe", "link", "object", "a", "form"}
    assert not {name for name in seen.attributes if name.startswith("on")} | (
        seen.attributes & {"src", "href"}
    )
    assert "default-src 'none'" in html and "&lt;script&gt;" in html and "{{ 7*7 }}" in html
    json.dumps(summary, allow_nan=False)


def test_a_run_shows_itself_in_a_notebook_and_as_a_chart(toolkit: Toolkit) -> None:
    chosen = config(targets=(1, 2), model=f"mock/{HOSTILE}")
    rows = [row(i, i * 0.1, step=1 + i % 2) for i in range(8)]
    run = LoadTestRun(
        run_id="r",
        name="first",
        model=chosen.model,
        status="done",
        summary=summarize_run(chosen, rows, {}),
        config=chosen.as_stored(),
        facts={},
        store=toolkit.store,
    )
    html = run._repr_html_()
    assert "<script" not in html and "1 in flight" in html
    figure = run.figure()
    assert [trace.name for trace in figure.data] == ["p50", "p95"]
    assert "<script" not in figure.layout.title.text
    assert list(run.steps()["ok"]) == [4, 4]
