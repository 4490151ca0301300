"""What a provider answers in the APIs of their own: Responses, Converse, Cohere, Ollama."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.servers.dialects import Answer, Event

MEDIA_TYPES: Final = {
    "converse": "application/vnd.amazon.eventstream",
    "ollama": "application/x-ndjson",
}


def whole_own(answer: Answer, style: str, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    """The answer as one JSON body."""
    made = {"responses": _response, "converse": _converse, "cohere": _cohere, "ollama": _ollama}
    return made[style](answer, asked, call_id)


def events_own(
    answer: Answer, style: str, asked: Mapping[str, Any], call_id: str
) -> Iterator[Event]:
    """The answer as the events of a stream."""
    made = {
        "responses": _response_events,
        "converse": _converse_events,
        "cohere": _cohere_events,
        "ollama": _ollama_events,
    }
    return made[style](answer, asked, call_id)


def _text(answer: Answer, asked: Mapping[str, Any]) -> str:
    return "" if answer.tool_calls and not answer.text else "".join(answer.pieces(asked))


def _pieces(answer: Answer, asked: Mapping[str, Any]) -> list[str]:
    return [] if answer.tool_calls and not answer.text else answer.pieces(asked)


def _counts(answer: Answer, asked: Mapping[str, Any]) -> tuple[Any, Any] | None:
    usage = answer.counted(asked)
    return None if usage is None else (usage["prompt_tokens"], usage["completion_tokens"])


def _cut(arguments: str, count: int) -> list[str]:
    size = -(-len(arguments) // count) or 1
    return [arguments[at : at + size] for at in range(0, len(arguments), size)]


# ---- OpenAI Responses ---------------------------------------------------------------------------


def _items(answer: Answer, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    if text := _text(answer, asked):
        content = [{"type": "output_text", "text": text, "annotations": []}]
        head = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**head, "content": content})
    for index, call in enumerate(answer.tool_calls):
        head = {"id": f"fc_{index}", "type": "function_call", "status": "completed"}
        items.append({**head, "call_id": call["id"], **call["function"]})
    return items


def _response(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    is_cut = answer.finish_reason == "length"
    body = {
        "id": f"resp_{call_id}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "incomplete" if is_cut else "completed",
        "model": str(asked.get("model") or "mock-model"),
        "output": _items(answer, asked),
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
    }
    if counts := _counts(answer, asked):
        body["usage"] = {"input_tokens": counts[0], "output_tokens": counts[1]}
    return body


def _response_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def event(kind: str, content: bool = False, **rest: Any) -> Event:
        return Event(json.dumps({"type": kind, **rest}), kind, content)

    final = _response(answer, asked, call_id)
    yield event("response.created", response=final | {"output": [], "status": "in_progress"})
    for index, item in enumerate(final["output"]):
        of = {"output_index": index, "item_id": item["id"]}
        empty = {"content": [], "summary": [], "arguments": ""}
        started = {name: empty.get(name, value) for name, value in item.items()}
        yield event("response.output_item.added", output_index=index, item=started)
        if item["type"] == "reasoning":
            name = "response.reasoning_summary_text.delta"
            yield event(name, True, **of, summary_index=0, delta=answer.reasoning)
        elif item["type"] == "message":
            for piece in _pieces(answer, asked):
                name = "response.output_text.delta"
                yield event(name, True, **of, content_index=0, delta=piece)
        else:
            for piece in _cut(item["arguments"], answer.tool_pieces):
                yield event("response.function_call_arguments.delta", True, **of, delta=piece)
            name = "response.function_call_arguments.done"
            yield event(name, **of, arguments=item["arguments"])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{final['status']}", response=final)


# ---- Bedrock Converse ---------------------------------------------------------------------------

_CONVERSE_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def _converse(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        thought = {"text": answer.reasoning, "signature": "s"}
        content.append({"reasoningContent": {"reasoningText": thought}})
    if text := _text(answer, asked):
        content.append({"text": text})
    for call in answer.tool_calls:
        function = call["function"]
        given = json.loads(function["arguments"])
        use = {"toolUseId": call["id"], "name": function["name"], "input": given}
        content.append({"toolUse": use})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _CONVERSE_STOPS[answer.finish_reason or "stop"],
        **_converse_usage(answer, asked),
    }


def _converse_usage(answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
    counts = _counts(answer, asked)
    if counts is None:
        return {}
    return {"usage": {"inputTokens": counts[0], "outputTokens": counts[1]}}


def _converse_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def event(name: str, content: bool = False, **rest: Any) -> Event:
        return Event("", name, content, raw=_frame(name, rest))

    def delta(index: int, value: Mapping[str, Any]) -> Event:
        return event("contentBlockDelta", True, contentBlockIndex=index, delta=value)

    yield event("messageStart", role="assistant")
    index = 0
    if answer.reasoning:
        yield delta(index, {"reasoningContent": {"text": answer.reasoning}})
        yield delta(index, {"reasoningContent": {"signature": "s"}})
        yield event("contentBlockStop", contentBlockIndex=index)
        index += 1
    if pieces := _pieces(answer, asked):
        for piece in pieces:
            yield delta(index, {"text": piece})
        yield event("contentBlockStop", contentBlockIndex=index)
        index += 1
    for call in answer.tool_calls:
        use = {"toolUseId": call["id"], "name": call["function"]["name"]}
        yield event("contentBlockStart", contentBlockIndex=index, start={"toolUse": use})
        for piece in _cut(call["function"]["arguments"], answer.tool_pieces):
            yield delta(index, {"toolUse": {"input": piece}})
        yield event("contentBlockStop", contentBlockIndex=index)
        index += 1
    if answer.finish_reason is not None:
        yield event("messageStop", stopReason=_CONVERSE_STOPS[answer.finish_reason])
        yield event("metadata", **_converse_usage(answer, asked), metrics={"latencyMs": 1})


def _frame(name: str, payload: Mapping[str, Any]) -> bytes:
    """One message of `application/vnd.amazon.eventstream`."""
    fields = {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in fields.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


# ---- Cohere -------------------------------------------------------------------------------------

_COHERE_STOPS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def _cohere_usage(answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
    counts = _counts(answer, asked)
    if counts is None:
        return {}
    tokens = {"input_tokens": counts[0], "output_tokens": counts[1]}
    return {"usage": {"billed_units": tokens, "tokens": tokens}}


def _cohere(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    content = [{"type": "thinking", "thinking": answer.reasoning}] if answer.reasoning else []
    if text := _text(answer, asked):
        content.append({"type": "text", "text": text})
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.tool_calls:
        message["tool_calls"] = [{"type": "function", **call} for call in answer.tool_calls]
    finish = _COHERE_STOPS[answer.finish_reason or "stop"]
    head = {"id": call_id, "finish_reason": finish, "message": message}
    return {**head, **_cohere_usage(answer, asked)}


def _cohere_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def event(kind: str, content: bool = False, **rest: Any) -> Event:
        return Event(json.dumps({"type": kind, **rest}), kind, content)

    def message(kind: str, index: int, **fields: Any) -> Event:
        is_content = not kind.endswith("start") or kind == "tool-call-start"
        return event(kind, is_content, index=index, delta={"message": fields})

    yield event("message-start", id=call_id, delta={"message": {"role": "assistant"}})
    index = 0
    for kind, pieces in (
        ("thinking", [answer.reasoning] if answer.reasoning else []),
        ("text", _pieces(answer, asked)),
    ):
        if not pieces:
            continue
        yield message("content-start", index, content={"type": kind, kind: ""})
        for piece in pieces:
            yield message("content-delta", index, content={kind: piece})
        yield event("content-end", index=index)
        index += 1
    for number, call in enumerate(answer.tool_calls):
        function = call["function"]
        begun = {"id": call["id"], "type": "function", "function": {**function, "arguments": ""}}
        yield message("tool-call-start", number, tool_calls=begun)
        for piece in _cut(function["arguments"], answer.tool_pieces):
            more = {"function": {"arguments": piece}}
            yield message("tool-call-delta", number, tool_calls=more)
        yield event("tool-call-end", index=number)
    if answer.finish_reason is not None:
        end = {"finish_reason": _COHERE_STOPS[answer.finish_reason]}
        yield event("message-end", delta={**end, **_cohere_usage(answer, asked)})


# ---- Ollama -------------------------------------------------------------------------------------


def _ollama_line(message: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    head = {"model": "mock-model", "created_at": "2026-01-01T00:00:00Z"}
    return {**head, "message": {"role": "assistant", "content": "", **message}, **rest}


def _ollama_calls(answer: Answer) -> dict[str, Any]:
    calls = [
        {
            "function": {
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"]),
            }
        }
        for call in answer.tool_calls
    ]
    return {"tool_calls": calls} if calls else {}


def _ollama_end(answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
    counts = _counts(answer, asked)
    reason = {"length": "length"}.get(answer.finish_reason or "", "stop")
    end = {"done": True, "done_reason": reason}
    return (
        end if counts is None else {**end, "prompt_eval_count": counts[0], "eval_count": counts[1]}
    )


def _ollama(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    message = {"content": _text(answer, asked), **_ollama_calls(answer)}
    if answer.reasoning:
        message["thinking"] = answer.reasoning
    return _ollama_line(message, **_ollama_end(answer, asked))


def _ollama_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def line(message: Mapping[str, Any], content: bool = True, **rest: Any) -> Event:
        data = json.dumps(_ollama_line(message, **{"done": False, **rest}))
        return Event("", None, content, raw=data.encode() + b"\n")

    if answer.reasoning:
        yield line({"thinking": answer.reasoning})
    for piece in _pieces(answer, asked):
        yield line({"content": piece})
    if answer.tool_calls:
        yield line(_ollama_calls(answer))
    if answer.finish_reason is not None:
        yield line({}, False, **_ollama_end(answer, asked))
