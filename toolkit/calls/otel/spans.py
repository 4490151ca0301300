"""What is exported of a request: its span, one below it for each attempt, and measurements.

Names and attributes follow OpenTelemetry's semantic conventions for generative AI; what they have
no name for begins with `toolkit.`. Only the request's span carries `gen_ai.usage.*`, so that a
backend which sums tokens over spans counts them once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

import orjson
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from toolkit.records import Call, Message, Operation

Attributes = dict[str, AttributeValue]

_SPAN_ID_BITS: Final = 64

# The names of the conventions where they differ from ours.
_PROVIDER_NAMES: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "azure-ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "vertex-ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_REQUEST_PARAMETERS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "choice.count",
}
_TIMINGS: Final = ("queue_ms", "connect_ms", "headers_ms", "ttft_ms", "ttfo_ms", "duration_ms")
_MS_NS: Final = 1_000_000
# The boundaries that the conventions name.
DURATION_BOUNDS_S: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
FIRST_CHUNK_BOUNDS_S: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
TOKEN_BOUNDS: Final = tuple(4.0**power for power in range(14))
_TOKEN_TYPES: Final = (("input", "input_tokens"), ("output", "output_tokens"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpan:
    """What the span of a request says.

    Attributes:
        request_id, model, operation: the request's.
        attempts: its rows, in order; none where it was refused before it was sent.
        error_code: why there was no answer; None where there was one.
        started_ns, ended_ns: its times, nanoseconds since the epoch.
        servers: host and port of the providers of its attempts, as far as they are known.
    """

    request_id: str
    model: str
    operation: Operation
    attempts: Sequence[Call]
    error_code: str | None
    started_ns: int
    ended_ns: int
    servers: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def of_rows(
        cls,
        attempts: Sequence[Call],
        servers: Mapping[str, tuple[str, int]] = MappingProxyType({}),
    ) -> RequestSpan:
        """The span of a request of which only the rows are known, and where providers are."""
        last = attempts[-1]
        failed = None if last.status == "ok" else last.error_code or last.status
        return cls(
            request_id=last.request_id,
            model=attempts[0].model,
            operation=last.operation,
            attempts=attempts,
            error_code=failed,
            started_ns=_nanoseconds(attempts[0].started_at),
            ended_ns=max(_attempt_end(call) for call in attempts),
            servers=servers,
        )

    @property
    def answering(self) -> Call | None:
        """The attempt that gave the answer, else the last one."""
        return self.attempts[-1] if self.attempts else None

    def labels(self) -> Attributes:
        """The attributes that spans and metrics share."""
        last = self.answering
        provider, _, model_id = (last.model if last else self.model).partition("/")
        return _known(
            {
                "gen_ai.operation.name": self.operation,
                "gen_ai.provider.name": provider_name(last.provider if last else provider),
                "gen_ai.request.model": model_id or provider,
                "gen_ai.response.model": last.response_model if last else None,
                "error.type": self.error_code,
                **self.server_of(last.provider if last else provider),
            }
        )

    def server_of(self, provider: str) -> Attributes:
        """The attributes that name the server of a provider."""
        server = self.servers.get(provider)
        return {} if server is None else {"server.address": server[0], "server.port": server[1]}


def trace_id_of(request_id: str) -> int:
    """The id of the trace that a request begins where it is part of no other."""
    return uuid.uuid5(uuid.NAMESPACE_OID, request_id).int


def span_id_of(name: str) -> int:
    """The id of the span of a request or an attempt, made of the id of the one or the other.

    A provider is told the span of an attempt before that span is written, and rows that are
    exported later have the spans that were exported live.
    """
    return uuid.uuid5(uuid.NAMESPACE_OID, name).int & (2**_SPAN_ID_BITS - 1) or 1


class SpanIds(IdGenerator):
    """Gives spans the ids that their rows stand for."""

    def __init__(self) -> None:
        self._trace_id = 0
        self._span_ids: list[int] = []

    def take(self, span: RequestSpan) -> None:
        """Prepare the ids of one request: its own span's first, then those of its attempts."""
        names = [span.request_id, *(call.call_id for call in span.attempts)]
        self._trace_id = trace_id_of(span.request_id)
        self._span_ids = [span_id_of(name) for name in names][::-1]

    def generate_trace_id(self) -> int:
        """The trace of a request that is part of no other."""
        return self._trace_id

    def generate_span_id(self) -> int:
        """The next span of the request that was taken."""
        return self._span_ids.pop()


