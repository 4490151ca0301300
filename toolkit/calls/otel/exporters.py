"""Where spans and metrics go: to the program's own providers, to a collector, or into a file.

The standard `OTEL_*` variables configure the exporter (headers, certificates, compression,
time-outs, sampler, resource); the setting `otlp_endpoint` only names the collector. A collector
that cannot be reached is reported once, until it is reached again.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToDict
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, Tracer

from toolkit.calls.attempt_spec import current_source
from toolkit.calls.otel.otel_variables import (
    Signal,
    find_endpoint,
    find_unsupported_protocol,
    has_timeout,
    is_signal_wanted,
    names_service,
    wants_content,
)
from toolkit.calls.otel.spans import Measurements, RequestSpan, SpanIds, write_spans
from toolkit.records import CALL_COLUMNS, Call
from toolkit.settings import Settings
from toolkit.version import __version__

_log = logging.getLogger("toolkit")

SCOPE: Final = "llm-provider-toolkit"
_TIMEOUT_S: Final = 5.0
_GRACE_S: Final = 2.0  # at the end of a program that a collector would hold up
_FLUSH_MS: Final = 10_000
_CASSETTE: Final = ("record", "replay")
_FILE_BATCH: Final = 512
_IDS: Final = ("traceId", "spanId", "parentSpanId")


def open_output(settings: Settings) -> Output:
    """Find the program's providers, or make ones that send to the collector."""
    _warn_of_protocol()
    reach = _Reach()
    opened: list[Any] = []
    resource = make_resource()
    tracer = _find_tracer(settings, resource, reach, opened)
    meter = _find_meter(settings, resource, reach, opened)
    return Output(tracer, meter, has_content=wants_content(settings), opened=opened, reach=reach)


def make_resource() -> Resource:
    """Who reports: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else this package."""
    own = {} if names_service() else {"service.name": SCOPE, "service.version": __version__}
    return Resource.create({**own, "toolkit.version": __version__})


class Output:
    """Writes finished requests as spans and measurements.

    Args:
        tracer: what makes spans.
        meter: what measures.
        has_content: whether prompts and answers are written.
        opened: the providers made here, which are flushed and closed here.
        reach: whether the collector is reached.
    """

    def __init__(
        self, tracer: Tracer, meter: Meter, *, has_content: bool, opened: list[Any], reach: _Reach
    ) -> None:
        self._tracer = tracer
        self._ids = SpanIds()
        if isinstance(tracer, SdkTracer):  # this package's own, also of the program's provider
            tracer.id_generator = self._ids
        self._measurements = Measurements(meter)
        self._has_content = has_content
        self._opened = opened
        self._reach = reach

    def write(self, span: RequestSpan, parent: Context | None) -> None:
        """Write one request; `parent` is the context in which it was made."""
        self._ids.take(span)
        context = write_spans(self._tracer, span, parent=parent, has_content=self._has_content)
        self._measurements.observe(span, context)

    def flush(self) -> None:
        """Send what waits."""
        for provider in self._opened:
            provider.force_flush(_FLUSH_MS)

    def close(self) -> None:
        """Send what waits, with a short limit where the collector does not answer."""
        if not self._opened:
            return
        limit = threading.Timer(_GRACE_S, self._reach.give_up)
        limit.daemon = True
        limit.start()
        for provider in self._opened:
            provider.shutdown()
        limit.cancel()
        self._opened = []


class _Reach:
    """Whether the collector is reached; the loss is reported once."""

    def __init__(self) -> None:
        self.exporters: list[Any] = []
        self._is_lost = False
        self._lock = threading.Lock()

    def note(self, endpoint: str, *, is_reached: bool) -> None:
        """Report a change."""
        with self._lock:
            if is_reached != self._is_lost:
                return
            self._is_lost = not is_reached
        where = urlsplit(endpoint)
        address = f"{where.scheme}://{where.hostname}:{where.port or ''}".rstrip(":")
        if is_reached:
            _log.info("OpenTelemetry: the collector at %s is reached again", address)
        else:
            _log.warning(
                "OpenTelemetry: spans and metrics could not be sent to %s; calls are not affected, "
                "and this is reported once. Check that a collector receives OTLP over HTTP there.",
                address,
            )

    def give_up(self) -> None:
        """End the retries of every exporter."""
        for exporter in self.exporters:
            exporter.shutdown()


