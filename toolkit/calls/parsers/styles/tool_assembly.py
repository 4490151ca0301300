"""Tool calls in OpenAI's streamed form, put together from deltas however a server numbers them.

OpenAI numbers parallel calls with `index` and sends id and name once. Its imitators number every
call 0, send no index, no id, an empty id, or repeat id and name with every delta. So a delta
belongs to the call that was begun last, unless its id or its index names another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.calls.parsers.parsed_response import (
    ChoiceDraft,
    ParsedResponse,
    Piece,
    ToolDraft,
    as_json,
    without,
)

_MEMBERS = frozenset(("index", "id", "type", "function", "custom"))
_CARRIED = ("extra_content", "provider_specific_fields")


class ToolAssembly:
    """Adds deltas of tool calls to the drafts of one choice."""

    def __init__(self, reading: ParsedResponse, choice: ChoiceDraft) -> None:
        self._reading = reading
        self._drafts = choice.tools
        self._by_id: dict[str, ToolDraft] = {}
        self._by_index: dict[int, ToolDraft] = {}
        self._current: ToolDraft | None = None

    def add_deltas(self, calls: Any, path: str) -> Iterator[Piece]:
        """Read the `tool_calls` of one delta."""
        for call in self._reading.as_list(calls, path):
            if call is None or (piece := self._read(call, path)) is None:
                continue
            body, kind = piece
            yield from self._add(call, body, kind, path)

    def add_whole(self, calls: Any, path: str) -> Iterator[Piece]:
        """Read the `tool_calls` of a whole message: each one is a call of its own."""
        for call in self._reading.as_list(calls, path):
            if call is None or (piece := self._read(call, path)) is None:
                continue
            body, kind = piece
            name = self._reading.as_text(body.get("name"), f"{path}[].name")
            if not name:
                self._reading.refuse(f"{path}[].name", body.get("name"))
            arguments = self._arguments(body, kind)
            draft = self._begin(self._reading.as_label(call.get("id"), f"{path}[].id"), name, kind)
            draft.arguments.append(arguments)
            self._carry(draft, call)
            yield "tool_call", arguments

    def check(self, path: str) -> None:
        """At the end: a call without a name cannot be made, half a call is flagged."""
        for draft in self._drafts.values():
            if not draft.name:
                self._reading.refuse(f"{path}[].name", None)
            elif draft.type == "function" and draft.arguments and not draft.is_whole:
                self._reading.flags.add("tool_arguments_invalid")

    def _read(self, call: Any, path: str) -> tuple[Mapping[str, Any], str] | None:
        reading = self._reading
        if type(call) is not dict:
            reading.refuse(f"{path}[]", call)
            return None
        if not _MEMBERS.issuperset(call):
            reading.note_unread(f"{path}[].", without(call, *_CARRIED), _MEMBERS)
        # Snowflake sends an empty `custom` beside every function.
        is_custom = call.get("type") == "custom" or "function" not in call
        kind = "custom" if is_custom and "custom" in call else "function"
        body = reading.as_object(call.get(kind), f"{path}[].{kind}")
        return ({} if body is None else body), kind

    def _add(
        self, call: Mapping[str, Any], body: Mapping[str, Any], kind: str, path: str
    ) -> Iterator[Piece]:
        reading = self._reading
        call_id = reading.as_label(call.get("id"), f"{path}[].id")
        name = reading.as_text(body.get("name"), f"{path}[].name")
        arguments = self._arguments(body, kind)
        if not (call_id or name or arguments):
            return
        index = self._index(call.get("index"), path)
        held = self._find(call_id, name, index, is_typed="type" in call)
        if held is None:
            held = self._begin(call_id, name, kind)
        else:
            held.id = held.id or call_id
            if name and name != held.name and not held.arguments:
                # In pieces, or again and longer each time.
                held.name = name if name.startswith(held.name) else held.name + name
        if call_id:
            self._by_id[call_id] = held
        if index is not None:
            self._by_index[index] = held
        self._current = held
        self._carry(held, call)
        if arguments:
            held.arguments.append(arguments)
        yield "tool_call", arguments

    def _find(
        self, call_id: str | None, name: str, index: int | None, *, is_typed: bool
    ) -> ToolDraft | None:
        """The call that a delta continues, or None where it begins one."""
        if call_id and (same := self._by_id.get(call_id)) is not None:
            return same
        held = self._current if index is None else self._by_index.get(index)
        if held is None:
            if call_id or name or self._current is None or self._current.is_whole:
                return None
            return self._current
        if call_id and (held.id or name):
            # An id that came late, unless the call before it was of another tool.
            is_late = not held.id and not held.arguments and name == held.name
            return held if is_late else None
        return self._find_by_name(held, name, is_typed=is_typed) if name else held

    def _find_by_name(self, held: ToolDraft, name: str, *, is_typed: bool) -> ToolDraft | None:
        """A name without an id: repeated, the next piece of the name, or a call of its own."""
        if held.arguments:
            return held if name == held.name and not held.is_whole else None
        if name == held.name or not held.name:
            return held
        return None if is_typed else held

    def _begin(self, call_id: str | None, name: str, kind: str) -> ToolDraft:
        draft = ToolDraft(call_id, name, type="custom" if kind == "custom" else "function")
        self._drafts[len(self._drafts)] = self._current = draft
        return draft

    def _index(self, value: Any, path: str) -> int | None:
        if value is None or type(value) is int:
            return value
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
            return int(value)
        self._reading.flag_type(f"{path}[].index", value)
        return None

    def _arguments(self, body: Mapping[str, Any], kind: str) -> str:
        """Arguments as text; some servers send them decoded."""
        value = body.get("input" if kind == "custom" else "arguments")
        if value is None or isinstance(value, str):
            return value or ""
        if not isinstance(value, dict):
            self._reading.refuse("tool_calls[].function.arguments", value)
        return as_json(value)

    def _carry(self, draft: ToolDraft, call: Mapping[str, Any]) -> None:
        for name in _CARRIED:
            if call.get(name):
                draft.provider_fields[name] = call[name]
