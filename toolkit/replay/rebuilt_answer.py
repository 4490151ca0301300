"""Rebuild a provider's answer in its API format from a row of `calls`.

The row has the text, the reasoning, the tool calls, the usage and the time of each chunk, but not
the text of each chunk. The text is split evenly into as many chunks as there were.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit

from toolkit.errors import InvalidInput
from toolkit.replay.cassettes.exchange import Chunk, Exchange

_ANTHROPIC_STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_GEMINI_STOPS: Final = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
Event = tuple[str | None, Mapping[str, Any]]
"""Name (or None) and data of a server-sent event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """The answer in a row; names are those of `calls`."""

    model: str
    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    http_status: int = 200
    error_message: str = ""
    is_cut: bool = False
    headers_ms: float = 0.0
    duration_ms: float = 0.0
    offsets_ms: Sequence[float] = field(default_factory=tuple)


def rebuild_answer(asked: Exchange, row: RecordedAnswer) -> Exchange:
    """The exchange of `asked` and the answer in the row.

    Raises:
        InvalidInput: the API of the request is not supported.
    """
    path = urlsplit(asked.uri).path
    is_stream = ":streamGenerateContent" in path or b'"stream": true' in _spaced(asked.request_body)
    language = _language_of(path)
    if row.http_status >= 400:
        body = json.dumps({"error": {"message": row.error_message}}).encode()
        return _whole(asked, row, body)
    if not is_stream:
        return _whole(asked, row, json.dumps(language.whole(row), ensure_ascii=False).encode())
    return _stream(asked, row, list(language.events(row)))


def _spaced(body: bytes) -> bytes:
    return body.replace(b'"stream":true', b'"stream": true')


def _whole(asked: Exchange, row: RecordedAnswer, body: bytes) -> Exchange:
    return replace(
        asked,
        status=row.http_status,
        answer_headers={"content-type": ["application/json"]},
        body=body,
        headers_ms=row.headers_ms,
        chunks=(Chunk(len(body), row.duration_ms),),
    )


def _stream(asked: Exchange, row: RecordedAnswer, events: Sequence[Event]) -> Exchange:
    texts = [_sse(name, data) for name, data in events]
    if _language_of(urlsplit(asked.uri).path).ends_with_done and not row.is_cut:
        texts.append(b"data: [DONE]\n\n")
    times = _spread(row, len(texts))
    return replace(
        asked,
        status=row.http_status,
        answer_headers={"content-type": ["text/event-stream"]},
        body=b"".join(texts),
        headers_ms=row.headers_ms,
        chunks=tuple(Chunk(len(t), at) for t, at in zip(texts, times, strict=True)),
        cut="broken" if row.is_cut else None,
    )


def _sse(name: str | None, data: Mapping[str, Any]) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _spread(row: RecordedAnswer, count: int) -> list[float]:
    """A time for each event: the recorded ones, then the end."""
    times = list(row.offsets_ms[:count])
    return times + [max([row.duration_ms, *times])] * (count - len(times))


def _pieces(row: RecordedAnswer) -> list[str]:
    """The text in as many chunks as recorded, none of them empty."""
    text = row.text
    count = max(1, min(len(row.offsets_ms) or 1, len(text)))
    ends = [round(len(text) * n / count) for n in range(count + 1)]
    return [text[a:b] for a, b in pairwise(ends) if b > a]


# ---- OpenAI ---------------------------------------------------------------------------------


def _openai_calls(row: RecordedAnswer) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "id": call.get("id") or f"call_{index}",
            "type": "function",
            "function": {"name": call["name"], "arguments": call.get("arguments") or "{}"},
        }
        for index, call in enumerate(row.tool_calls)
    ]


def _openai_usage(row: RecordedAnswer) -> dict[str, Any]:
    if row.input_tokens is None or row.output_tokens is None:
        return {}
    total = row.input_tokens + row.output_tokens
    return {
        "usage": {
            "prompt_tokens": row.input_tokens,
            "completion_tokens": row.output_tokens,
            "total_tokens": total,
        }
    }


