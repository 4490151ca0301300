"""What a provider answers, in three dialects: OpenAI, Anthropic and Gemini.

Each dialect turns one `Answer` into a whole JSON body or into a list of server-sent events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["openai", "anthropic", "gemini", "responses", "converse", "cohere", "ollama"]
COUNTED: Mapping[str, int] = {}
"""Default of `Answer.usage`: count words."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One scripted answer.

    Attributes:
        text: the whole text; None echoes the last message.
        chunks: the pieces of a stream; None splits the text after each space.
        first_delay_s, chunk_delay_s: wait before the headers; before each later chunk.
        content_delay_s: wait between the headers (and the role delta) and the first content.
        role_delta_first: open an OpenAI stream with an empty role delta, as real servers do.
        usage: OpenAI's names (`prompt_tokens`, ...); None sends none; left out: words are counted.
        reasoning: reasoning text, sent before the answer.
        tool_calls: OpenAI's form: `{"id", "function": {"name", "arguments"}}`.
        tool_pieces: in how many events the arguments of each come in OpenAI's streams.
        finish_reason: in the dialect's own word; None sends none.
        status, headers, body: an HTTP answer as it stands (a raw `body` is sent unchanged).
        drop_after: close the connection after so many chunks (0: before the headers).
        reset: drop with a TCP reset instead of a close.
        done: send OpenAI's `[DONE]`.
        terminator_delay_s: how long after the last event the chunked body ends.
        stamp_in_text: each chunk's text is the server's `monotonic_ns` and a space.
        style: force a dialect; None: by the path that was asked for.
    """

    text: str | None = None
    chunks: Sequence[str] | None = None
    first_delay_s: float = 0.0
    content_delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    role_delta_first: bool = True
    usage: Mapping[str, Any] | None = field(default_factory=lambda: COUNTED)
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    tool_pieces: int = 1
    finish_reason: str | None = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | Mapping[str, Any] | None = None
    drop_after: int | None = None
    reset: bool = False
    done: bool = True
    terminator_delay_s: float = 0.003
    stamp_in_text: bool = False
    style: Style | None = None

    def pieces(self, asked: Mapping[str, Any]) -> list[str]:
        """The text in pieces."""
        if self.chunks is not None:
            return list(self.chunks)
        text = echo(asked) if self.text is None else self.text
        return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []

    def counted(self, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The usage to report, in OpenAI's names."""
        if self.usage is not COUNTED:
            return self.usage
        words = len(json.dumps(asked.get("messages") or asked.get("contents") or "").split())
        output = len(self.pieces(asked))
        return {"prompt_tokens": words, "completion_tokens": output, "total_tokens": words + output}


@dataclass(frozen=True)
class Event:
    """One event of a stream; `content` marks the ones that carry text, reasoning or tools.

    `raw` is what is sent where the stream is not one of server-sent events.
    """

    data: str
    name: str | None = None
    content: bool = False
    raw: bytes = b""

    def wire(self) -> bytes:
        if self.raw:
            return self.raw
        head = f"event: {self.name}\n" if self.name else ""
        data = self.data.replace("@NOW@", f"{time.monotonic_ns()}")
        return f"{head}data: {data}\n\n".encode()


def echo(asked: Mapping[str, Any]) -> str:
    """A short deterministic text made of the last message."""
    last = (asked.get("messages") or asked.get("contents") or [{}])[-1]
    content = last.get("content") or last.get("parts") or ""
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content)
    return f"You said: {content}"


def style_of(path: str) -> Style:
    """The dialect that a path belongs to."""
    endings: Mapping[str, Style] = {
        "/messages": "anthropic",
        "/responses": "responses",
        "/converse": "converse",
        "/converse-stream": "converse",
        "/v2/chat": "cohere",
        "/api/chat": "ollama",
    }
    if found := next((style for ending, style in endings.items() if path.endswith(ending)), None):
        return found
    return "gemini" if ":generateContent" in path or ":streamGenerateContent" in path else "openai"


