"""Messages in Anthropic's form, whole and as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from toolkit.calls.parsers.parsed_response import ParsedResponse, Piece, ToolDraft, find_error

# Models that litellm does not know to answer in JSON are asked to call this tool instead.
_JSON_ANSWER = "json_tool_call"


class AnthropicParser:
    """Reads `message` bodies and the events `message_start` ... `message_stop`."""

    def __init__(self) -> None:
        self.reading = ParsedResponse()
        self._usage: dict[str, Any] = {}
        self._json_block: int | None = None

    def take_whole(self, value: Mapping[str, Any]) -> None:
        """Take a whole body."""
        reading = self.reading
        blocks = value.get("content")
        reading.is_recognised = isinstance(blocks, list) and value.get("type", "message") == (
            "message"
        )
        reading.is_null = not blocks
        self._take_head(value)
        if isinstance(blocks, list):
            for index, block in enumerate(blocks):
                if isinstance(block, dict):
                    self._take_block(index, block)
        self._take_stop(value)
        reading.is_ended = True

    def take_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Take one event; its `type` counts, the name is only its echo."""
        kind = value.get("type") or name
        reading = self.reading
        if kind == "content_block_delta":
            return self._take_delta(value)
        if kind == "content_block_start":
            return self._take_block_start(value)
        if kind == "message_start" and isinstance(message := value.get("message"), dict):
            reading.is_recognised = True
            self._take_head(message)
        elif kind == "message_delta":
            self._take_usage(value.get("usage"))
            if isinstance(delta := value.get("delta"), dict):
                self._take_stop(delta)
        elif kind == "message_stop":
            reading.is_ended = True
        elif kind == "error" or "error" in value:
            reading.error = find_error(value)
        return ()

    def _take_head(self, message: Mapping[str, Any]) -> None:
        self.reading.response_model = message.get("model") or self.reading.response_model
        self.reading.response_id = message.get("id") or self.reading.response_id
        self._take_usage(message.get("usage"))

    def _take_stop(self, part: Mapping[str, Any]) -> None:
        if stop := part.get("stop_reason"):
            is_json = self._json_block is not None and not self.reading.tools
            self.reading.finish = "end_turn" if is_json and stop == "tool_use" else str(stop)
        if stop == "refusal":
            details = part.get("stop_details")
            words = details.get("explanation") if isinstance(details, dict) else None
            self.reading.refusal = str(words or "the model refused")

    def _take_block_start(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        block = value.get("content_block")
        if not isinstance(block, dict):
            return ()
        if block.get("type") == "tool_use":
            index = _index(value)
            if block.get("name") == _JSON_ANSWER:
                self._json_block = index
                return ()
            self.reading.tools[index] = ToolDraft(block.get("id"), str(block.get("name") or ""))
            if block.get("input"):  # most send it empty and fill it by deltas
                self.reading.tools[index].arguments.append(orjson.dumps(block["input"]).decode())
            return (("tool_call", ""),)
        return self._take_block(_index(value), block)

    def _take_block(self, index: int, block: Mapping[str, Any]) -> Sequence[Piece]:
        reading, kind = self.reading, block.get("type")
        if kind == "text":
            return self._add("text", block.get("text"))
        if kind == "thinking":
            return self._add("reasoning", block.get("thinking"))
        if kind == "tool_use":
            arguments = orjson.dumps(block.get("input") or {}).decode()
            if block.get("name") == _JSON_ANSWER:
                self._json_block = index
                return self._add("text", arguments)
            draft = ToolDraft(block.get("id"), str(block.get("name") or ""), [arguments])
            reading.tools[index] = draft
            return (("tool_call", arguments),)
        # Redacted thinking, server tools and their results are the provider's own business.
        reading.has_other = True
        return ()

    def _take_delta(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        delta = value.get("delta")
        if not isinstance(delta, dict):
            return ()
        kind = delta.get("type")
        if kind == "text_delta":
            return self._add("text", delta.get("text"))
        if kind == "thinking_delta":
            return self._add("reasoning", delta.get("thinking"))
        if kind == "input_json_delta":
            draft = self.reading.tools.get(_index(value))
            part = delta.get("partial_json")
            if _index(value) == self._json_block:
                return self._add("text", part)
            if draft is not None and isinstance(part, str) and part:
                draft.arguments.append(part)
                return (("tool_call", part),)
        return ()

    def _add(self, kind: str, text: Any) -> Sequence[Piece]:
        if not isinstance(text, str) or not text:
            return ()
        if kind == "text":
            self.reading.text.append(text)
            return (("text", text),)
        self.reading.reasoning.append(text)
        return (("reasoning", text),)

    def _take_usage(self, usage: Any) -> None:
        """Later counts replace earlier ones; input is the sum of its three classes."""
        if not isinstance(usage, dict):
            return
        self._usage.update({k: v for k, v in usage.items() if v is not None})
        reading, known = self.reading, self._usage
        fresh = reading.count("input_tokens", known.get("input_tokens"))
        read = reading.count("cached_input_tokens", known.get("cache_read_input_tokens"))
        written = reading.count("cache_write_tokens", known.get("cache_creation_input_tokens"))
        if fresh is not None:
            reading.count("input_tokens", fresh + (read or 0) + (written or 0))
        reading.count("output_tokens", known.get("output_tokens"))
        details = known.get("output_tokens_details")
        if isinstance(details, dict):
            reading.count("reasoning_tokens", details.get("thinking_tokens"))


def _index(value: Mapping[str, Any]) -> int:
    index = value.get("index")
    return index if isinstance(index, int) else 0
