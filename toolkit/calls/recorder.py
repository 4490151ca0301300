"""Write the row of one attempt, and build the reply for the caller.

A row that cannot be written is warned about and counted; it never destroys an answer.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, Protocol

import orjson

from toolkit.calls.adapters.library import version as litellm_version
from toolkit.calls.adapters.request import HttpRequest
from toolkit.calls.attempt_spec import AttemptSpec, current_source
from toolkit.calls.parsers.parsed_response import ParsedResponse
from toolkit.calls.parsers.stream_parser import StreamParser
from toolkit.calls.policy.rate_limiter import read_ratelimit_headers
from toolkit.calls.transport.exchange_record import WireRecord, measure
from toolkit.errors import CallError, ToolkitError
from toolkit.keys.service import ResolvedKey
from toolkit.pricing.price import Prices, PricesFor
from toolkit.pricing.receipts import LOCAL_PRICE, UNKNOWN_PRICE, build_receipt
from toolkit.records import (
    Call,
    ChatRequest,
    Choice,
    Message,
    Part,
    Receipt,
    Reply,
    Status,
    Timing,
    ToolCall,
    Usage,
)
from toolkit.secret import redact
from toolkit.settings import Recording
from toolkit.version import __version__

_log = logging.getLogger("toolkit")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_PART_BYTES = 16 * 1024
_NEVER_RECORDED = ("api_key", "extra_headers", "headers")
# LiteLLM's proxy, and another toolkit's gateway.
_COST_HEADERS: Final = ("x-litellm-response-cost", "x-toolkit-cost-usd")
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray", "x-trace-id")


class RecordedAttempt(Protocol):
    """What the recorder reads of an attempt."""

    @property
    def this(self) -> AttemptSpec:
        """What it was to do."""

    @property
    def request(self) -> ChatRequest:
        """The request with the provider's defaults."""

    @property
    def call_id(self) -> str:
        """The id of its row."""

    @property
    def key(self) -> ResolvedKey | None:
        """The key in use."""

    @property
    def started_at(self) -> datetime:
        """When it began, UTC."""

    @property
    def record(self) -> WireRecord:
        """What the transport recorded."""

    @property
    def written(self) -> HttpRequest | None:
        """The request as it was sent; None where nothing was."""

    @property
    def left_out(self) -> Sequence[str]:
        """Parameters that are not in the request that was sent."""

    @property
    def reading(self) -> ParsedResponse:
        """The answer as far as it was read."""

    @property
    def listener(self) -> StreamParser | None:
        """The parser of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How an attempt ended."""

    attempt: RecordedAttempt
    status: Status
    error: ToolkitError | None
    ended_ns: int
    loop_lag_ms: float | None


