"""Spans and metrics by OpenTelemetry, read by a receiver that parses the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import subprocess
import sys

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import toolkit as tk
from tests.cli.shell import run
from tests.servers import MockProvider
from tests.servers.collector import Collector, attributes_of, spans_of
from tests.store.rows import call_row
from toolkit.records import Call
from toolkit.toolkit import Toolkit

PROMPT, ANSWER = "the secret recipe", "salt and pepper"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


@pytest.fixture
def provider():
    with MockProvider() as server:
        yield server


@pytest.fixture
def lab(home, monkeypatch, collector, provider):
    """A toolkit that exports to the collector, with one provider, `mock`."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("TOOLKIT_RETRY_INITIAL_S", "0")
    with opened(home, provider) as toolkit:
        yield toolkit


def opened(home, provider) -> Toolkit:
    toolkit = Toolkit(home)
    toolkit.providers.add(
        "mock", base_url=provider.base_url, local=True, test=False, type="openai-compatible"
    )
    return toolkit


def exported(toolkit, collector):
    """The spans by their names' first word, and the metrics."""
    toolkit.close()
    return {span.name.split()[0]: span for span in collector.spans()}, collector.metrics()


def test_a_call_is_a_span_with_the_attempt_below_it(lab, collector, provider):
    provider.enqueue(ANSWER, usage={"prompt_tokens": 7, "completion_tokens": 3})
    reply = lab.complete("mock/m", PROMPT, temperature=0.5, max_tokens=9, stop=["END"])
    spans, metrics = exported(lab, collector)
    request, attempt = spans["chat"], spans["attempt"]

    assert request.name == "chat m"
    assert request.parent_id == ""
    assert (attempt.parent_id, attempt.trace_id) == (request.span_id, request.trace_id)
    assert request.start_ns <= attempt.start_ns <= attempt.end_ns <= request.end_ns
    expected = {
        "service.name": "llm-provider-toolkit",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mock",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "toolkit.request_id": reply.request_id,
        "toolkit.origin": "api",
    }
    assert {name: request.attributes.get(name) for name in expected} == expected
    assert attempt.attributes["http.response.status_code"] == 200
    for span in (request, attempt):
        assert span.attributes["server.address"] == "127.0.0.1"
        assert span.attributes["server.port"] == provider.port
    assert "gen_ai.usage.input_tokens" not in attempt.attributes  # else a backend counts twice

    (duration,) = metrics["gen_ai.client.operation.duration"]
    assert duration.count == 1 and 0 < duration.sum < 60
    tokens = {
        attribute.value.string_value: point.sum
        for point in metrics["gen_ai.client.token.usage"]
        for attribute in point.attributes
        if attribute.key == "gen_ai.token.type"
    }
    assert tokens == {"input": 7, "output": 3}


def test_a_stream_has_the_time_to_its_first_chunk(lab, collector, provider):
    provider.enqueue(ANSWER)
    with lab.stream("mock/m", PROMPT) as stream:
        assert "".join(stream) == ANSWER
    spans, metrics = exported(lab, collector)
    ttft_s = stream.reply.timing.ttft_ms / 1000
    assert spans["chat"].attributes["gen_ai.response.time_to_first_chunk"] == ttft_s
    assert spans["chat"].attributes["gen_ai.request.stream"] is True
    (point,) = metrics["gen_ai.client.operation.time_to_first_chunk"]
    assert point.sum == ttft_s
    (gaps,) = metrics["gen_ai.client.operation.time_per_output_chunk"]
    offsets = stream.reply.timing.chunk_offsets_us
    assert (gaps.count, len(offsets)) == (len(ANSWER.split()) - 1, len(ANSWER.split()))
    assert gaps.sum == pytest.approx((offsets[-1] - offsets[0]) / 1e6)
    names = {attribute.key for attribute in gaps.attributes}
    assert {"server.address", "server.port", "gen_ai.operation.name"} <= names