class _QuietThread(logging.Filter):
    """Drops what a thread logs while it exports: the outcome is reported in our own words."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.local, "is_quiet", False)

    def __enter__(self) -> None:
        self.local.is_quiet = True

    def __exit__(self, *_: object) -> None:
        self.local.is_quiet = False


_quiet = _QuietThread()


class _SpanExporter(trace_exporter.OTLPSpanExporter):
    """Sends spans; holds them back while a cassette is open, whose patches would see the request.

    A replay refuses every connection, and a recording would keep this one.
    """

    def __init__(self, reach: _Reach, **options: Any) -> None:
        super().__init__(**options)
        self._reach = reach
        self._held: list[ReadableSpan] = []
        reach.exporters.append(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._held += spans
        if current_source() in _CASSETTE:
            return SpanExportResult.SUCCESS
        held, self._held = self._held, []
        with _quiet:
            result = super().export(held)
        self._reach.note(self._endpoint, is_reached=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        if not self._shutdown:
            super().shutdown()  # type: ignore[no-untyped-call]


class _MetricExporter(metric_exporter.OTLPMetricExporter):
    """Sends metrics, not while a cassette is open; the next time sends their sums."""

    def __init__(self, reach: _Reach, **options: Any) -> None:
        super().__init__(**options)
        self._reach = reach
        reach.exporters.append(self)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        if current_source() in _CASSETTE:
            return MetricExportResult.SUCCESS
        with _quiet:
            result = super().export(metrics_data, timeout_millis, **kwargs)
        self._reach.note(self._endpoint, is_reached=result is MetricExportResult.SUCCESS)
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if not self._shutdown:
            super().shutdown(timeout_millis, **kwargs)


def _find_tracer(
    settings: Settings, resource: Resource, reach: _Reach, opened: list[Any]
) -> Tracer:
    used = trace.get_tracer_provider()
    if isinstance(used, TracerProvider):
        return used.get_tracer(SCOPE, __version__)
    if not is_signal_wanted("traces", settings):
        return NoOpTracer()
    own = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _SpanExporter(reach, **_exporter_options(settings, "traces", trace_exporter))
    own.add_span_processor(BatchSpanProcessor(exporter))
    opened.append(own)
    return own.get_tracer(SCOPE, __version__)


def _find_meter(settings: Settings, resource: Resource, reach: _Reach, opened: list[Any]) -> Meter:
    used = metrics.get_meter_provider()
    if isinstance(used, MeterProvider):
        return used.get_meter(SCOPE, __version__)
    if not is_signal_wanted("metrics", settings):
        return metrics.NoOpMeterProvider().get_meter(SCOPE)
    exporter = _MetricExporter(reach, **_exporter_options(settings, "metrics", metric_exporter))
    reader = PeriodicExportingMetricReader(exporter)
    own = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    opened.append(own)
    return own.get_meter(SCOPE, __version__)


def _exporter_options(settings: Settings, signal: Signal, module: Any) -> dict[str, Any]:
    """The collector of the setting, and a time-out where no variable names one."""
    module._logger.addFilter(_quiet)
    options: dict[str, Any] = {}
    if endpoint := find_endpoint(signal, settings):
        options["endpoint"] = endpoint
    if not has_timeout(signal):
        options["timeout"] = _TIMEOUT_S
    return options


def _warn_of_protocol() -> None:
    if protocol := find_unsupported_protocol():
        _log.warning(
            "OpenTelemetry: OTEL_EXPORTER_OTLP_PROTOCOL=%s is not supported; "
            "http/protobuf is used (collectors listen for it on port 4318).",
            protocol,
        )


def encode_calls(
    rows: Iterable[Mapping[str, Any]],
    servers: Mapping[str, tuple[str, int]],
    *,
    as_json: bool,
    has_content: bool,
) -> Iterator[bytes]:
    """Encode recorded calls as OTLP export requests, each with a few hundred requests' spans.

    Args:
        rows: rows of `calls`; those of one request become one trace.
        servers: name of a provider -> host and port, for those that are still known.
        as_json: OTLP's JSON encoding, else protobuf.
        has_content: whether prompts and answers are written, as far as the rows keep them.
    """
    for batch in _batches(rows):
        message = encode_spans(_spans_of(batch, servers, has_content=has_content))
        if not as_json:
            yield message.SerializeToString()
            continue
        content = MessageToDict(message, use_integers_for_enums=True)
        yield json.dumps(_with_hexadecimal_ids(content), ensure_ascii=False).encode()


def merge(requests: Sequence[bytes], *, as_json: bool) -> bytes:
    """Several export requests as one: protobuf messages concatenate, JSON lists are joined."""
    if not as_json:
        return b"".join(requests)
    spans = [item for text in requests for item in json.loads(text).get("resourceSpans", ())]
    return json.dumps({"resourceSpans": spans}, ensure_ascii=False, indent=1).encode()


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[list[Call]]]:
    requests: dict[str, list[Call]] = defaultdict(list)
    for row in rows:
        known = {name: row[name] for name in CALL_COLUMNS if name in row}
        requests[row["request_id"]].append(Call(**known))
    groups = [sorted(calls, key=lambda call: call.attempt) for calls in requests.values()]
    for at in range(0, len(groups), _FILE_BATCH):
        yield groups[at : at + _FILE_BATCH]


def _spans_of(
    requests: Iterable[Sequence[Call]],
    servers: Mapping[str, tuple[str, int]],
    *,
    has_content: bool,
) -> Sequence[ReadableSpan]:
    ids = SpanIds()
    kept = InMemorySpanExporter()
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=make_resource(),
        shutdown_on_exit=False,
        id_generator=ids,
        span_limits=SpanLimits(max_span_attribute_length=SpanLimits.UNSET),
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer(SCOPE, __version__)
    for attempts in requests:
        span = RequestSpan.of_rows(attempts, servers)
        ids.take(span)
        write_spans(tracer, span, parent=None, has_content=has_content)
    return kept.get_finished_spans()


def _with_hexadecimal_ids(content: Any) -> Any:
    """OTLP's JSON writes ids as hexadecimal text where protobuf's own writes base64."""
    if isinstance(content, list):
        return [_with_hexadecimal_ids(item) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        name: base64.b64decode(value).hex() if name in _IDS else _with_hexadecimal_ids(value)
        for name, value in content.items()
    }