class CallRecorder:
    """Turns results of attempts into rows and replies.

    Args:
        record: acknowledges one row.
        recording: how prompts and answers are kept.
        prices_for: what a model costs at a provider at a moment.

    Attributes:
        lost: how many rows could not be written.
        slow_until: moment (`time.monotonic()`) until which a large row may hold others up.
    """

    def __init__(
        self,
        record: Callable[[Call], None],
        recording: Recording,
        prices_for: PricesFor = lambda provider, model_id, at: Prices(),
    ) -> None:
        self._record = record
        self._prices_for = prices_for
        self._recording = recording
        self._seq = itertools.count(1)
        self._warmed: set[tuple[str, str]] = set()
        self.lost: int = 0
        self.slow_until: float = 0.0

    def reply(self, result: AttemptResult) -> Reply:
        """Write the row of a success and return the reply."""
        attempt, reading = result.attempt, result.attempt.reading
        usage = self._usage(attempt)
        timing = self._timing(result, usage)
        receipt = self._receipt(attempt, usage)
        answers = reading.choices()
        answer = answers[0]
        call = self._call(result, answers, usage, timing, receipt)
        notes = self._write(call)
        return Reply(
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=answer.tool_calls,
            parts=answer.parts,
            choices=answers if attempt.request.operation == "chat" else (),
            logprobs=answer.logprobs,
            vectors=reading.vectors,
            usage=usage,
            finish_reason=answer.finish_reason,
            receipt=receipt,
            timing=timing,
            attempts=(*attempt.this.earlier, call),
            call_id=call.call_id,
            request_id=call.request_id,
            model=call.model,
            response_model=reading.response_model,
            flags=call.flags,
            notes=(*_difference_notes(attempt), *notes),
            fields_not_read=reading.unread,
            raw=reading.unread if reading.raw is None else reading.raw,
            next_turn=reading.next_turn,
        )

    def failure(self, result: AttemptResult) -> Call:
        """Write and return the row of a failure or a cancellation; an error gets its rows."""
        attempt = result.attempt
        usage = attempt.reading.usage()
        timing = self._timing(result, usage)
        has_cost = usage.source == "provider" or _reported_usd(attempt) is not None
        receipt = self._receipt(attempt, usage) if has_cost else Receipt()
        call = self._call(result, attempt.reading.choices(), usage, timing, receipt)
        self._write(call)
        if isinstance(result.error, CallError):
            result.error.attempts = (*attempt.this.earlier, call)
        return call

    def _write(self, call: Call) -> tuple[str, ...]:
        try:
            self._record(call)
        except (ToolkitError, OSError, sqlite3.Error) as error:
            self.lost += 1
            _log.warning("call %s was not recorded: %s", call.call_id, redact(str(error)))
            return (f"this call could not be recorded: {redact(str(error))}",)
        return ()

    def _usage(self, attempt: RecordedAttempt) -> Usage:
        return attempt.reading.usage()

    def _receipt(self, attempt: RecordedAttempt, usage: Usage) -> Receipt:
        this, reported_usd = attempt.this, _reported_usd(attempt)
        prices = self._prices_for(this.provider.name, this.model_id, attempt.started_at)
        by_litellm = (
            build_receipt(usage, prices.litellm).cost_computed_usd if prices.litellm else None
        )
        why = LOCAL_PRICE if this.provider.is_local else UNKNOWN_PRICE
        return build_receipt(
            usage,
            prices.in_force,
            reported_usd=reported_usd,
            reported_elsewhere=attempt.reading.cost_elsewhere,
            litellm_usd=by_litellm,
            unpriced_because=why,
        )

    def _timing(self, result: AttemptResult, usage: Usage) -> Timing:
        attempt, listener = result.attempt, result.attempt.listener
        # After a slow reader held the stream back, its times are not the provider's.
        has_speed = result.status == "ok" and "held_back" not in attempt.reading.flags
        return measure(
            attempt.record,
            ended_ns=result.ended_ns,
            output_tokens=usage.output_tokens if has_speed else None,
            stamps_ns=listener.stamps_ns if listener else (),
            first_answer_ns=listener.first_answer_ns if listener else None,
            queue_ms=attempt.this.queue_ms,
            loop_lag_ms=result.loop_lag_ms,
        )

    def _call(
        self,
        result: AttemptResult,
        answers: Sequence[Choice],
        usage: Usage,
        timing: Timing,
        receipt: Receipt,
    ) -> Call:
        attempt, error = result.attempt, result.error
        request, reading, record = attempt.request, attempt.reading, attempt.record
        return Call(
            call_id=attempt.call_id,
            request_id=request.request_id,
            attempt=attempt.this.number,
            attempt_kind=attempt.this.kind,
            origin=request.origin,
            origin_id=request.origin_id,
            started_at=attempt.started_at,
            seq=next(self._seq),
            provider=attempt.this.provider.name,
            model=attempt.this.model,
            response_model=reading.response_model,
            operation=request.operation,
            stream=request.stream,
            source=current_source(),
            is_cold=self._is_cold(attempt),
            status=result.status,
            **_error_columns(error),
            http_status=record.status,
            finish_reason=answers[0].finish_reason,
            **_usage_columns(usage),
            cost_usd=receipt.cost_usd,
            cost_source=receipt.cost_source,
            price_id=receipt.price_id,
            cost_reported_usd=receipt.cost_reported_usd,
            cost_computed_usd=receipt.cost_computed_usd,
            unpriced_classes=receipt.unpriced,
            **_timing_columns(timing),
            provider_request_id=_request_id(record.headers) or reading.response_id,
            system_fingerprint=reading.system_fingerprint,
            **read_ratelimit_headers(record.headers, attempt.started_at),
            params=_params(request.params),
            **self._bodies(attempt, answers),
            tags=dict(request.tags),
            flags=_flags(attempt, receipt, answers[0].finish_reason),
            key_fingerprint=attempt.key.fingerprint if attempt.key else None,
            toolkit_version=__version__,
            litellm_version=litellm_version(),
            parsed_by=_parsed_by(attempt),
        )

    def _is_cold(self, attempt: RecordedAttempt) -> bool:
        """The first call of a process to a model also pays for imports and connections."""
        warmed = (attempt.this.provider.name, attempt.this.model_id)
        if warmed in self._warmed:
            return False
        self._warmed.add(warmed)
        return True

    def _bodies(self, attempt: RecordedAttempt, answers: Sequence[Choice]) -> dict[str, Any]:
        """Prompt and answer as the recording policy wants them kept."""
        answer, messages = answers[0], _asked(attempt.request)
        if self._recording == "off":
            return {}
        if self._recording == "hash":
            return {
                "messages": [
                    {"role": message.get("role"), "sha256": _digest(repr(message.get("content")))}
                    for message in messages
                ],
                "output_text": f"sha256:{_digest(answer.text)}" if answer.text else None,
            }
        return {
            "messages": _storable(messages),
            "output_text": answer.text or None,
            "reasoning_text": answer.reasoning or None,
            "tool_calls": [_tool_column(call) for call in answer.tool_calls] or None,
            "choices": [_choice_column(choice) for choice in answers] if answers[1:] else None,
            "parts": [_part_column(part) for part in answer.parts] or None,
            "fields_not_read": attempt.reading.unread or None,
        }