def test_each_attempt_is_a_span_of_its_own(lab, collector, provider):
    provider.enqueue(status=500)
    provider.enqueue(ANSWER)
    lab.complete("mock/m", PROMPT)
    lab.close()
    request = next(span for span in collector.spans() if span.name == "chat m")
    attempts = [span for span in collector.spans() if span.name.startswith("attempt")]
    assert [span.parent_id for span in attempts] == [request.span_id] * 2
    assert [span.attributes.get("error.type") for span in attempts] == ["SERVER_ERROR", None]
    assert [span.is_error for span in attempts] == [True, False]
    assert not request.is_error and request.attributes["toolkit.attempts"] == 2


def test_a_failure_is_a_span_with_its_code_only(lab, collector, provider):
    provider.enqueue(status=400, body={"error": {"message": f"no: {PROMPT}"}})
    with pytest.raises(tk.errors.InvalidRequest, match=PROMPT):
        lab.complete("mock/m", PROMPT)
    spans, metrics = exported(lab, collector)
    for span in (spans["chat"], spans["attempt"]):
        assert span.is_error
        assert span.attributes["error.type"] == "CLIENT_ERROR"
        assert span.reason == "CLIENT_ERROR"  # the provider's message may repeat the prompt
    (point,) = metrics["gen_ai.client.operation.duration"]
    assert attributes_of(point.attributes)["error.type"] == "CLIENT_ERROR"


def test_a_refused_request_is_a_span_without_attempts(lab, collector, provider):
    class Refuse:
        def before(self, request):
            raise tk.errors.InvalidInput("not today")

    lab.processors.append(Refuse())
    with pytest.raises(tk.errors.InvalidInput):
        lab.complete("mock/m", PROMPT)
    spans, _ = exported(lab, collector)
    assert spans.keys() == {"chat"}
    assert spans["chat"].attributes["error.type"] == tk.errors.InvalidInput.code
    assert provider.requests == []


