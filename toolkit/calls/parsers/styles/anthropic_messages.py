"""Messages in Anthropic's form, whole and as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import (
    Piece,
    ResponseParser,
    ToolDraft,
    as_json,
    name_set,
    without,
)
from toolkit.records import Part

# Models that litellm does not know to answer in JSON are made to call this tool instead.
_JSON_ANSWER: Final = "json_tool_call"

_MESSAGE: Final = name_set(
    "id type role model content stop_reason stop_sequence stop_details usage error container "
    "context_management request_id stop amazon-bedrock-invocationMetrics amazon-bedrock- "
    "guardrailAction diagnostics"
)
_EVENT: Final = name_set(
    "type index delta content_block message usage error request_id context_management amazon- "
    "bedrock-invocationMetrics p"
)
_USAGE: Final = name_set(
    "input_tokens output_tokens cache_creation_input_tokens cache_read_input_tokens "
    "cache_creation server_tool_use service_tier output_tokens_details inference_geo "
    "iterations speed cost currency"
)
_QUIET: Final = ("content_block_stop", "ping")
_SERVER_CALLS: Final = ("server_tool_use", "mcp_tool_use")


class AnthropicParser(ResponseParser):
    """Reads `message` bodies and the events `message_start` ... `message_stop`."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._tools: dict[int, ToolDraft] = {}
        self._json_block: int | None = None

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        reading = self.reading
        if value.get("error") or value.get("type") == "error":
            reading.error = find_error(value)
            return
        reading.note_unread("", value, _MESSAGE)
        blocks = value.get("content")
        is_message = value.get("type", "message") == "message"
        reading.is_recognised = isinstance(blocks, list) and is_message
        reading.is_null = blocks is None
        self._read_head(value)
        for index, block in enumerate(reading.as_list(blocks, "content")):
            if (held := reading.as_object(block, "content[]")) is not None:
                self._blocks[index] = dict(held)
                self._read_block(index, held, is_whole=True)
        self._read_stop(value)
        reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one event; its `type` counts, the name only repeats it."""
        kind = value.get("type") or name
        reading = self.reading
        if not _EVENT.issuperset(value):
            reading.note_unread("", value, _EVENT)
        if kind == "content_block_delta":
            return self._read_delta(value)
        if kind == "content_block_start":
            reading.is_recognised = True  # a gateway may leave `message_start` out
            return self._read_block_start(value)
        self._read_frame(str(kind), value)
        return ()

    def finish(self) -> Sequence[Piece]:
        """What the next turn needs: thinking with its signatures, runs of server tools."""
        reading = self.reading
        blocks = [_join_pieces(self._blocks[index]) for index in sorted(self._blocks)]
        thinking = [b for b in blocks if b.get("type") in ("thinking", "redacted_thinking")]
        if thinking:
            reading.next_turn["thinking_blocks"] = thinking
            said = [
                b for b in blocks if b in thinking or (b.get("type") == "text" and b.get("text"))
            ]
            if said[: len(thinking)] != thinking:  # between texts, where it must stay
                reading.next_turn["content_blocks"] = said
        compactions = [b for b in blocks if b.get("type") == "compaction"]
        if compactions:
            reading.next_turn["provider_specific_fields"] = {"compaction_blocks": compactions}
        if any(_is_server_block(block) for block in blocks):
            # The turn is only complete with the provider's own tool calls and their results.
            reading.next_turn["content"] = [
                block
                for block in blocks
                if _is_server_block(block) or (block.get("type") == "text" and block.get("text"))
            ]
        for draft in reading.tools.values():
            if draft.arguments and not draft.is_whole:
                reading.flags.add("tool_arguments_invalid")
        return ()

    def _read_frame(self, kind: str, value: Mapping[str, Any]) -> None:
        """The events around the content."""
        reading = self.reading
        if kind == "message_start":
            message = reading.as_object(value.get("message"), "message")
            if message is not None:
                reading.is_recognised = True
                reading.note_unread("message.", message, _MESSAGE)
                self._read_head(message)
        elif kind == "message_delta":
            self._read_usage(value.get("usage"))
            if (delta := reading.as_object(value.get("delta"), "delta")) is not None:
                self._read_stop(delta)
        elif kind == "message_stop":
            reading.is_ended = True
        elif kind == "error" or value.get("error"):
            reading.error = find_error(value if value.get("error") else {"error": dict(value)})
        elif kind not in _QUIET:
            reading.note_unread("event.", {kind: value}, frozenset())

    def _read_head(self, message: Mapping[str, Any]) -> None:
        reading = self.reading
        model, response_id = message.get("model"), message.get("id")
        reading.response_model = reading.as_label(model, "model") or reading.response_model
        reading.response_id = reading.as_label(response_id, "id") or reading.response_id
        self._read_usage(message.get("usage"))

    def _read_stop(self, part: Mapping[str, Any]) -> None:
        reading = self.reading
        stop = reading.as_label(part.get("stop_reason"), "stop_reason")
        if stop:
            is_json = self._json_block is not None and not reading.tools
            reading.finish = "end_turn" if is_json and stop == "tool_use" else stop
        if stop == "refusal":
            details = part.get("stop_details")
            message = details.get("explanation") if isinstance(details, dict) else None
            reading.refusal = str(message or "the model refused")

    def _read_block_start(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        block = self.reading.as_object(value.get("content_block"), "content_block")
        if block is None:
            return ()
        index = self._index(value)
        self._blocks[index] = dict(block)
        return self._read_block(index, block, is_whole=False)

    def _read_block(
        self, index: int, block: Mapping[str, Any], *, is_whole: bool
    ) -> Sequence[Piece]:
        reading, kind = self.reading, block.get("type")
        if kind == "text":
            for citation in reading.as_list(block.get("citations"), "content[].citations"):
                self._read_citation(citation)
            return self._add("text", block.get("text"), "content[].text")
        if kind == "thinking":
            return self._add("reasoning", block.get("thinking"), "content[].thinking")
        if kind == "tool_use":
            return self._read_tool(index, block, is_whole=is_whole)
        if kind in _SERVER_CALLS:
            self._add_server_part("server_tool_call", block)
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            self._add_server_part("server_tool_result", block)
        elif kind in ("redacted_thinking", "compaction", "container_upload"):
            reading.has_other = True
        else:
            reading.has_other = True
            reading.parts.append(Part(type="other", raw=block))
            reading.note_unread("content[].", {str(kind): block}, frozenset())
        return ()

    def _read_tool(
        self, index: int, block: Mapping[str, Any], *, is_whole: bool
    ) -> Sequence[Piece]:
        reading = self.reading
        name = reading.as_text(block.get("name"), "content[].name")
        if not name:
            reading.refuse("content[].name", block.get("name"))
        given = block.get("input")
        if given is not None and not isinstance(given, dict):
            reading.refuse("content[].input", given)
        # In a stream most send it empty and fill it by deltas.
        arguments = as_json(given or {}) if given or is_whole else ""
        if name == _JSON_ANSWER:
            self._json_block = index
            return self._add("text", arguments, "content[].input") if arguments else ()
        draft = ToolDraft(reading.as_label(block.get("id"), "content[].id"), name)
        if arguments:
            draft.arguments.append(arguments)
        self._tools[index] = reading.tools[len(reading.tools)] = draft
        return (("tool_call", arguments),)

    def _add_server_part(self, kind: Any, block: Mapping[str, Any]) -> None:
        name, given = block.get("name") or block.get("type"), block.get("input")
        self.reading.parts.append(
            Part(
                type=kind,
                title=name if isinstance(name, str) else None,
                text=as_json(given) if given else "",
                raw=block,
            )
        )

    def _read_citation(self, citation: Any) -> None:
        value = self.reading.as_object(citation, "content[].citations[]")
        if value is None:
            return
        text, url = value.get("cited_text"), value.get("url")
        title = value.get("title") or value.get("document_title")
        self.reading.parts.append(
            Part(
                type="citation",
                text=text if isinstance(text, str) else "",
                title=title if isinstance(title, str) else None,
                url=url if isinstance(url, str) else None,
                raw=value,
            )
        )

    def _read_delta(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading = self.reading
        delta = reading.as_object(value.get("delta"), "delta")
        if delta is None:
            return ()
        kind = delta.get("type")
        block = self._blocks.setdefault(self._index(value), {})
        if kind == "text_delta":
            return self._add_delta(block, "text", "text", delta)
        if kind == "thinking_delta":
            return self._add_delta(block, "reasoning", "thinking", delta)
        if kind == "input_json_delta":
            return self._read_input(value, reading.as_text(delta.get("partial_json"), "delta"))
        if kind == "signature_delta":
            signature = reading.as_text(delta.get("signature"), "delta.signature")
            block["signature"] = (block.get("signature") or "") + signature
        elif kind == "citations_delta":
            self._read_citation(delta.get("citation"))
            block.setdefault("citations", []).append(delta.get("citation"))
        elif kind == "compaction_delta":
            block["content"] = delta.get("content")
        else:
            reading.note_unread("delta.", {str(kind): without(delta, "type")}, frozenset())
        return ()

    def _add_delta(
        self, block: dict[str, Any], kind: str, name: str, delta: Mapping[str, Any]
    ) -> Sequence[Piece]:
        text = delta.get(name)
        block.setdefault("_pieces", [block.get(name)]).append(text)
        return self._add(kind, text, f"delta.{name}")

    def _read_input(self, value: Mapping[str, Any], part: str) -> Sequence[Piece]:
        index = self._index(value)
        if not part:
            return ()
        if index == self._json_block:
            return self._add("text", part, "delta.partial_json")
        if (draft := self._tools.get(index)) is not None:
            draft.arguments.append(part)
            return (("tool_call", part),)
        block = self._blocks[index]
        if block.get("type") in _SERVER_CALLS:
            self._read_server_input(block, part)
            return ()
        self.reading.refuse("delta.partial_json without its tool call", part)
        return ()

    def _read_server_input(self, block: dict[str, Any], part: str) -> None:
        """The input of a tool that the provider runs itself, in pieces."""
        block["_json"] = block.get("_json", "") + part
        try:
            block["input"] = orjson.loads(block["_json"])
        except orjson.JSONDecodeError:
            return
        del block["_json"]
        parts = self.reading.parts
        for place, held in enumerate(parts):
            if held.raw.get("id") == block.get("id") and held.type == "server_tool_call":
                parts[place] = Part(
                    type=held.type, title=held.title, text=as_json(block["input"]), raw=block
                )

    def _add(self, kind: str, value: Any, path: str) -> Sequence[Piece]:
        if type(value) is not str:
            self.reading.refuse(path, value)
            return ()
        if not value:
            return ()
        if kind == "text":
            self.reading.text.append(value)
            return (("text", value),)
        self.reading.reasoning.append(value)
        return (("reasoning", value),)

    def _read_usage(self, usage: Any) -> None:
        """Later counts replace earlier ones; input is the sum of its three classes."""
        reading, known = self.reading, self._usage
        if not isinstance(usage, dict):
            if usage:
                reading.flag_type("usage", usage)
            return
        reading.note_unread("usage.", usage, _USAGE)
        known.update({k: v for k, v in usage.items() if v is not None and (v or not known.get(k))})
        self._count(known, _list_compactions(known))
        if isinstance(tools := known.get("server_tool_use"), dict):
            reading.count("web_searches", tools.get("web_search_requests"))
        if isinstance(details := known.get("output_tokens_details"), dict):
            reading.count("reasoning_tokens", details.get("thinking_tokens"))
        if isinstance(tier := known.get("service_tier"), str):
            reading.service_tier = tier
        reading.cost(known.get("cost"), known.get("currency"))  # OpenRouter's
        if "advisor_message" in str(known.get("iterations", "")):
            reading.flags.add("other_model_used")  # its tokens are not in the counts at the top

    def _count(self, known: Mapping[str, Any], extra: Sequence[Mapping[str, Any]]) -> None:
        reading = self.reading

        def total(name: str) -> int | None:
            counts = [reading.read_count(usage.get(name)) for usage in (known, *extra)]
            said = [count for count in counts if count is not None]
            return sum(said) if said else None

        fresh = total("input_tokens")
        read, written = total("cache_read_input_tokens"), total("cache_creation_input_tokens")
        lifetimes = [
            usage["cache_creation"]
            for usage in (known, *extra)
            if isinstance(usage.get("cache_creation"), dict)
        ]
        if written is None and lifetimes:
            by_lifetime = [reading.read_count(n) for each in lifetimes for n in each.values()]
            written = sum(count or 0 for count in by_lifetime)
        if fresh is not None:
            reading.count("input_tokens", fresh + (read or 0) + (written or 0))
        reading.count("cached_input_tokens", read)
        reading.count("cache_write_tokens", written)
        reading.count("output_tokens", total("output_tokens"))
        hours = [reading.read_count(each.get("ephemeral_1h_input_tokens")) for each in lifetimes]
        if any(count is not None for count in hours):
            reading.count("cache_write_1h_tokens", sum(count or 0 for count in hours))

    def _index(self, value: Mapping[str, Any]) -> int:
        index = value.get("index")
        if type(index) is int:
            return index
        if index is not None:
            self.reading.flag_type("index", index)
        return max(self._blocks, default=0)


def _list_compactions(usage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Requests inside the call that are billed and not in the counts at the top."""
    iterations = usage.get("iterations")
    return [
        iteration
        for iteration in (iterations if isinstance(iterations, list) else ())
        if isinstance(iteration, dict) and iteration.get("type") == "compaction"
    ]


def _join_pieces(block: dict[str, Any]) -> dict[str, Any]:
    """A block with the text or thinking that came in pieces."""
    pieces = [piece for piece in block.pop("_pieces", ()) if isinstance(piece, str)]
    if pieces:
        block["thinking" if block.get("type") == "thinking" else "text"] = "".join(pieces)
    block.pop("_json", None)
    return block


def _is_server_block(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    return kind in _SERVER_CALLS or (isinstance(kind, str) and kind.endswith("_tool_result"))
