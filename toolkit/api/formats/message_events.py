"""Answers of the Messages API: whole ones, and the events of a stream as Anthropic sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.api.formats.answer import answers_of, tool_call_id
from toolkit.api.formats.chat_format import EVENT_STREAM, event
from toolkit.api.formats.error_format import ErrorFormat, body_of
from toolkit.api.formats.messages_format import (
    blocks_of,
    message_head,
    stop_reason,
    thinking_blocks,
    usage_json,
)
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ToolkitError
from toolkit.records import Reply, Usage


class MessageWriter:
    """Writes the server-sent events of one streamed message.

    A block of thinking stays open until the end: its signature, which the next turn needs, is
    known only then. Clients keep blocks apart by their index.
    """

    def __init__(self, call_id: str, model: str) -> None:
        self._head = message_head(call_id, model)
        self._count = 0
        self._open: dict[str, int] = {}
        self._tools: dict[int, int] = {}
        self._sent: dict[int, int] = {}

    def _event(self, kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields}, kind)

    def start(self) -> bytes:
        """The message before its content."""
        message = {**self._head, "usage": usage_json(Usage())}
        return self._event("message_start", message=message) + self._event("ping")

    def _start_block(self, name: str, block: Mapping[str, Any]) -> bytes:
        if name in self._open:
            return b""
        self._open[name] = self._count
        self._count += 1
        return self._event("content_block_start", index=self._open[name], content_block=block)

    def _delta(self, index: int, **delta: Any) -> bytes:
        return self._event("content_block_delta", index=index, delta=delta)

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """The events of one piece."""
        if delta.kind == "text":
            opening = self._start_block("text", {"type": "text", "text": ""})
            return opening + self._delta(self._open["text"], type="text_delta", text=delta.text)
        if delta.kind == "reasoning":
            block = {"type": "thinking", "thinking": "", "signature": ""}
            opening = self._start_block("thinking", block)
            index = self._open["thinking"]
            return opening + self._delta(index, type="thinking_delta", thinking=delta.text)
        return b"".join(self._tool(index, draft) for index, draft in tools.items())

    def _tool(self, index: int, draft: ToolDraft) -> bytes:
        opening = b""
        if index not in self._tools:
            if not draft.name:
                return b""
            call_id = tool_call_id(draft.id, len(self._tools))
            block = {
                "type": "tool_use",
                "id": call_id,
                "name": draft.name,
                "input": {},
                **draft.provider_fields,
            }
            opening = self._start_block(f"tool {index}", block)
            self._tools[index] = self._open[f"tool {index}"]
        done = self._sent.get(index, 0)
        news = "".join(draft.arguments[done:])
        self._sent[index] = len(draft.arguments)
        if not news:
            return opening
        return opening + self._delta(self._tools[index], type="input_json_delta", partial_json=news)

    def end(self, reply: Reply) -> bytes:
        """What closes the blocks and the message."""
        answer = answers_of(reply)[0]
        events: list[bytes] = []
        for block in thinking_blocks(answer):
            if block.get("type") == "redacted_thinking":
                events.append(self._start_block(f"redacted {self._count}", block))
            elif "thinking" in self._open and block.get("signature"):
                index = self._open["thinking"]
                signature = block["signature"]
                events.append(self._delta(index, type="signature_delta", signature=signature))
        if not self._tools:  # they did not come in pieces
            for number, call in enumerate(answer.tool_calls):
                head = {"type": "tool_use", "id": tool_call_id(call.id, number), "name": call.name}
                block = {**head, "input": {}, **call.provider_fields}
                events.append(self._start_block(f"tool {number}", block))
                index = self._open[f"tool {number}"]
                arguments = call.arguments
                events.append(self._delta(index, type="input_json_delta", partial_json=arguments))
        if not self._open:
            events.append(self._start_block("text", {"type": "text", "text": ""}))
        events += [self._event("content_block_stop", index=i) for i in self._open.values()]
        delta = {"stop_reason": stop_reason(reply.finish_reason), "stop_sequence": None}
        events.append(self._event("message_delta", delta=delta, usage=usage_json(reply.usage)))
        events.append(self._event("message_stop"))
        return b"".join(events)

    def failed(self, error: ToolkitError) -> bytes:
        """An error inside the stream."""
        return event(body_of(error, "anthropic"), "error")


class MessagesFormat:
    """Writes Anthropic messages for one request."""

    errors: ErrorFormat = "anthropic"
    media_type = EVENT_STREAM

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A whole reply as a `message`."""
        answer = answers_of(reply)[0]
        return {
            **message_head(reply.call_id, reply.model),
            "content": blocks_of(answer),
            "stop_reason": stop_reason(reply.finish_reason),
            "usage": usage_json(reply.usage),
        }

    def writer(self, call_id: str, model: str) -> MessageWriter:
        """The writer of the events."""
        return MessageWriter(call_id, model)
