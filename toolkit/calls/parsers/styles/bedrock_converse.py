"""Answers of Amazon Bedrock's Converse API, whole and as the events of its stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import ProviderWords, find_error
from toolkit.calls.parsers.parsed_response import (
    Piece,
    ResponseParser,
    ToolDraft,
    as_json,
    name_set,
    without,
)
from toolkit.calls.parsers.styles.think_tags import ThinkTags
from toolkit.records import Part

_BODY: Final = name_set(
    "output stopReason usage metrics trace additionalModelResponseFields performanceConfig "
    "serviceTier message"
)
_EVENT: Final = name_set(
    "messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata p "
    "role contentBlockIndex start delta stopReason additionalModelResponseFields usage "
    "metrics trace performanceConfig serviceTier message"
)
_BLOCK: Final = name_set(
    "text toolUse reasoningContent citationsContent image document video audio guardContent "
    "cachePoint toolResult searchResult"
)
_USAGE: Final = name_set(
    "inputTokens outputTokens totalTokens cacheReadInputTokens cacheWriteInputTokens "
    "cacheReadInputTokenCount cacheWriteInputTokenCount serverToolUsage cacheDetails"
)


class ConverseParser(ResponseParser):
    """Reads Converse bodies and the events of `converse-stream`.

    An event is named by its frame (`contentBlockDelta`); an exception by its own name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[int, ToolDraft] = {}
        self._thinking: dict[int, dict[str, Any]] = {}
        self._tags = ThinkTags()

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        reading = self.reading
        if "output" not in value:
            reading.error = find_error(value)
            return
        reading.is_recognised = True
        reading.note_unread("", value, _BODY)
        output = reading.as_object(value.get("output"), "output")
        message = reading.as_object(output.get("message"), "output.message") if output else None
        blocks = message.get("content") if message else None
        reading.is_null = blocks is None
        for index, item in enumerate(reading.as_list(blocks, "output.message.content")):
            block = reading.as_object(item, "output.message.content[]")
            if block is not None:
                self._read_block(index, block)
        self._read_end(value)
        reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one event."""
        reading = self.reading
        if name is None and len(value) == 1:  # a stream that was unpacked on the way
            name, inner = next(iter(value.items()))
            if not isinstance(inner, dict):
                reading.refuse(name, inner)
                return ()
            value = inner
        if name is not None and (name.endswith("Exception") or name == "error"):
            message = value.get("message") or value.get("originalMessage") or name
            reading.error = ProviderWords(message=str(message), type=name)
            return ()
        if not _EVENT.issuperset(value):
            reading.note_unread("", value, _EVENT)
        if name == "contentBlockDelta":
            reading.is_recognised = True
            return self._read_delta(value)
        if name == "contentBlockStart":
            return self._read_start(value)
        if name in ("messageStart", "messageStop", "metadata"):
            reading.is_recognised = True
            self._read_end(value)
        elif name != "contentBlockStop":
            reading.note_unread("event.", {str(name): dict(value)}, frozenset())
        return ()

    def finish(self) -> Sequence[Piece]:
        """Text that was kept back, and thinking for the next turn."""
        reading = self.reading
        pieces = self._tags.finish()
        self._add_pieces(pieces)
        if self._tags.was_tagged:
            reading.flags.add("think_tags")
        if self._thinking:
            blocks = [self._thinking[index] for index in sorted(self._thinking)]
            reading.next_turn["thinking_blocks"] = blocks
        for draft in reading.tools.values():
            if draft.arguments and not draft.is_whole:
                reading.flags.add("tool_arguments_invalid")
        return pieces

    def _read_end(self, value: Mapping[str, Any]) -> None:
        reading = self.reading
        if finish := reading.as_label(value.get("stopReason"), "stopReason"):
            reading.finish = finish
        self._read_usage(value.get("usage"))
        tier = value.get("serviceTier")
        if isinstance(tier, dict) and isinstance(tier.get("type"), str):
            reading.service_tier = tier["type"]
        trace = value.get("trace")
        guardrail = trace.get("guardrail") if isinstance(trace, dict) else None
        if reading.finish == "guardrail_intervened" and guardrail:
            actions = as_json(guardrail)
            if '"ANONYMIZED"' in actions and '"BLOCKED"' not in actions:
                # Names and the like were replaced; the answer is there and was not refused.
                reading.flags.add("guardrail_masked")
                reading.finish = "end_turn"

    def _read_block(self, index: int, block: Mapping[str, Any]) -> None:
        reading = self.reading
        reading.note_unread("output.message.content[].", block, _BLOCK)
        if "text" in block:
            self._read_text(block["text"])
        elif "toolUse" in block:
            use = reading.as_object(block["toolUse"], "toolUse")
            if use is None:
                reading.refuse("toolUse", block["toolUse"])
                return
            draft = self._begin_tool(index, use)
            given = use.get("input")
            if given is not None and not isinstance(given, dict):
                reading.refuse("toolUse.input", given)
            draft.arguments.append(as_json(given or {}))
        elif "reasoningContent" in block:
            self._read_reasoning(index, block["reasoningContent"])
        elif "citationsContent" in block:
            self._read_citations(block["citationsContent"])
        else:
            self._read_media(block)

    def _read_media(self, block: Mapping[str, Any]) -> None:
        for kind in ("image", "audio", "document", "video"):
            held = block.get(kind)
            source = held.get("source") if isinstance(held, dict) else None
            data = source.get("bytes") if isinstance(source, dict) else None
            if isinstance(held, dict):
                self.reading.parts.append(
                    Part(
                        type="image" if kind == "image" else "audio" if kind == "audio" else "file",
                        data=data if isinstance(data, str) else None,
                        media_type=f"{kind}/{held.get('format')}" if held.get("format") else None,
                        raw=without(held, "source"),
                    )
                )
                return
        self.reading.has_other = True

    def _read_start(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        start = self.reading.as_object(value.get("start"), "start")
        use = self.reading.as_object(start.get("toolUse"), "start.toolUse") if start else None
        if use is None:
            return ()
        self._begin_tool(self._index(value), use)
        return (("tool_call", ""),)

    def _begin_tool(self, index: int, use: Mapping[str, Any]) -> ToolDraft:
        reading = self.reading
        name = reading.as_text(use.get("name"), "toolUse.name")
        if not name:
            reading.refuse("toolUse.name", use.get("name"))
        draft = ToolDraft(reading.as_label(use.get("toolUseId"), "toolUse.toolUseId"), name)
        self._tools[index] = reading.tools[len(reading.tools)] = draft
        return draft

    def _read_delta(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading, index = self.reading, self._index(value)
        delta = reading.as_object(value.get("delta"), "delta")
        if delta is None:
            return ()
        if "text" in delta:
            return self._read_text(delta["text"])
        if "reasoningContent" in delta:
            return self._read_reasoning(index, delta["reasoningContent"])
        if "toolUse" in delta:
            use = reading.as_object(delta["toolUse"], "delta.toolUse")
            part = reading.as_text(use.get("input"), "delta.toolUse.input") if use else ""
            draft = self._tools.get(index)
            if draft is None:
                reading.refuse("delta.toolUse without its tool call", part)
            elif part:
                draft.arguments.append(part)
                return (("tool_call", part),)
        elif "citation" in delta:
            self._read_citations({"citations": [delta["citation"]]})
        else:
            reading.note_unread("delta.", delta, frozenset())
        return ()

    def _read_text(self, text: Any) -> Sequence[Piece]:
        if type(text) is not str:
            self.reading.refuse("text", text)
            return ()
        if not text:
            return ()
        pieces = self._tags.feed(text)
        self._add_pieces(pieces)
        return pieces or (("reasoning", ""),)

    def _add_pieces(self, pieces: Sequence[Piece]) -> None:
        for kind, text in pieces:
            (self.reading.reasoning if kind == "reasoning" else self.reading.text).append(text)

    def _read_reasoning(self, index: int, content: Any) -> Sequence[Piece]:
        """Thinking of a whole block (`reasoningText`) or of a delta."""
        reading = self.reading
        value = reading.as_object(content, "reasoningContent")
        if value is None:
            return ()
        reading.has_other = True
        if "reasoningText" in value:
            value = reading.as_object(value["reasoningText"], "reasoningText") or {}
        if (redacted := value.get("redactedContent")) is not None:
            self._thinking[index] = {"type": "redacted_thinking", "data": redacted}
            return ()
        block = self._thinking.setdefault(index, {"type": "thinking", "thinking": ""})
        if signature := value.get("signature"):
            block["signature"] = signature
        if (text := reading.as_text(value.get("text"), "reasoningContent.text")) == "":
            return ()
        block["thinking"] = block.get("thinking", "") + text
        reading.reasoning.append(text)
        return (("reasoning", text),)

    def _read_citations(self, content: Any) -> None:
        reading = self.reading
        value = reading.as_object(content, "citationsContent") or {}
        for part in reading.as_list(value.get("content"), "citationsContent.content"):
            if isinstance(part, dict):
                self._read_text(part.get("text"))
        for cited in reading.as_list(value.get("citations"), "citationsContent.citations"):
            if isinstance(cited, dict):
                title = cited.get("title")
                location = cited.get("location")
                web = location.get("web") if isinstance(location, dict) else None
                reading.parts.append(
                    Part(
                        type="citation",
                        title=title if isinstance(title, str) else None,
                        url=web.get("url") if isinstance(web, dict) else None,
                        raw=cited,
                    )
                )

    def _read_usage(self, usage: Any) -> None:
        """Input is the sum of fresh, cached and written tokens."""
        reading = self.reading
        if not isinstance(usage, dict):
            if usage:
                reading.flag_type("usage", usage)
            return
        reading.note_unread("usage.", usage, _USAGE)
        fresh = reading.read_count(usage.get("inputTokens"))
        cached = reading.count("cached_input_tokens", usage.get("cacheReadInputTokens"))
        written = reading.count("cache_write_tokens", usage.get("cacheWriteInputTokens"))
        if fresh is not None:
            reading.count("input_tokens", fresh + (cached or 0) + (written or 0))
        reading.count("output_tokens", usage.get("outputTokens"))
        for detail in reading.as_list(usage.get("cacheDetails"), "usage.cacheDetails"):
            if isinstance(detail, dict) and detail.get("ttl") == "1h":
                reading.count("cache_write_1h_tokens", detail.get("inputTokens"))

    def _index(self, value: Mapping[str, Any]) -> int:
        index = value.get("contentBlockIndex")
        if type(index) is int:
            return index
        if index is not None:
            self.reading.flag_type("contentBlockIndex", index)
        return max(self._tools, default=0)