def _tool_column(call: ToolCall) -> dict[str, Any]:
    row: dict[str, Any] = {"id": call.id, "name": call.name, "arguments": call.arguments}
    return row if call.type == "function" else {**row, "type": call.type}


def _choice_column(choice: Choice) -> dict[str, Any]:
    tools = [_tool_column(call) for call in choice.tool_calls]
    return {
        "index": choice.index,
        "text": choice.text,
        "reasoning": choice.reasoning,
        "tool_calls": tools,
        "finish_reason": choice.finish_reason,
    }


def _part_column(part: Part) -> dict[str, Any]:
    """A part as the row keeps it: of an image or audio only its size and its digest."""
    row: dict[str, Any] = {"type": part.type}
    for name in ("text", "title", "url", "media_type"):
        if value := getattr(part, name):
            row[name] = value
    if part.data is not None:
        row |= {"base64_chars": len(part.data), "sha256": _digest(part.data)}
    if part.raw and len(raw := orjson.dumps(part.raw, default=str)) <= _MAX_PART_BYTES:
        row["raw"] = orjson.loads(raw)
    return row


def _asked(request: ChatRequest) -> Sequence[Message]:
    """The conversation; the texts to embed as messages of the user. Vectors are not kept."""
    if request.operation == "embeddings":
        return [{"role": "user", "content": text} for text in request.inputs]
    return request.messages


def _error_columns(error: ToolkitError | None) -> dict[str, Any]:
    if error is None:
        return {}
    return {
        "error_code": error.code,
        "error_cause": error.cause,
        "blame": error.blame,
        "error_message": error.message,
        "retry_after_s": error.retry_after,
    }


def _usage_columns(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_source": usage.source,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "cached_audio_input_tokens": usage.cached_audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "image_input_tokens": usage.image_input_tokens,
        "image_output_tokens": usage.image_output_tokens,
        "web_searches": usage.web_searches,
        "service_tier": usage.service_tier,
    }


_TIMING_NAMES = tuple(Timing.__dataclass_fields__)


def _timing_columns(timing: Timing) -> dict[str, Any]:
    return {name: getattr(timing, name) for name in _TIMING_NAMES}


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def _reported_usd(attempt: RecordedAttempt) -> Decimal | None:
    """What the provider says the call cost: in its answer, or else in a header.

    The headers of a gateway are sent before the end of a stream is known and then say 0, as they do
    for a model without a price, so 0 is not taken for a cost.
    """
    if attempt.reading.cost_reported_usd is not None:
        return attempt.reading.cost_reported_usd
    headers = attempt.record.headers
    text = next((headers[name] for name in _COST_HEADERS if name in headers), "")
    try:
        cost = Decimal(text.strip()[:64])
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost > 0 else None


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in _NEVER_RECORDED}


def _flags(
    attempt: RecordedAttempt, receipt: Receipt, finish_reason: str | None
) -> tuple[str, ...]:
    flags = set(attempt.reading.flags)
    if finish_reason == "length":
        flags.add("truncated_by_limit")
    if receipt.mismatch:
        flags.add("cost_mismatch")
    flags.update(f"left_out:{name}" for name in attempt.left_out)
    if attempt.written is not None:
        flags.update(f"added:{name}" for name, _ in attempt.written.added)
        flags.update(f"changed:{name}" for name, _ in attempt.written.changed)
    if receipt.is_partial:
        flags.add("cost_partial")
    return tuple(sorted(flags))


def _difference_notes(attempt: RecordedAttempt) -> tuple[str, ...]:
    """What was sent otherwise than it was given: left out, added, changed."""
    provider = attempt.this.provider.name
    left_out = (f"{provider} does not take `{name}`; left out" for name in attempt.left_out)
    if attempt.written is None:
        return tuple(left_out)
    sent = attempt.written
    added = (f"sent to {provider} in addition: {name} = {value}" for name, value in sent.added)
    changed = (f"sent to {provider} changed: {name} = {value}" for name, value in sent.changed)
    return (*left_out, *added, *changed)


def _parsed_by(attempt: RecordedAttempt) -> Literal["toolkit", "litellm"] | None:
    status = attempt.record.status
    if status is None or status >= 400:
        return None
    is_litellm = attempt.written is not None and attempt.written.style == "litellm"
    return "litellm" if is_litellm else "toolkit"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _storable(value: Any) -> Any:
    """Lone surrogates cannot be stored as UTF-8."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value) if not value.isascii() else value
    if isinstance(value, Mapping):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_storable(item) for item in value]
    return value