def write_spans(
    tracer: Tracer, span: RequestSpan, *, parent: Context | None, has_content: bool
) -> Context:
    """Write the spans of one request.

    Args:
        tracer: what makes spans.
        span: the request and its rows.
        parent: the context in which the request was made; None: a trace of its own.
        has_content: whether prompt and answer are written, as far as the rows keep them.

    Returns:
        The context of the request's span.
    """
    attributes = span.labels()
    if span.answering is not None:
        attributes |= _request_attributes(span, span.answering)
        if has_content:
            attributes |= _content(span.answering)
    written = tracer.start_span(
        f"{span.operation} {attributes['gen_ai.request.model']!s}",
        context=parent if parent is not None else Context(),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        start_time=span.started_ns,
    )
    context = trace.set_span_in_context(written, parent)
    for call in span.attempts:
        _write_attempt(tracer, call, context, span, has_content=has_content)
    if span.error_code is not None:
        written.set_status(StatusCode.ERROR, _reason(span.answering, span.error_code, has_content))
    written.end(span.ended_ns)
    return context


class Measurements:
    """The metrics of the conventions, and what calls cost; of replayed requests nothing."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Duration of a request, retries and failover included.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to the first content of the attempt that answered, of streams.",
            explicit_bucket_boundaries_advisory=FIRST_CHUNK_BOUNDS_S,
        )
        self._next_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_per_output_chunk",
            unit="s",
            description="Time between two chunks of content of the attempt that answered.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of each attempt, as the provider counted them.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDS,
        )
        self._cost = meter.create_counter(
            "toolkit.client.cost", unit="{USD}", description="Cost of attempts with a known price."
        )

    def observe(self, span: RequestSpan, context: Context) -> None:
        """Measure one request; `context` holds its span, for exemplars."""
        last = span.answering
        if last is not None and last.source not in ("live", "record"):
            return
        labels = span.labels()
        taken_s = (span.ended_ns - span.started_ns) / 1e9
        self._duration.record(taken_s, labels, context)
        if last is not None and last.stream and last.ttft_ms is not None:
            self._first_chunk.record(last.ttft_ms / 1000, labels, context)
            for before, at in pairwise(last.chunk_offsets_us or ()):
                self._next_chunk.record((at - before) / 1e6, labels, context)
        for call in span.attempts:
            self._count(call, labels, context)

    def _count(self, call: Call, labels: Attributes, context: Context) -> None:
        labels = {name: value for name, value in labels.items() if name != "error.type"}
        for kind, column in _TOKEN_TYPES:
            if (count := getattr(call, column)) is not None:
                self._tokens.record(count, {**labels, "gen_ai.token.type": kind}, context)
        if call.cost_usd is not None:
            self._cost.add(float(call.cost_usd), labels, context)


def provider_name(provider: str) -> str:
    """The conventions' name of a provider; its own where they have none."""
    return _PROVIDER_NAMES.get(provider, provider)


def _write_attempt(
    tracer: Tracer, call: Call, context: Context, span: RequestSpan, *, has_content: bool
) -> None:
    started_ns = _nanoseconds(call.started_at)
    attempt = tracer.start_span(
        f"attempt {call.attempt} {call.model}",
        context=context,
        kind=SpanKind.CLIENT,
        attributes=_attempt_attributes(call) | span.server_of(call.provider),
        start_time=started_ns,
    )
    if call.status != "ok":
        code = call.error_code or call.status
        attempt.set_status(StatusCode.ERROR, _reason(call, code, has_content))
    # The wall clock may have been set between the two; a span never ends before it starts.
    attempt.end(max(started_ns, min(_attempt_end(call), span.ended_ns)))


def _request_attributes(span: RequestSpan, last: Call) -> Attributes:
    costs = [call.cost_usd for call in span.attempts if call.cost_usd is not None]
    values = {
        "gen_ai.request.stream": last.stream,
        "gen_ai.response.finish_reasons": [last.finish_reason] if last.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": _seconds(last.ttft_ms) if last.stream else None,
        "gen_ai.usage.input_tokens": last.input_tokens,
        "gen_ai.usage.output_tokens": last.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": last.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": last.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": last.reasoning_tokens,
        "toolkit.request_id": span.request_id,
        "toolkit.call_id": last.call_id,
        "toolkit.origin": last.origin,
        "toolkit.origin_id": last.origin_id,
        "toolkit.source": last.source,
        "toolkit.attempts": len(span.attempts),
        "toolkit.cost_usd": float(sum(costs)) if costs else None,
        "toolkit.flags": list(last.flags) or None,
    }
    return _known({**values, **dict(_parameters(last.params)), **_tags(last)})


