"""`GET /metrics`: what this process has called and answered, in Prometheus' text format.

Every `Call` that is recorded is counted here, whether made by the gateway, a page or a check.
Labels hold names of providers and models, codes and endpoints, never a text, a key or a token.
Clients choose model names, so after `MAX_MODELS` of them the rest share the label `other`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import PlainTextResponse

from toolkit import __version__
from toolkit.api.access import require_scope
from toolkit.records import Call

MAX_MODELS: Final = 500
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# The boundaries that OpenTelemetry's GenAI conventions name.
DURATION_BOUNDS_S: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
TTFT_BOUNDS_S: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_TOKEN_TYPES: Final = (
    ("input", "input_tokens"),
    ("cached_input", "cached_input_tokens"),
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
)
_ENDPOINTS: Final = frozenset(
    (
        *("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings"),
        *("/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/health", "/metrics"),
        *("/api/chat", "/api/generate", "/api/tags", "/api/embed", "/api/show", "/api/ps"),
    )
)

Labels = tuple[tuple[str, str], ...]


class _Histogram:
    """Counts of observations by upper bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield _line(f"{name}_bucket", (*labels, ("le", str(bound))), total)
        yield _line(f"{name}_sum", labels, self._sum)
        yield _line(f"{name}_count", labels, total)


class Metrics:
    """Counters of one process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: set[str] = set()
        self._calls: Counter[Labels] = Counter()
        self._tokens: Counter[Labels] = Counter()
        self._unpriced: Counter[Labels] = Counter()
        self._responses: Counter[Labels] = Counter()
        self._cost: dict[Labels, Decimal] = {}
        self._durations: dict[Labels, _Histogram] = {}
        self._ttft: dict[Labels, _Histogram] = {}

    def observe_call(self, call: Call) -> None:
        """Count one recorded attempt; only live ones count for times, tokens and cost."""
        with self._lock:
            model = self._model_label(call)
            about = (
                ("operation", call.operation),
                ("origin", call.origin),
                ("source", call.source),
                ("status", call.status),
                ("code", call.error_code or ""),
            )
            self._calls[(*model, *about)] += 1
            if call.source != "live":
                return
            for kind, column in _TOKEN_TYPES:
                if count := getattr(call, column):
                    self._tokens[(*model, ("type", kind))] += count
            if call.cost_usd is not None:
                self._cost[model] = self._cost.get(model, Decimal()) + call.cost_usd
            elif call.status == "ok":
                self._unpriced[model] += 1
            _observe(self._durations, DURATION_BOUNDS_S, model, call.duration_ms)
            if call.stream:
                _observe(self._ttft, TTFT_BOUNDS_S, model, call.ttft_ms)

    def count_response(self, path: str, status: int) -> None:
        """Count one HTTP response of this server, refusals included."""
        endpoint = path if path in _ENDPOINTS else "/api" if path.startswith("/api/") else "other"
        with self._lock:
            self._responses[("endpoint", endpoint), ("status", str(status))] += 1

    def render(self, breakers: Mapping[str, str], lost: int) -> str:
        """Every metric as text.

        Args:
            breakers: state of the circuit breaker of each `provider/model` that was called.
            lost: calls whose row could not be written.
        """
        with self._lock:
            return "\n".join([*self._counter_lines(breakers, lost), *self._histogram_lines(), ""])

    def _model_label(self, call: Call) -> Labels:
        name = call.model.partition("/")[2] or call.model
        if call.model not in self._models:
            if len(self._models) < MAX_MODELS:
                self._models.add(call.model)
            else:
                return ("provider", call.provider), ("model", "other")
        return ("provider", call.provider), ("model", name)

    def _counter_lines(self, breakers: Mapping[str, str], lost: int) -> Iterable[str]:
        version: dict[Labels, float] = {(("version", __version__),): 1}
        yield from _metric("toolkit_build_info", "gauge", "The toolkit's version.", version)
        help_text = "Attempts that were recorded, retries and failover included."
        yield from _metric("toolkit_calls_total", "counter", help_text, self._calls)
        help_text = "Tokens of live calls, as the provider counted them."
        yield from _metric("toolkit_tokens_total", "counter", help_text, self._tokens)
        help_text = "Cost of live calls with a known price, USD."
        yield from _metric("toolkit_cost_usd_total", "counter", help_text, self._cost)
        help_text = "Live calls whose price is not known; they are not in the cost."
        yield from _metric("toolkit_calls_unpriced_total", "counter", help_text, self._unpriced)
        help_text = "Calls whose row could not be written."
        yield from _metric("toolkit_calls_not_recorded_total", "counter", help_text, {(): lost})
        help_text = "HTTP responses of this server, refusals included."
        yield from _metric("toolkit_http_responses_total", "counter", help_text, self._responses)
        help_text = "1 for the state in which the circuit breaker of a model is."
        states: dict[Labels, float] = {}
        for name, current in list(breakers.items())[:MAX_MODELS]:
            provider, _, model = name.partition("/")
            for state in ("closed", "half_open", "open"):
                labels = (("provider", provider), ("model", model), ("state", state))
                states[labels] = int(state == current)
        yield from _metric("toolkit_circuit_breaker_state", "gauge", help_text, states)

    def _histogram_lines(self) -> Iterable[str]:
        for name, help_text, histograms in (
            ("toolkit_call_duration_seconds", "Duration of live attempts.", self._durations),
            (
                "toolkit_time_to_first_token_seconds",
                "Time to the first content of live streams.",
                self._ttft,
            ),
        ):
            yield from (f"# HELP {name} {help_text}", f"# TYPE {name} histogram")
            for labels, histogram in histograms.items():
                yield from histogram.lines(name, labels)


def _observe(
    histograms: dict[Labels, _Histogram],
    bounds: Sequence[float],
    labels: Labels,
    value_ms: float | None,
) -> None:
    if value_ms is not None:
        histograms.setdefault(labels, _Histogram(bounds)).observe(value_ms / 1000)


def _metric(
    name: str, kind: str, help_text: str, values: Mapping[Labels, float | Decimal]
) -> Iterable[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield _line(name, labels, value)


def _line(name: str, labels: Labels, value: float | Decimal) -> str:
    shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def build_metrics(
    metrics: Metrics,
    breakers: Callable[[], Mapping[str, str]],
    lost: Callable[[], int],
    *,
    is_open: bool,
) -> APIRouter:
    """The route of the metrics; `is_open` answers it without a token."""
    needs = [] if is_open else [Depends(require_scope("read"))]
    router = APIRouter(tags=["gateway"], dependencies=needs)

    @router.get(
        "/metrics",
        summary="Metrics of this process (Prometheus)",
        response_class=PlainTextResponse,
    )
    def read_metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics.render(breakers(), lost()), media_type=MEDIA_TYPE)

    return router
