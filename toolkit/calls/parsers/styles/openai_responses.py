"""Answers of OpenAI's Responses API, whole and as typed events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import ProviderWords, find_error
from toolkit.calls.parsers.parsed_response import (
    Piece,
    ResponseParser,
    ToolDraft,
    name_set,
    without,
)
from toolkit.calls.parsers.styles.openai_usage import read_usage
from toolkit.records import Part

_RESPONSE: Final = name_set(
    "id object created_at completed_at status background billing error incomplete_details "
    "instructions max_output_tokens max_tool_calls metadata model output output_text "
    "parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_retention "
    "reasoning safety_identifier service_tier store temperature text tool_choice tools top_k "
    "top_logprobs top_p truncation usage user conversation content_filters moderation "
    "frequency_penalty presence_penalty min_p seed stop n logprobs prompt_cache_options "
    "system_fingerprint provider cost extra_body error_details agent citations text_format "
    "stream model_metadata is_byok input_messages output_messages kv_transfer_params"
)
_ITEMS: Final = frozenset(("message", "reasoning", "function_call", "custom_tool_call"))
# Events that repeat what deltas, `output_item.done` or the last event say.
_REPEATED: Final = name_set(
    "response.queued response.in_progress response.content_part.added "
    "response.content_part.done response.reasoning_summary_part.added "
    "response.reasoning_summary_part.done response.reasoning_part.added "
    "response.reasoning_part.done "
    "response.output_text.annotation.added response.audio.done response.audio.transcript.done "
    "keepalive ping"
)
# Events that repeat what deltas have brought, by the kind of content and the member with it.
_WHOLE: Final[Mapping[str, tuple[str, str]]] = {
    "response.output_text.done": ("text", "text"),
    "response.refusal.done": ("refusal", "refusal"),
    "response.reasoning_summary_text.done": ("reasoning", "text"),
    "response.reasoning_text.done": ("reasoning", "text"),
    "response.function_call_arguments.done": ("tool_call", "arguments"),
    "response.custom_tool_call_input.done": ("tool_call", "input"),
}


def _item_id(item: Mapping[str, Any]) -> str:
    """What names an item in a message: the call's id, the reasoning's id, or its type."""
    return str(
        item.get("call_id") or (item.get("type") == "reasoning" and item.get("id")) or "text"
    )


class ResponsesParser(ResponseParser):
    """Reads `response` bodies and the events `response.created` ... `response.completed`."""

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[Any, ToolDraft] = {}
        # What deltas have brought: item, kind of content and number of the part (None: any).
        self._streamed: set[tuple[str | int, str, int | None]] = set()
        self._done: dict[int, Mapping[str, Any]] = {}
        self._items: list[Mapping[str, Any]] = []

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        reading = self.reading
        if value.get("error"):
            reading.error = find_error(value)
        if value.get("object") != "response" and "output" not in value:
            return
        reading.note_unread("", value, _RESPONSE)
        self._read_response(value)
        for item in reading.as_list(value.get("output"), "output"):
            if (held := reading.as_object(item, "output[]")) is not None:
                self._items.append(held)
                self._read_item(held)
        reading.is_null = value.get("output") is None
        reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one event; its `type` counts, the name only repeats it."""
        reading = self.reading
        kind = reading.as_label(value.get("type"), "type") or name
        if (read := _EVENTS.get(kind or "")) is not None:
            return read(self, value)
        if (whole := _WHOLE.get(kind or "")) is not None:
            return self._read_whole_part(value, *whole)
        if kind and kind.startswith("response.reasoning") and "delta" in value:
            return self._add("reasoning", value, "delta")
        if kind == "error" or value.get("error"):
            reading.error = find_error(value if value.get("error") else {"error": dict(value)})
        elif kind not in _REPEATED:
            self._read_other_event(str(kind), value)
        return ()

    def _read_text(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        self._note_logprobs(value.get("logprobs"))
        return self._add("text", value, "delta")

    def _read_refusal(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        return self._add("refusal", value, "delta")

    def _read_created(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        self._read_state(value)
        return ()

    def finish(self) -> Sequence[Piece]:
        """The items that the next turn needs: reasoning, and runs of the provider's tools."""
        reading = self.reading
        items = self._items or [self._done[index] for index in sorted(self._done)]
        thoughts = [dict(item) for item in items if item.get("type") == "reasoning"]
        if thoughts:
            reading.next_turn["reasoning_items"] = thoughts
            if items[: len(thoughts)] != thoughts:  # between other items, where it must stay
                order = [_item_id(item) for item in items if item.get("type") in _ITEMS]
                reading.next_turn["item_order"] = order
        searches = sum(map(_is_search, items))
        if searches and reading.tokens:  # the usage of this API does not count them
            reading.count("web_searches", searches)
        for draft in reading.tools.values():
            if draft.type == "function" and draft.arguments and not draft.is_whole:
                reading.flags.add("tool_arguments_invalid")
        return ()

    def _read_state(self, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The response inside an event: what it says of itself."""
        reading = self.reading
        response = reading.as_object(value.get("response"), "response")
        if response is not None:
            reading.note_unread("response.", response, _RESPONSE)
            self._read_response(response)
        return response

    def _read_last(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading = self.reading
        response = self._read_state(value)
        if response is None:
            return ()
        output = reading.as_list(response.get("output"), "response.output")
        self._items = [item for item in output if isinstance(item, dict)]
        for item in output:
            reading.as_object(item, "response.output[]")
        pieces = self._read_missing()
        reading.is_ended = True
        return pieces

    def _read_missing(self) -> Sequence[Piece]:
        """What only the last event holds: each kind of content that none before it has brought.

        Ids and numbers of items are no help here: gateways renumber them in the last event.
        """
        reading = self.reading
        others = {item.get("type") for item in self._done.values()} - _ITEMS
        came = {
            "text": bool(reading.text),
            "refusal": reading.refusal is not None,
            "reasoning": bool(reading.reasoning),
            "annotations": bool(reading.parts),
            "other": bool(reading.parts),
        }
        has_tools = bool(reading.tools)
        pieces: list[Piece] = []
        for item in self._items:
            kind = item.get("type")
            if kind == "message":
                pieces += self._read_message(item, lambda content, _: not came[content])
            elif kind == "reasoning":
                pieces += () if came["reasoning"] else self._read_thoughts(item)
            elif kind in ("function_call", "custom_tool_call"):
                pieces += () if has_tools else self._read_call(item)
            elif not isinstance(kind, str) or kind not in others:
                pieces += self._read_item(item)
        return pieces

    def _read_response(self, value: Mapping[str, Any]) -> None:
        """Model, status and usage of a body, or of the response inside an event."""
        reading = self.reading
        reading.is_recognised = True
        reading.response_model = reading.as_label(value.get("model"), "model")
        reading.response_id = reading.as_label(value.get("id"), "id")
        reading.service_tier = reading.as_label(value.get("service_tier"), "service_tier")
        read_usage(reading, value)
        status = reading.as_label(value.get("status"), "status")
        details = value.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if value.get("error"):
            reading.error = find_error(value)
        elif status == "incomplete":
            reading.finish = reason if isinstance(reason, str) else "incomplete"
        elif status in ("completed", "cancelled"):
            reading.finish = str(status)
        elif status == "failed":
            reading.error = ProviderWords(message="the response failed")

    def _read_item(self, item: Mapping[str, Any]) -> list[Piece]:
        """Read one whole item of the output."""
        reading, kind = self.reading, item.get("type")
        if kind == "message":
            return self._read_message(item)
        if kind == "reasoning":
            return self._read_thoughts(item)
        if kind in ("function_call", "custom_tool_call"):
            return self._read_call(item)
        if type(kind) is not str:
            reading.refuse("output[].type", kind)
            return []
        self._read_other_item(item, kind)
        reading.has_other = True
        return []

    def _read_message(
        self, item: Mapping[str, Any], is_new: Callable[[str, int], bool] | None = None
    ) -> list[Piece]:
        """Read a whole message.

        Args:
            item: the message.
            is_new: whether the n-th part with a kind of content is to be read; all by default.
        """
        reading = self.reading
        pieces: list[Piece] = []
        counts = {"text": 0, "refusal": 0, "other": 0}
        for part in reading.as_list(item.get("content"), "output[].content"):
            held = reading.as_object(part, "output[].content[]")
            if held is None:
                continue
            kind = "refusal" if held.get("type") == "refusal" else "text"
            if kind not in held:
                kind = "other"
            index = counts[kind]
            counts[kind] += 1
            if is_new is None or is_new(kind, index):
                pieces += self._read_part(held, kind)
            if kind == "text" and (is_new is None or is_new("annotations", index)):
                self._read_annotations(held)
        return pieces

    def _read_part(self, part: Mapping[str, Any], kind: str) -> list[Piece]:
        reading = self.reading
        if kind == "other":
            reading.parts.append(Part(type="other", raw=part))
            reading.note_unread("output[].content[].", part, frozenset())
            return []
        if kind == "text":
            self._note_logprobs(part.get("logprobs"))
        return self._add(kind, part, kind)

    def _read_thoughts(self, item: Mapping[str, Any]) -> list[Piece]:
        pieces: list[Piece] = []
        for name in ("summary", "content"):
            for part in self.reading.as_list(item.get(name), f"output[].{name}"):
                held = self.reading.as_object(part, f"output[].{name}[]")
                if held is not None and "text" in held:
                    pieces += self._add("reasoning", held, "text")
                elif held:
                    self.reading.note_unread(f"output[].{name}[].", held, frozenset())
        self.reading.has_other = True  # encrypted reasoning is content, too
        return pieces

    def _read_call(self, item: Mapping[str, Any]) -> list[Piece]:
        draft = self._begin_call(item)
        is_custom = draft.type == "custom"
        text = self.reading.as_text(item.get("input" if is_custom else "arguments"), "arguments")
        draft.arguments[:] = [text]
        return [("tool_call", text)]

    def _begin_call(self, item: Mapping[str, Any]) -> ToolDraft:
        reading = self.reading
        name = reading.as_text(item.get("name"), "output[].name")
        if not name:
            reading.refuse("output[].name", item.get("name"))
        call_id = reading.as_label(item.get("call_id") or item.get("id"), "output[].call_id")
        is_custom = item.get("type") == "custom_tool_call"
        draft = ToolDraft(call_id, name, type="custom" if is_custom else "function")
        reading.tools[len(reading.tools)] = draft
        return draft

    def _begin_item(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        item = self.reading.as_object(value.get("item"), "item")
        if item is None:
            return ()
        if item.get("type") in ("function_call", "custom_tool_call"):
            draft = self._begin_call(item)
            for key in (item.get("id"), value.get("output_index")):
                if isinstance(key, str | int):
                    self._tools[key] = draft
            return (("tool_call", ""),)
        return ()

    def _end_item(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        """The whole item; what deltas have brought already is not added again."""
        reading = self.reading
        item = reading.as_object(value.get("item"), "item")
        if item is None:
            return ()
        index = value.get("output_index")
        self._done[index if type(index) is int else len(self._done)] = item
        kind = item.get("type")
        if kind in ("function_call", "custom_tool_call"):
            return self._end_call(item, index)
        keys = _keys(item.get("id"), index)
        if kind == "message":
            return self._read_message(
                item, lambda content, number: not self._has_come(keys, content, number)
            )
        if kind == "reasoning":
            reading.has_other = True
            is_known = any(key in keys and came == kind for key, came, _ in self._streamed)
            return () if is_known else self._read_thoughts(item)
        self._read_item(item)
        return ()

    def _end_call(self, item: Mapping[str, Any], index: Any) -> Sequence[Piece]:
        """The whole call: only what its deltas have not brought is new."""
        draft = self._tools.get(_key(item.get("id"))) or self._tools.get(_key(index))
        if draft is None:
            return self._read_item(item)
        name = "input" if draft.type == "custom" else "arguments"
        whole = self.reading.as_text(item.get(name), f"item.{name}")
        held = "".join(draft.arguments)
        draft.arguments[:] = [whole or held]
        rest = whole[len(held) :] if whole.startswith(held) else ""
        return (("tool_call", rest),) if rest else ()

    def _numbers(self, keys: Sequence[str | int], kind: str) -> set[int | None]:
        """The numbers of the parts of an item whose content of a kind deltas have brought."""
        return {number for key, came, number in self._streamed if came == kind and key in keys}

    def _has_come(self, keys: Sequence[str | int], kind: str, place: int) -> bool:
        """Whether deltas have brought the n-th part with a kind of content.

        They are counted: some servers number the parts of a message from another start.
        """
        numbers = self._numbers(keys, kind)
        return None in numbers or place < len(numbers)

    def _read_whole_part(self, value: Mapping[str, Any], kind: str, name: str) -> Sequence[Piece]:
        """A part that ends: it is new only where no delta of it has come."""
        keys = _keys(value.get("item_id"), value.get("output_index"))
        if kind == "tool_call":
            draft = next((self._tools[key] for key in keys if key in self._tools), None)
            if draft is None or draft.arguments or not isinstance(value.get(name), str):
                return ()
            return self._read_arguments({**value, "delta": value[name]})
        numbers, number = self._numbers(keys, kind), _number_of(value)
        is_known = not keys or None in numbers or number in numbers or (number is None and numbers)
        return () if is_known or name not in value else self._add(kind, value, name)

    def _read_arguments(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        part = self.reading.as_text(value.get("delta"), "delta")
        draft = self._tools.get(_key(value.get("item_id")))
        draft = draft or self._tools.get(_key(value.get("output_index")))
        if draft is None:
            self.reading.refuse("delta without its tool call", part)
            return ()
        if not part:
            return ()
        draft.arguments.append(part)
        return (("tool_call", part),)

    def _read_other_item(self, item: Mapping[str, Any], kind: str) -> None:
        """A tool that the provider ran itself, an image, or an item that is not known."""
        if kind == "image_generation_call":
            data = item.get("result")
            self.reading.parts.append(
                Part(
                    type="image",
                    data=data if isinstance(data, str) else None,
                    media_type=f"image/{item.get('output_format') or 'png'}",
                    raw=without(item, "result"),
                )
            )
            return
        if not kind.endswith(("_call", "_output")) and not kind.startswith("mcp_"):
            self.reading.parts.append(Part(type="other", raw=item))
            self.reading.note_unread("output[].", {kind: item}, frozenset())
            return
        name = item.get("name")
        self.reading.parts.append(
            Part(
                type="server_tool_result" if kind.endswith("_output") else "server_tool_call",
                title=name if isinstance(name, str) else kind,
                raw=item,
            )
        )

    def _read_annotations(self, part: Mapping[str, Any]) -> None:
        for note in self.reading.as_list(part.get("annotations"), "annotations"):
            if isinstance(note, dict):
                url, title = note.get("url"), note.get("title") or note.get("filename")
                self.reading.parts.append(
                    Part(
                        type="citation",
                        url=url if isinstance(url, str) else None,
                        title=title if isinstance(title, str) else None,
                        raw=note,
                    )
                )

    def _read_other_event(self, kind: str, value: Mapping[str, Any]) -> None:
        """Progress of the provider's own tools says nothing new; anything else is kept."""
        if "_call." in kind or "image_generation" in kind or "mcp_list_tools" in kind:
            return
        self.reading.note_unread("event.", {kind: value}, frozenset())

    def _note_logprobs(self, logprobs: Any) -> None:
        for entry in logprobs if isinstance(logprobs, list) else ():
            if isinstance(entry, dict):
                self.reading.logprobs.append(entry)

    def _add(self, kind: str, value: Mapping[str, Any], name: str) -> list[Piece]:
        reading = self.reading
        text = value.get(name)
        if type(text) is not str:
            reading.refuse(name, text)
            return []
        number = _number_of(value)
        for key in _keys(value.get("item_id"), value.get("output_index")):
            self._streamed.add((key, kind, number))
        if kind == "refusal":
            reading.refusal = (reading.refusal or "") + text
            return []
        if not text:
            return []
        if kind == "text":
            reading.text.append(text)
            return [("text", text)]
        reading.reasoning.append(text)
        return [("reasoning", text)]


def _number_of(value: Mapping[str, Any]) -> int | None:
    """The number of the part that an event is about, None where it does not say."""
    number = value.get("content_index", value.get("summary_index"))
    return number if type(number) is int else None


def _keys(*values: Any) -> Sequence[str | int]:
    """Those of an id and an index that can be keys."""
    return [value for value in values if isinstance(value, str | int)]


def _key(value: Any) -> str | int | None:
    """An id or index as a key; None where it is neither."""
    return value if isinstance(value, str | int) else None


def _is_search(item: Mapping[str, Any]) -> bool:
    """Whether an item is a search that is charged; opening a page that was found is not."""
    action = item.get("action")
    kind = action.get("type") if isinstance(action, Mapping) else None
    return item.get("type") == "web_search_call" and kind in (None, "search")


_EVENTS: Final[Mapping[str, Callable[[ResponsesParser, Mapping[str, Any]], Sequence[Piece]]]] = {
    "response.output_text.delta": ResponsesParser._read_text,
    "response.refusal.delta": ResponsesParser._read_refusal,
    "response.function_call_arguments.delta": ResponsesParser._read_arguments,
    "response.custom_tool_call_input.delta": ResponsesParser._read_arguments,
    "response.output_item.added": ResponsesParser._begin_item,
    "response.output_item.done": ResponsesParser._end_item,
    "response.created": ResponsesParser._read_created,
    "response.completed": ResponsesParser._read_last,
    "response.incomplete": ResponsesParser._read_last,
    "response.failed": ResponsesParser._read_last,
    "response.cancelled": ResponsesParser._read_last,
}