def _parameters(params: Mapping[str, Any]) -> Iterator[tuple[str, AttributeValue]]:
    for name, standard in _REQUEST_PARAMETERS.items():
        if isinstance(value := params.get(name), int | float) and not isinstance(value, bool):
            yield f"gen_ai.request.{standard}", value
    stop = params.get("stop")
    if stop:
        stops = [stop] if isinstance(stop, str) else [str(text) for text in stop]
        yield "gen_ai.request.stop_sequences", stops


def _attempt_attributes(call: Call) -> Attributes:
    model_id = call.model.partition("/")[2] or call.model
    values: dict[str, Any] = {
        "gen_ai.provider.name": provider_name(call.provider),
        "gen_ai.request.model": model_id,
        "http.response.status_code": call.http_status,
        "error.type": call.error_code or (call.status if call.status != "ok" else None),
        "toolkit.call_id": call.call_id,
        "toolkit.attempt": call.attempt,
        "toolkit.attempt_kind": call.attempt_kind,
        "toolkit.blame": call.blame,
        "toolkit.is_cold": call.is_cold,
        "toolkit.retry_after_s": call.retry_after_s,
        "toolkit.provider_request_id": call.provider_request_id,
        "toolkit.cost_usd": None if call.cost_usd is None else float(call.cost_usd),
        **{f"toolkit.{name}": getattr(call, name) for name in _TIMINGS},
    }
    return _known(values)


def _tags(call: Call) -> dict[str, Any]:
    return {f"toolkit.tag.{name}": str(value) for name, value in call.tags.items()}


def _reason(call: Call | None, code: str, has_content: bool) -> str:
    """The status's description; a provider's message may repeat parts of the prompt."""
    message = call.error_message if call is not None and has_content else None
    return f"{code}: {message}" if message else code


def _content(call: Call) -> Attributes:
    """Prompt and answer as the conventions want them: JSON text of messages with parts."""
    answer = list(_answer_parts(call))
    messages = [_as_parts(message) for message in call.messages or ()]
    reply = {"role": "assistant", "parts": answer, "finish_reason": call.finish_reason or ""}
    return _known(
        {
            "gen_ai.input.messages": _json(messages) if messages else None,
            "gen_ai.output.messages": _json([reply]) if answer else None,
        }
    )


def _answer_parts(call: Call) -> Iterator[dict[str, Any]]:
    if call.reasoning_text:
        yield {"type": "reasoning", "content": call.reasoning_text}
    if call.output_text:
        yield {"type": "text", "content": call.output_text}
    for tool in call.tool_calls or ():
        yield {
            "type": "tool_call",
            "id": tool.get("id"),
            "name": tool.get("name"),
            "arguments": tool.get("arguments"),
        }


def _as_parts(message: Message) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": message.get("tool_call_id")}
        return {"role": role, "parts": [{**answer, "response": content}]}
    parts: list[dict[str, Any]] = []
    if isinstance(content, str):
        parts.append({"type": "text", "content": content})
    else:
        parts += [_part(item) for item in content or ()]
    for tool in message.get("tool_calls") or ():
        function = tool.get("function") or {}
        named = {"name": function.get("name"), "arguments": function.get("arguments")}
        parts.append({"type": "tool_call", "id": tool.get("id"), **named})
    return {"role": role, "parts": parts}


def _part(item: Any) -> dict[str, Any]:
    """A text part as it is; of an image or audio only its kind, for spans are small."""
    if not isinstance(item, Mapping):
        return {"type": "text", "content": str(item)}
    if item.get("type") == "text":
        return {"type": "text", "content": item.get("text")}
    return {"type": str(item.get("type"))}


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def _known(values: Mapping[str, Any]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def _attempt_end(call: Call) -> int:
    """Its duration is measured from the moment at which the request was sent."""
    taken = (call.connect_ms or 0.0) + (call.duration_ms or 0.0)
    return _nanoseconds(call.started_at) + int(taken * _MS_NS)