def whole(answer: Answer, style: Style, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    """The answer as one JSON body."""
    return {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}[style](
        answer, asked, call_id
    )


def events(answer: Answer, style: Style, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    """The answer as server-sent events."""
    stream = {"openai": _openai_events, "anthropic": _anthropic_events, "gemini": _gemini_events}
    return stream[style](answer, asked, call_id)


def _model(asked: Mapping[str, Any]) -> str:
    return str(asked.get("model") or "mock-model")


def _pieces(answer: Answer, asked: Mapping[str, Any]) -> list[str]:
    pieces = answer.pieces(asked)
    return ["@NOW@ "] * len(pieces) if answer.stamp_in_text else pieces


# ---- OpenAI ---------------------------------------------------------------------------------


def _openai(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.pieces(asked))}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [{"type": "function", **call} for call in answer.tool_calls]
        message["content"] = message["content"] if answer.text else None
    body: dict[str, Any] = {
        "id": call_id,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": _model(asked),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
    }
    usage = answer.counted(asked)
    return body if usage is None else body | {"usage": dict(usage)}


def _openai_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def event(delta: Mapping[str, Any], finish: str | None = None, content: bool = False) -> Event:
        choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
        return Event(json.dumps(base | {"choices": [choice]}), content=content)

    base = {
        "id": call_id,
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": _model(asked),
    }
    if answer.role_delta_first:
        yield event({"role": "assistant", "content": ""})
    if answer.reasoning:
        yield event({"reasoning_content": answer.reasoning}, content=True)
    for piece in [] if answer.tool_calls and not answer.text else _pieces(answer, asked):
        yield event({"content": piece}, content=True)
    for index, call in enumerate(answer.tool_calls):
        for piece in _call_pieces(call, answer.tool_pieces):
            yield event({"tool_calls": [{"index": index, **piece}]}, content=True)
    if answer.finish_reason is not None:
        yield event({}, answer.finish_reason)
    usage = answer.counted(asked)
    if usage is not None and (asked.get("stream_options") or {}).get("include_usage"):
        yield Event(json.dumps(base | {"choices": [], "usage": dict(usage)}))
    if answer.done:
        yield Event("[DONE]")


def _call_pieces(call: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """A tool call in so many events; all but the first hold arguments alone."""
    function = call["function"]
    arguments = function["arguments"]
    size = -(-len(arguments) // count) or 1
    parts = [arguments[at : at + size] for at in range(0, len(arguments), size)] or [""]
    yield {"type": "function", **call, "function": {**function, "arguments": parts[0]}}
    for part in parts[1:]:
        yield {"function": {"arguments": part}}


# ---- Anthropic ------------------------------------------------------------------------------


def _anthropic_usage(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        **{name: value for name, value in usage.items() if name.startswith("cache_")},
    }


def _anthropic_blocks(answer: Answer, pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    if answer.reasoning:
        yield {"type": "thinking", "thinking": answer.reasoning, "signature": "s"}
    if not answer.tool_calls or answer.text:
        yield {"type": "text", "text": "".join(pieces)}
    for call in answer.tool_calls:
        function = call["function"]
        arguments = json.loads(function["arguments"] or "{}")
        yield {"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments}


def _anthropic_stop(answer: Answer) -> str | None:
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}.get(
        answer.finish_reason or "", answer.finish_reason
    )


def _anthropic(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": call_id,
        "type": "message",
        "role": "assistant",
        "model": _model(asked),
        "content": list(_anthropic_blocks(answer, answer.pieces(asked))),
        "stop_reason": _anthropic_stop(answer),
        "stop_sequence": None,
    }
    usage = answer.counted(asked)
    return body if usage is None else body | {"usage": _anthropic_usage(usage)}


def _anthropic_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    def event(name: str, content: bool = False, **rest: Any) -> Event:
        return Event(json.dumps({"type": name, **rest}), name, content)

    usage = _anthropic_usage(answer.counted(asked))
    start = _anthropic(answer, asked, call_id) | {"content": [], "stop_reason": None}
    yield event("message_start", message=start | {"usage": usage | {"output_tokens": 1}})
    pieces = _pieces(answer, asked)
    for index, block in enumerate(_anthropic_blocks(answer, pieces)):
        kind = block["type"]
        empty = {"thinking": {"thinking": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}[
            kind
        ]
        yield event("content_block_start", index=index, content_block=block | empty)
        for delta in _anthropic_deltas(block, pieces):
            yield event("content_block_delta", True, index=index, delta=delta)
        yield event("content_block_stop", index=index)
    if answer.finish_reason is not None:
        delta = {"stop_reason": _anthropic_stop(answer), "stop_sequence": None}
        output = {"output_tokens": usage["output_tokens"]} if usage else {}
        yield event("message_delta", delta=delta, usage=output)
        yield event("message_stop")


def _anthropic_deltas(block: Mapping[str, Any], pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    if block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": "s"}
    elif block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        for piece in pieces:
            yield {"type": "text_delta", "text": piece}


# ---- Gemini ---------------------------------------------------------------------------------


def _gemini_usage(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    names = {
        "prompt_tokens": "promptTokenCount",
        "completion_tokens": "candidatesTokenCount",
        "total_tokens": "totalTokenCount",
    }
    return {names.get(name, name): value for name, value in usage.items()}


def _gemini_stop(answer: Answer) -> str | None:
    return {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}.get(
        answer.finish_reason or "", answer.finish_reason
    )


def _gemini_body(
    answer: Answer, asked: Mapping[str, Any], parts: list[dict[str, Any]], last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last and answer.finish_reason is not None:
        candidate["finishReason"] = _gemini_stop(answer)
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": "mock-model"}
    usage = _gemini_usage(answer.counted(asked))
    return body | {"usageMetadata": usage} if usage is not None and last else body


def _gemini_parts(answer: Answer, pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    if answer.reasoning:
        yield {"text": answer.reasoning, "thought": True}
    if not answer.tool_calls or answer.text:
        for piece in pieces:
            yield {"text": piece}
    for call in answer.tool_calls:
        function = call["function"]
        arguments = json.loads(function["arguments"] or "{}")
        yield {"functionCall": {"name": function["name"], "args": arguments}}


def _gemini(answer: Answer, asked: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    parts = list(_gemini_parts(answer, answer.pieces(asked)))
    return _gemini_body(answer, asked, parts, last=True) | {"responseId": call_id}


def _gemini_events(answer: Answer, asked: Mapping[str, Any], call_id: str) -> Iterator[Event]:
    parts = list(_gemini_parts(answer, _pieces(answer, asked)))
    for index, part in enumerate(parts):
        body = _gemini_body(answer, asked, [part], last=index == len(parts) - 1)
        yield Event(json.dumps(body | {"responseId": call_id}), content=True)