@pytest.mark.parametrize(
    ("recording", "asked", "is_exported"),
    [("full", "true", True), ("full", "", False), ("hash", "true", False), ("off", "true", False)],
)
def test_content_is_exported_only_where_it_is_kept_and_asked_for(
    home, monkeypatch, collector, provider, recording, asked, is_exported
):
    monkeypatch.setenv("TOOLKIT_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("TOOLKIT_RECORDING", recording)
    monkeypatch.setenv(CONTENT, asked)
    toolkit = opened(home, provider)
    provider.enqueue(ANSWER)
    toolkit.complete(
        "mock/m", [{"role": "system", "content": "be brief"}, {"role": "user", "content": PROMPT}]
    )
    spans, _ = exported(toolkit, collector)
    sent = b"".join(request.body for request in collector.requests)
    assert (PROMPT.encode() in sent, ANSWER.encode() in sent) == (is_exported, is_exported)
    if is_exported:
        messages = json.loads(spans["chat"].attributes["gen_ai.input.messages"])
        assert [message["role"] for message in messages] == ["system", "user"]
        assert messages[1]["parts"] == [{"type": "text", "content": PROMPT}]
        (answer,) = json.loads(spans["chat"].attributes["gen_ai.output.messages"])
        assert answer["parts"] == [{"type": "text", "content": ANSWER}]
        assert answer["finish_reason"] == "stop"


def test_the_active_span_of_the_program_is_the_parent(home, provider, monkeypatch):
    kept = InMemorySpanExporter()
    program = TracerProvider()
    program.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", program)
    toolkit = opened(home, provider)
    with program.get_tracer("program").start_as_current_span("its own work") as work:
        toolkit.complete("mock/m", PROMPT)  # on another thread: the context must go along
        toolkit.embed("mock/e", PROMPT)
        asyncio.run(toolkit.acomplete("mock/m", PROMPT))
        with toolkit.stream("mock/m", PROMPT) as stream:
            "".join(stream)
        toolkit.compare(PROMPT, ["mock/m", "mock/m2"])
    toolkit.close()
    spans = kept.get_finished_spans()
    requests = [span for span in spans if span.name.split()[0] in ("chat", "embeddings")]
    assert len(requests) == 6
    for request in requests:
        assert request.parent.span_id == work.get_span_context().span_id
        assert request.context.trace_id == work.get_span_context().trace_id


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_provider_learns_the_trace_only_where_that_is_set(
    home, provider, monkeypatch, is_asked_for
):
    kept = InMemorySpanExporter()
    program = TracerProvider()
    program.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", program)
    monkeypatch.setenv("TOOLKIT_RETRY_INITIAL_S", "0")
    if is_asked_for:
        monkeypatch.setenv("TOOLKIT_OTLP_PROPAGATE", "1")
    toolkit = opened(home, provider)
    provider.enqueue(status=500)
    with program.get_tracer("program").start_as_current_span("its own work") as work:
        toolkit.complete("mock/m", PROMPT)
        with toolkit.stream("mock/m", PROMPT) as stream:
            "".join(stream)
    toolkit.complete("mock/m", PROMPT)  # no span is active: a trace of its own begins
    toolkit.close()
    sent = [request.headers.get("traceparent", "") for request in provider.requests]
    if not is_asked_for:
        assert sent == ["", "", "", ""]
        return
    attempts = [span for span in kept.get_finished_spans() if span.name.startswith("attempt")]
    names = [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-" for span in attempts]
    # Each attempt's own span, the first of a retried request included.
    assert [header[:-2] for header in sent] == names
    assert all(int(header[-2:], 16) & 1 for header in sent)  # sampled
    assert len(set(names)) == 4
    context = work.get_span_context()
    inside = [span.context.trace_id == context.trace_id for span in attempts]
    assert inside == [True, True, True, False]


def test_a_call_of_plain_litellm_code_is_a_span(lab, collector):
    lab.tracing.observe_watched(Call(**call_row(recorded_by="callback", duration_ms=50.0)))
    lab.tracing.observe_watched(Call(**call_row()))  # ours, which the pipeline reports
    lab.close()
    assert [span.name for span in collector.spans()] == ["attempt 1 m1", "chat m1"]


def test_without_a_collector_nothing_is_loaded(home, provider):
    opened(home, provider).close()
    script = (
        "import sys, toolkit as tk\n"
        f"tk.providers.add('p', base_url={provider.base_url!r}, local=True, test=False,"
        " type='openai-compatible')\n"
        "tk.complete('p/m', 'hello')\n"
        "sys.exit('opentelemetry.sdk.trace' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0


def test_a_collector_that_is_down_is_reported_once(home, provider, monkeypatch, caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        monkeypatch.setenv("TOOLKIT_OTLP_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
        toolkit = opened(home, provider)
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                assert toolkit.complete("mock/m", PROMPT).text
                toolkit.tracing.flush()
            toolkit.close()
    said = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("toolkit", "opentelemetry"))
    ]
    assert len(said) == 1 and "could not be sent" in said[0]


def test_a_collector_that_refuses_is_reported_and_calls_go_on(lab, collector, caplog):
    collector.status = 400
    assert lab.complete("mock/m", PROMPT).text
    lab.tracing.flush()
    collector.status = 200
    assert lab.complete("mock/m", PROMPT).text
    lab.close()
    assert caplog.text.count("could not be sent") == 1
    assert any(span.name == "chat m" for span in collector.spans())


def test_headers_and_names_come_from_the_standard_variables(home, provider, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-service")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    toolkit = opened(home, provider)
    toolkit.complete("mock/m", PROMPT)
    spans, metrics = exported(toolkit, collector)
    assert spans["chat"].attributes["service.name"] == "my-service"
    assert {request.headers["x-tenant"] for request in collector.requests} == {"blue"}
    assert metrics == {}


def test_the_sdk_can_be_disabled(home, provider, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    toolkit = opened(home, provider)
    toolkit.complete("mock/m", PROMPT)
    toolkit.close()
    assert collector.requests == []


def test_an_open_cassette_never_sees_the_export(lab, collector, tmp_path):
    with tk.cassette("suite/case", mode="record", folder=tmp_path):
        lab.complete("mock/m", PROMPT)
        lab.tracing.flush()
        assert collector.requests == []
    assert "v1/traces" not in (tmp_path / "suite" / "case.yaml").read_text("utf-8")
    lab.complete("mock/m", "live")
    lab.close()
    sources = [s.attributes["toolkit.source"] for s in collector.spans() if s.name == "chat m"]
    assert sources == ["record", "live"]


@pytest.mark.parametrize("suffix", [".pb", ".json", ".jsonl"])
def test_recorded_calls_are_exported_as_spans(home, provider, tmp_path, suffix):
    toolkit = opened(home, provider)
    provider.enqueue(status=500)
    provider.enqueue(ANSWER)
    reply = toolkit.complete("mock/m", PROMPT)
    toolkit.close()
    file, again = tmp_path / f"calls{suffix}", tmp_path / f"again{suffix}"
    for target in (file, again):
        assert run("calls", "export", str(target), "--otlp").returncode == 0
    content = file.read_bytes()
    assert content == again.read_bytes()  # the same calls are the same spans
    assert PROMPT.encode() not in content
    spans = list(spans_of(content if suffix == ".pb" else from_json(content)))
    request = spans[-1]
    assert [span.name for span in spans] == ["attempt 1 mock/m", "attempt 2 mock/m", "chat m"]
    assert {span.trace_id for span in spans} == {request.trace_id}
    assert [span.parent_id for span in spans] == [request.span_id] * 2 + [""]
    assert request.attributes["toolkit.request_id"] == reply.request_id
    assert request.attributes["gen_ai.usage.output_tokens"] == reply.usage.output_tokens
    for span in spans:
        server = (span.attributes["server.address"], span.attributes["server.port"])
        assert server == ("127.0.0.1", provider.port)


def test_calls_that_are_exported_later_have_the_spans_that_were_exported_live(
    lab, collector, tmp_path
):
    lab.complete("mock/m", PROMPT)
    lab.close()
    file = tmp_path / "calls.pb"
    assert run("calls", "export", str(file), "--otlp").returncode == 0
    live, later = (
        {(span.name, span.trace_id, span.span_id, span.parent_id) for span in spans}
        for spans in (collector.spans(), spans_of(file.read_bytes()))
    )
    assert later and later <= live


def test_content_is_in_the_file_when_asked_for(home, provider, tmp_path):
    toolkit = opened(home, provider)
    toolkit.complete("mock/m", PROMPT)
    toolkit.close()
    file = tmp_path / "calls.pb"
    assert run("calls", "export", str(file), "--otlp", "--content").returncode == 0
    (request, _) = sorted(spans_of(file.read_bytes()), key=lambda span: span.parent_id)
    assert PROMPT in request.attributes["gen_ai.input.messages"]


def test_the_shell_exports_before_it_ends(home, provider, collector, monkeypatch):
    opened(home, provider).close()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    assert run("chat", PROMPT, "-m", "mock/m").returncode == 0
    request = next(span for span in collector.spans() if span.name == "chat m")
    assert request.attributes["toolkit.origin"] == "chat"


def from_json(content: bytes) -> bytes:
    """OTLP's JSON as protobuf: ids are hexadecimal there, and base64 in protobuf's own JSON."""

    def as_base64(value):
        if isinstance(value, list):
            return [as_base64(item) for item in value]
        if not isinstance(value, dict):
            return value
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode() if name in ids else as_base64(item)
            for name, item in value.items()
        }

    parsed = ParseDict(as_base64(json.loads(content)), ExportTraceServiceRequest())
    return parsed.SerializeToString()