def _openai_whole(row: RecordedAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": row.text or None}
    if row.reasoning:
        message["reasoning_content"] = row.reasoning
    if row.tool_calls:
        message["tool_calls"] = _openai_calls(row)
    choice = {"index": 0, "message": message, "finish_reason": row.finish_reason}
    head = {"id": "rebuilt", "object": "chat.completion", "created": 0, "model": row.model}
    return {**head, "choices": [choice], **_openai_usage(row)}


def _openai_events(row: RecordedAnswer) -> Iterator[Event]:
    head = {"id": "rebuilt", "object": "chat.completion.chunk", "created": 0, "model": row.model}

    def event(delta: Mapping[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
        return None, {**head, "choices": [choice]}

    if row.reasoning:
        yield event({"role": "assistant", "reasoning_content": row.reasoning})
    for piece in _pieces(row):
        yield event({"role": "assistant", "content": piece})
    for call in _openai_calls(row):
        yield event({"tool_calls": [call]})
    if row.is_cut:
        return
    yield event({}, row.finish_reason)
    if usage := _openai_usage(row):
        yield None, {**head, "choices": [], **usage}


# ---- Anthropic ------------------------------------------------------------------------------


def _anthropic_blocks(row: RecordedAnswer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if row.reasoning:
        blocks.append({"type": "thinking", "thinking": row.reasoning, "signature": ""})
    if row.text or not row.tool_calls:
        blocks.append({"type": "text", "text": row.text})
    for index, call in enumerate(row.tool_calls):
        asked = _json_or_empty(call.get("arguments"))
        name, call_id = call["name"], call.get("id") or f"call_{index}"
        blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": asked})
    return blocks


def _anthropic_whole(row: RecordedAnswer) -> dict[str, Any]:
    stop = _ANTHROPIC_STOPS.get(row.finish_reason or "", row.finish_reason)
    return {
        "id": "rebuilt",
        "type": "message",
        "role": "assistant",
        "model": row.model,
        "content": _anthropic_blocks(row),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": row.input_tokens or 0, "output_tokens": row.output_tokens or 0},
    }


def _anthropic_events(row: RecordedAnswer) -> Iterator[Event]:
    def event(kind: str, **rest: Any) -> Event:
        return kind, {"type": kind, **rest}

    whole = _anthropic_whole(row)
    usage = {"input_tokens": row.input_tokens or 0, "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": usage}
    yield event("message_start", message=start)
    for index, block in enumerate(whole["content"]):
        empty, deltas = _anthropic_parts(block, row)
        yield event("content_block_start", index=index, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    if row.is_cut:
        return
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": row.output_tokens or 0})
    yield event("message_stop")


def _anthropic_parts(
    block: Mapping[str, Any], row: RecordedAnswer
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "thinking":
        delta = {"type": "thinking_delta", "thinking": block["thinking"]}
        return {**block, "thinking": ""}, [delta]
    if block["type"] == "tool_use":
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        return {**block, "input": {}}, [delta]
    return {**block, "text": ""}, [{"type": "text_delta", "text": p} for p in _pieces(row)]


# ---- Gemini ---------------------------------------------------------------------------------


def _gemini_body(
    row: RecordedAnswer, parts: list[dict[str, Any]], *, is_last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": row.model}
    if is_last and not row.is_cut:
        candidate["finishReason"] = _GEMINI_STOPS.get(row.finish_reason or "", row.finish_reason)
        if row.input_tokens is not None and row.output_tokens is not None:
            body["usageMetadata"] = {
                "promptTokenCount": row.input_tokens,
                "candidatesTokenCount": row.output_tokens,
                "totalTokenCount": row.input_tokens + row.output_tokens,
            }
    return body


def _gemini_parts(row: RecordedAnswer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if row.reasoning:
        parts.append({"text": row.reasoning, "thought": True})
    parts += [{"text": piece} for piece in _pieces(row)]
    for call in row.tool_calls:
        asked = _json_or_empty(call.get("arguments"))
        parts.append({"functionCall": {"name": call["name"], "args": asked}})
    return parts or [{"text": ""}]


def _gemini_whole(row: RecordedAnswer) -> dict[str, Any]:
    return _gemini_body(row, _gemini_parts(row), is_last=True)


def _gemini_events(row: RecordedAnswer) -> Iterator[Event]:
    parts = _gemini_parts(row)
    for index, part in enumerate(parts):
        yield None, _gemini_body(row, [part], is_last=index == len(parts) - 1)


def _json_or_empty(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text else text or {}
    except ValueError:
        return {}


# ---- which is which -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Language:
    whole: Callable[[RecordedAnswer], dict[str, Any]]
    events: Callable[[RecordedAnswer], Iterator[Event]]
    ends_with_done: bool = False


_OPENAI: Final = _Language(_openai_whole, _openai_events, ends_with_done=True)
_ANTHROPIC: Final = _Language(_anthropic_whole, _anthropic_events)
_GEMINI: Final = _Language(_gemini_whole, _gemini_events)


def _language_of(path: str) -> _Language:
    if path.endswith("/chat/completions"):
        return _OPENAI
    if path.endswith("/messages"):
        return _ANTHROPIC
    if "enerateContent" in path:
        return _GEMINI
    raise InvalidInput(
        f"an answer at {path} cannot be rebuilt from a row",
        hint="Record it from the provider with `toolkit cassette record`.",
    )
