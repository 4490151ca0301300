"""A client's trace goes on through the gateway to the collector."""

from __future__ import annotations

import pytest

from tests.servers.collector import Collector

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(home, monkeypatch):
    with Collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("sampled", "spans"), [("01", 1), ("00", 0)])
def test_the_trace_of_a_client_is_continued(collector, served, stream, sampled, spans):
    answer = served.ask(
        "POST",
        "/v1/chat/completions",
        headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-{sampled}"},
        json={
            "model": "mock/m",
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}],
        },
    )
    assert answer.status_code == 200
    served.toolkit.tracing.flush()
    requests = [span for span in collector.spans() if span.name == "chat m"]
    assert [(span.trace_id, span.parent_id) for span in requests] == [(TRACE_ID, SPAN_ID)] * spans


def test_a_malformed_traceparent_starts_a_trace_of_its_own(collector, served):
    body = {"model": "mock/m", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"traceparent": "nonsense"}
    assert served.ask("POST", "/v1/chat/completions", headers=headers, json=body).status_code == 200
    served.toolkit.tracing.flush()
    (request,) = [span for span in collector.spans() if span.name == "chat m"]
    assert request.parent_id == "" and request.attributes["toolkit.origin"] == "gateway"
