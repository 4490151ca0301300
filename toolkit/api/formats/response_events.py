"""Answers of the Responses API: whole ones, and the events of a stream in OpenAI's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.api.formats.answer import answers_of, tool_call_id
from toolkit.api.formats.chat_format import EVENT_STREAM, event
from toolkit.api.formats.error_format import ErrorFormat, body_of
from toolkit.api.formats.responses_format import (
    ResponsesBody,
    call_item,
    message_item,
    output_items,
    reasoning_item,
    response_json,
)
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ToolkitError
from toolkit.records import Reply


@dataclass
class _Item:
    """An output item that is open: its position, its kind, what it holds so far."""

    position: int
    kind: str
    item_id: str
    pieces: list[str] = field(default_factory=list)
    sent: int = 0


class ResponseWriter:
    """Writes the server-sent events of one streamed response."""

    def __init__(self, body: ResponsesBody, call_id: str, model: str) -> None:
        self._body, self._call_id, self._model = body, call_id, model
        self._sequence = 0
        self._items: dict[str, _Item] = {}
        self._tools: dict[int, _Item] = {}

    def _event(self, kind: str, **fields: Any) -> bytes:
        made = event({"type": kind, "sequence_number": self._sequence, **fields}, kind)
        self._sequence += 1
        return made

    def _of(self, item: _Item) -> dict[str, Any]:
        return {"item_id": item.item_id, "output_index": item.position}

    def start(self) -> bytes:
        """The response before anything has come."""
        made = response_json(self._body, self._call_id, self._model, (), "in_progress")
        return self._event("response.created", response=made) + self._event(
            "response.in_progress", response=made
        )

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """The events of one piece."""
        if delta.kind == "text":
            opening = self._open_text()
            item = self._items["text"]
            item.pieces.append(delta.text)
            return opening + self._event(
                "response.output_text.delta",
                **self._of(item),
                content_index=0,
                delta=delta.text,
                logprobs=[],
            )
        if delta.kind == "reasoning":
            opening = self._open_reasoning()
            item = self._items["reasoning"]
            item.pieces.append(delta.text)
            return opening + self._event(
                "response.reasoning_summary_text.delta",
                **self._of(item),
                summary_index=0,
                delta=delta.text,
            )
        return b"".join(self._tool(index, draft) for index, draft in tools.items())

    def _add(self, kind: str, item_id: str) -> _Item:
        return _Item(len(self._items) + len(self._tools), kind, item_id)

    def _open_text(self) -> bytes:
        if "text" in self._items:
            return b""
        item = self._items["text"] = self._add("message", f"msg_{self._call_id}")
        added = {
            "id": item.item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return self._event(
            "response.output_item.added", output_index=item.position, item=added
        ) + self._event("response.content_part.added", **self._of(item), content_index=0, part=part)

    def _open_reasoning(self) -> bytes:
        if "reasoning" in self._items:
            return b""
        item = self._items["reasoning"] = self._add("reasoning", f"rs_{self._call_id}")
        return self._event(
            "response.output_item.added",
            output_index=item.position,
            item=reasoning_item(self._call_id, ""),
        ) + self._event(
            "response.reasoning_summary_part.added",
            **self._of(item),
            summary_index=0,
            part={"type": "summary_text", "text": ""},
        )

    def _tool(self, index: int, draft: ToolDraft) -> bytes:
        opening = b""
        is_custom = draft.type == "custom"
        if index not in self._tools:
            if not draft.name:
                return b""
            number = len(self._tools)
            item = self._add("function_call", f"fc_{self._call_id}_{number}")
            opening = self._event(
                "response.output_item.added",
                output_index=item.position,
                item={
                    "id": item.item_id,
                    "type": "custom_tool_call" if is_custom else "function_call",
                    "status": "in_progress",
                    "call_id": tool_call_id(draft.id, number),
                    "name": draft.name,
                    "input" if is_custom else "arguments": "",
                },
            )
            self._tools[index] = item
        item = self._tools[index]
        news = "".join(draft.arguments[item.sent :])
        item.sent = len(draft.arguments)
        if not news:
            return opening
        kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
        return opening + self._event(f"response.{kind}.delta", **self._of(item), delta=news)

    def end(self, reply: Reply) -> bytes:
        """The events that close every item, and the whole response."""
        answer = answers_of(reply)[0]
        events: list[bytes] = []
        if answer.reasoning and "reasoning" not in self._items:
            events.append(self._open_reasoning())
        if (answer.text or not answer.tool_calls) and "text" not in self._items:
            events.append(self._open_text())
        output: dict[int, dict[str, Any]] = {}
        if item := self._items.get("reasoning"):
            made = reasoning_item(self._call_id, answer.reasoning, answer.next_turn)
            output[item.position] = made
            events.append(self._close_reasoning(item, answer.reasoning, made))
        if item := self._items.get("text"):
            made = message_item(self._call_id, answer)
            output[item.position] = made
            events.append(self._close_text(item, answer.text, made))
        for number, call in enumerate(answer.tool_calls):
            made = call_item(self._call_id, number, call)
            tool = self._find_tool(number)
            if tool is None:
                tool = self._tools[-1 - number] = self._add("function_call", made["id"])
                events.append(
                    self._event("response.output_item.added", output_index=tool.position, item=made)
                )
            output[tool.position] = made
            events.append(self._close_tool(tool, made))
        items = [output[at] for at in sorted(output)] or output_items(reply.call_id, answer)
        whole = _whole(self._body, self._call_id, self._model, items, reply)
        events.append(self._event(f"response.{whole['status']}", response=whole))
        return b"".join(events)

    def _find_tool(self, number: int) -> _Item | None:
        item_id = f"fc_{self._call_id}_{number}"
        return next((item for item in self._tools.values() if item.item_id == item_id), None)

    def _close_reasoning(self, item: _Item, text: str, made: Mapping[str, Any]) -> bytes:
        part = {"type": "summary_text", "text": text}
        of = self._of(item)
        return (
            self._event("response.reasoning_summary_text.done", **of, summary_index=0, text=text)
            + self._event("response.reasoning_summary_part.done", **of, summary_index=0, part=part)
            + self._event("response.output_item.done", output_index=item.position, item=made)
        )

    def _close_text(self, item: _Item, text: str, made: Mapping[str, Any]) -> bytes:
        of, part = self._of(item), made["content"][0]
        return (
            self._event("response.output_text.done", **of, content_index=0, text=text, logprobs=[])
            + self._event("response.content_part.done", **of, content_index=0, part=part)
            + self._event("response.output_item.done", output_index=item.position, item=made)
        )

    def _close_tool(self, item: _Item, made: Mapping[str, Any]) -> bytes:
        is_custom = made["type"] == "custom_tool_call"
        kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
        name = "input" if is_custom else "arguments"
        return self._event(
            f"response.{kind}.done",
            **self._of(item),
            name=made["name"],
            **{name: made[name]},
        ) + self._event("response.output_item.done", output_index=item.position, item=made)

    def failed(self, error: ToolkitError) -> bytes:
        """The response as failed, as OpenAI ends a stream that broke."""
        shown = body_of(error, "openai")["error"]
        failed = response_json(self._body, self._call_id, self._model, (), "failed")
        failed["error"] = {"code": shown["code"], "message": shown["message"]}
        return self._event("response.failed", response=failed) + self._event(
            "error",
            code=shown["code"],
            message=shown["message"],
            param=shown["param"],
            error=shown,  # without this member OpenAI's client does not raise
        )


def _whole(
    body: ResponsesBody,
    call_id: str,
    model: str,
    items: Sequence[Mapping[str, Any]],
    reply: Reply,
) -> dict[str, Any]:
    return response_json(
        body,
        call_id,
        model,
        items,
        "completed",
        finish_reason=reply.finish_reason,
        usage=reply.usage,
    )


class ResponsesFormat:
    """Writes responses for one request."""

    errors: ErrorFormat = "openai"
    media_type = EVENT_STREAM

    def __init__(self, body: ResponsesBody) -> None:
        self._body = body

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A whole reply as a `response`."""
        items = output_items(reply.call_id, answers_of(reply)[0])
        return _whole(self._body, reply.call_id, reply.model, items, reply)

    def writer(self, call_id: str, model: str) -> ResponseWriter:
        """The writer of the events."""
        return ResponseWriter(self._body, call_id, model)
