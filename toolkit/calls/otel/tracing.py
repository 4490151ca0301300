"""Observe requests and hand them to OpenTelemetry, if the process or the settings want that.

Spans are wanted when the setting `otlp_endpoint` or one of OpenTelemetry's own variables names a
collector, or when the program has a tracer provider of its own. A request is observed after it has
ended, and a thread writes its spans: a call neither waits for OpenTelemetry nor fails with it.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from toolkit.calls.otel.otel_variables import has_collector, is_disabled
from toolkit.errors import CallError, ToolkitError
from toolkit.records import Call, ChatRequest
from toolkit.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from toolkit.calls.otel.exporters import Output
    from toolkit.calls.otel.spans import RequestSpan

    _Finished = tuple[RequestSpan, Context | None]

_log = logging.getLogger("toolkit")

_MAX_WAITING: Final = 10_000
_DRAIN_S: Final = 2.0
_NOT_INSTALLED: Final = (
    "no spans are exported: the package for it is missing. "
    "Install it with: pip install 'llm-provider-toolkit[otel]'"
)


@dataclass(slots=True)
class _Open:
    started_ns: int
    parent: Context | None
    error_code: str | None = None


class Tracing:
    """A processor that reports every request to OpenTelemetry; does nothing unless it is wanted.

    Args:
        settings: the collector and the recording policy.
        find_server: name of a provider -> host and port of its server, where it has an address.
    """

    def __init__(
        self,
        settings: Settings,
        find_server: Callable[[str], tuple[str, int] | None] = lambda provider: None,
    ) -> None:
        self._settings = settings
        self._find_server = find_server
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._waiting: queue.SimpleQueue[tuple[RequestSpan, Context | None] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._output: Output | None = None
        self._has_warned = False
        self._is_closed = False
        self._is_configured = has_collector(settings)

    @property
    def is_wanted(self) -> bool:
        """Whether spans are written: a collector is named, or the program traces itself."""
        if self._is_closed or is_disabled():
            return False
        if not self._is_configured and not _program_traces():
            return False
        if find_spec("opentelemetry.sdk") is None:
            self._warn_once(_NOT_INSTALLED)
            return False
        return True

    # ---- as a processor ---------------------------------------------------------------------

    def before(self, request: ChatRequest) -> ChatRequest:
        """Note when the request began, and the span in which it was made."""
        if self.is_wanted:
            from opentelemetry.context import get_current

            self._open[request.request_id] = _Open(time.time_ns(), get_current())
        return request

    def on_error(self, request: ChatRequest, error: CallError) -> None:
        """Note why the request failed."""
        if (noted := self._open.get(request.request_id)) is not None:
            noted.error_code = error.code

    def ended(self, request: ChatRequest, attempts: Sequence[Call]) -> None:
        """Hand the request to the thread that writes spans."""
        noted = self._open.pop(request.request_id, None)
        if noted is None:
            return
        error = sys.exception()
        code = noted.error_code or (error.code if isinstance(error, ToolkitError) else None)
        if code is None and error is not None:
            code = "cancelled"
        from toolkit.calls.otel.spans import RequestSpan

        span = RequestSpan(
            request_id=request.request_id,
            model=request.model,
            operation=request.operation,
            attempts=tuple(attempts),
            error_code=code,
            started_ns=noted.started_ns,
            ended_ns=time.time_ns(),
        )
        self._put(span, noted.parent)

    # ---- beside the pipeline ----------------------------------------------------------------

    def observe_watched(self, call: Call) -> None:
        """Report a call of plain litellm code, which passes no pipeline."""
        if call.recorded_by == "callback" and self.is_wanted:
            from toolkit.calls.otel.spans import RequestSpan

            self._put(RequestSpan.of_rows([call]), None)

    @contextmanager
    def continued(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Make the trace that a client's headers name the active one while the block runs."""
        if "traceparent" not in headers or not self.is_wanted:
            yield
            return
        from opentelemetry import context, propagate, trace

        if trace.get_current_span().get_span_context().is_valid:
            yield  # an instrumentation of the server has continued the trace
            return
        token = context.attach(propagate.extract(headers))
        try:
            yield
        finally:
            context.detach(token)

    def headers_for(self, request_id: str, call_id: str) -> Mapping[str, str]:
        """The headers that name the span of an attempt to its provider, if that is set.

        The span is written after the request has ended, and has its id of the attempt's.
        """
        noted = self._open.get(request_id) if self._settings.otlp_propagate else None
        if noted is None:
            return {}
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from toolkit.calls.otel.spans import span_id_of, trace_id_of

        parent = trace.get_current_span(noted.parent).get_span_context()
        is_part = parent.is_valid  # of a trace that began elsewhere
        flags = parent.trace_flags if is_part else trace.TraceFlags(trace.TraceFlags.SAMPLED)
        own = trace.SpanContext(
            parent.trace_id if is_part else trace_id_of(request_id),
            span_id_of(call_id),
            is_remote=False,
            trace_flags=flags,
            trace_state=parent.trace_state,
        )
        headers: dict[str, str] = {}
        context = trace.set_span_in_context(trace.NonRecordingSpan(own))
        TraceContextTextMapPropagator().inject(headers, context)  # no baggage
        return headers

    def servers_of(self, providers: Iterable[str]) -> Mapping[str, tuple[str, int]]:
        """Host and port of the server of each provider, as far as they are known."""
        servers = {}
        for name in set(providers):
            with suppress(ToolkitError):  # its entry is not valid any more
                if (server := self._find_server(name)) is not None:
                    servers[name] = server
        return servers

    def flush(self) -> None:
        """Write and send what has been observed."""
        if self._thread is None:
            return
        self._drain()
        if self._output is not None:
            self._output.flush()

    def close(self) -> None:
        """Send what has been observed, within a few seconds, and stop."""
        self._is_closed = True
        if self._thread is not None:
            self._drain()
        if self._output is not None:
            self._output.close()

    # ---- the thread -------------------------------------------------------------------------

    def _put(self, span: RequestSpan, parent: Context | None) -> None:
        if self._waiting.qsize() >= _MAX_WAITING:
            self._warn_once("spans are dropped: calls end faster than they can be written")
            return
        self._waiting.put((span, parent))
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._write_all, name="toolkit-otel", daemon=True
                )
                self._thread.start()

    def _drain(self) -> None:
        """End the thread after what waits now; the next request starts another."""
        self._waiting.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_DRAIN_S)

    def _write_all(self) -> None:
        while (finished := self._waiting.get()) is not None:
            try:
                span, parent = finished
                servers = self.servers_of(call.provider for call in span.attempts)
                self._require_output().write(replace(span, servers=servers), parent)
            except Exception as error:  # noqa: BLE001 - OpenTelemetry's trouble is not the call's
                self._warn_once(f"a span could not be written ({type(error).__name__}: {error})")

    def _require_output(self) -> Output:
        if self._output is None:
            # requests looks for a package for SOCKS proxies, and warns when there is none.
            warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
            from toolkit.calls.otel.exporters import open_output

            self._output = open_output(self._settings)
        return self._output

    def _warn_once(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("OpenTelemetry: %s", message)


def _program_traces() -> bool:
    """Whether the program has set a tracer provider of its own."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return False
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    return isinstance(trace.get_tracer_provider(), TracerProvider)
