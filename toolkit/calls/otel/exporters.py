"""Where spans and metrics go: to the program's own providers, else to a collector by OTLP/HTTP.

The standard `OTEL_*` variables configure the exporter (headers, certificates, compression,
time-outs, sampler, resource); the setting `otlp_endpoint` only names the collector. A collector
that cannot be reached is reported once, until it is reached again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import NoOpTracer, Tracer

from toolkit.calls.otel.otel_variables import (
    Signal,
    find_endpoint,
    find_unsupported_protocol,
    has_timeout,
    is_signal_wanted,
    names_service,
    wants_content,
)
from toolkit.calls.otel.spans import Measurements, RequestSpan, write_spans
from toolkit.calls.source import current_source
from toolkit.settings import Settings
from toolkit.version import __version__

_log = logging.getLogger("toolkit")

SCOPE: Final = "llm-provider-toolkit"
_TIMEOUT_S: Final = 5.0
_GRACE_S: Final = 2.0  # at the end of a program that a collector would hold up
_FLUSH_MS: Final = 10_000


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
        self._measurements = Measurements(meter)
        self._has_content = has_content
        self._opened = opened
        self._reach = reach

    def write(self, span: RequestSpan, parent: Context | None) -> None:
        """Write one request; `parent` is the context in which it was made."""
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
        if current_source() != "live":
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
        if current_source() != "live":
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
