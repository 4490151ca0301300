"""An OpenTelemetry collector on a real socket: it parses what it receives by the protocol."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.servers.threaded import QuietHandler, ThreadedServer


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came, its ids as hexadecimal text."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    is_error: bool
    reason: str
    attributes: dict[str, Any]


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Collector(ThreadedServer):
    """Use it in a `with` block; `status` is what it answers.

    Attributes:
        endpoint: its address without a path.
    """

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[Received] = []
        collector = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append(Received(self.path, headers, self.read_body()))
                self.answer(status=collector.status)

        super().__init__(Handler)

    @property
    def endpoint(self) -> str:
        return self.origin

    def spans(self) -> list[ReceivedSpan]:
        return [span for body in self._bodies("/v1/traces") for span in spans_of(body)]

    def metrics(self) -> dict[str, list[Any]]:
        """The data points of each metric, the latest report only."""
        found: dict[str, list[Any]] = {}
        for body in self._bodies("/v1/metrics"):
            message = ExportMetricsServiceRequest.FromString(body)
            for resource in message.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found[metric.name] = list(
                            getattr(metric, metric.WhichOneof("data")).data_points
                        )
        return found

    def _bodies(self, path: str) -> Iterator[bytes]:
        for request in list(self.requests):
            if request.path == path:
                packed = request.headers.get("content-encoding") == "gzip"
                yield gzip.decompress(request.body) if packed else request.body


def spans_of(body: bytes) -> Iterator[ReceivedSpan]:
    """The spans of one body of `/v1/traces`."""
    message = ExportTraceServiceRequest.FromString(body)
    for resource in message.resource_spans:
        shared = attributes_of(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    is_error=span.status.code == 2,
                    reason=span.status.message,
                    attributes=shared | attributes_of(span.attributes),
                )


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    value = getattr(pair.value, kind)
    return (
        [getattr(v, v.WhichOneof("value")) for v in value.values]
        if kind == "array_value"
        else value
    )
