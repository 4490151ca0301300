"""`/metrics`: counts of calls in Prometheus' text format, with bounded labels and no secret."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.store.rows import call_row
from toolkit.api.metrics import MAX_MODELS, Metrics
from toolkit.records import Call

HI = [{"role": "user", "content": "a private question"}]
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


def make_call(**changes: Any) -> Call:
    return Call(**call_row(**changes))


def read(text: str) -> dict[tuple[str, frozenset[str]], float]:
    """Values by name and labels; every line must be one of the format."""
    found: dict[tuple[str, frozenset[str]], float] = {}
    typed: set[str] = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in typed
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            name, labels, value = match.groups()
            assert re.sub("_(bucket|sum|count)$", "", name) in typed or name in typed
            pairs = frozenset(re.findall(r'[a-z]+="(?:[^"\\\n]|\\.)*"', labels or ""))
            assert (name, pairs) not in found, line
            found[name, pairs] = float(value)
    return found


def value(found: Any, name: str, **labels: str) -> float:
    wanted = {f'{key}="{text}"' for key, text in labels.items()}
    return sum(v for (n, pairs), v in found.items() if n == name and wanted <= pairs)


def test_calls_errors_and_refusals_are_counted(served):
    served.provider.enqueue(text="Hello", usage={"prompt_tokens": 7, "completion_tokens": 2})
    served.provider.enqueue(chunks=["Hel", "lo"])
    served.provider.enqueue(status=400, text="no")
    body = {"model": "mock/m", "messages": HI}
    served.ask("POST", "/v1/chat/completions", json=body)
    served.ask("POST", "/v1/chat/completions", json={**body, "stream": True})
    served.ask("POST", "/v1/chat/completions", json=body)
    httpx.get(served.url + "/v1/models")
    answer = served.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = read(answer.text)
    model = {"provider": "mock", "model": "m"}
    assert value(found, "toolkit_calls_total", **model, status="ok", origin="gateway") == 2
    assert value(found, "toolkit_calls_total", **model, code="CLIENT_ERROR") == 1
    assert value(found, "toolkit_tokens_total", **model, type="input") >= 7
    assert value(found, "toolkit_call_duration_seconds_count", **model) == 3
    assert value(found, "toolkit_time_to_first_token_seconds_count", **model) == 1
    assert value(found, "toolkit_time_to_first_token_seconds_bucket", **model, le="+Inf") == 1
    assert value(found, "toolkit_circuit_breaker_state", **model, state="closed") == 1
    assert value(found, "toolkit_circuit_breaker_state", **model) == 1
    chat = {"endpoint": "/v1/chat/completions"}
    assert value(found, "toolkit_http_responses_total", **chat, status="200") == 2
    assert value(found, "toolkit_http_responses_total", status="401") == 1
    assert served.token not in answer.text and "private" not in answer.text


def test_metrics_need_a_token_that_may_read(served):
    assert httpx.get(served.url + "/metrics").status_code == 401
    caller = served.tokens.create("caller", scopes=["call"]).reveal()
    assert served.ask("GET", "/metrics", token=caller).status_code == 403
    reader = served.tokens.create("reader", scopes=["read"]).reveal()
    assert served.ask("GET", "/metrics", token=reader).status_code == 200


def test_only_live_calls_have_times_and_costs():
    metrics = Metrics()
    live = make_call(source="live", status="ok", cost_usd=None, output_tokens=3)
    metrics.observe_call(live)
    metrics.observe_call(replace(live, source="replay"))
    found = read(metrics.render({}, 0))
    assert value(found, "toolkit_calls_total") == 2
    assert value(found, "toolkit_calls_unpriced_total") == 1
    assert value(found, "toolkit_tokens_total", type="output") == 3


@pytest.mark.parametrize("name", ['qu"ote', "back\\slash", "new\nline", "ümlaut"])
def test_any_model_name_is_one_label(name):
    metrics = Metrics()
    metrics.observe_call(make_call(model=f"p/{name}", provider="p"))
    assert value(read(metrics.render({}, 0)), "toolkit_calls_total", provider="p") == 1


def test_clients_cannot_make_labels_without_end():
    metrics = Metrics()
    call = make_call(provider="p")
    for number in range(MAX_MODELS + 50):
        metrics.observe_call(replace(call, model=f"p/m{number}"))
        metrics.count_response(f"/v1/x{number}", 404)
    found = read(metrics.render({}, 0))
    assert value(found, "toolkit_calls_total", model="other") == 50
    assert value(found, "toolkit_http_responses_total", endpoint="other") == MAX_MODELS + 50
