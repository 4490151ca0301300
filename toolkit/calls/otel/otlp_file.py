"""Recorded calls as a file of OTLP spans, for a collector or a backend to read later.

`.json` and `.jsonl` hold OTLP's JSON encoding (`.jsonl` one request per line, as the collector's
file receiver reads it), any other name its protobuf encoding. The ids of spans come from the rows,
so that the same calls exported twice are the same spans.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from toolkit.calls.otel.exporters import SCOPE, make_resource
from toolkit.calls.otel.spans import RequestSpan, write_spans
from toolkit.records import CALL_COLUMNS, Call
from toolkit.version import __version__

_BATCH: Final = 512
_IDS: Final = ("traceId", "spanId", "parentSpanId")


def encode_calls(
    rows: Iterable[Mapping[str, Any]], *, as_json: bool, has_content: bool
) -> Iterator[bytes]:
    """Encode recorded calls as OTLP export requests, each with a few hundred requests' spans.

    Args:
        rows: rows of `calls`; those of one request become one trace.
        as_json: OTLP's JSON encoding, else protobuf.
        has_content: whether prompts and answers are written, as far as the rows keep them.
    """
    for batch in _batches(rows):
        message = encode_spans(_spans_of(batch, has_content=has_content))
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
    for at in range(0, len(groups), _BATCH):
        yield groups[at : at + _BATCH]


def _spans_of(requests: Iterable[Sequence[Call]], *, has_content: bool) -> Sequence[ReadableSpan]:
    ids = _RowIds()
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
        ids.take(attempts)
        write_spans(tracer, RequestSpan.of_rows(attempts), parent=None, has_content=has_content)
    return kept.get_finished_spans()


class _RowIds(IdGenerator):
    """Ids made of the rows' own: the same rows give the same ids."""

    def __init__(self) -> None:
        self._trace_id = 0
        self._span_ids: list[int] = []

    def take(self, attempts: Sequence[Call]) -> None:
        """Prepare the ids of one request: its own span's first, then those of its attempts."""
        names = [attempts[0].request_id, *(call.call_id for call in attempts)]
        digests = [uuid.uuid5(uuid.NAMESPACE_OID, name) for name in names]
        self._trace_id = digests[0].int
        self._span_ids = [digest.int & (2**64 - 1) or 1 for digest in digests][::-1]

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._span_ids.pop()


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
