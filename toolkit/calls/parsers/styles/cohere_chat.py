"""Answers of Cohere's own chat API, version 2, whole and as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import Piece, ResponseParser, name_set
from toolkit.calls.parsers.styles.tool_assembly import ToolAssembly
from toolkit.records import Part

_BODY: Final = name_set("id finish_reason message usage logprobs response_type error")
_EVENT: Final = name_set("id type index delta logprobs error")
_MESSAGE: Final = name_set("role content tool_calls tool_plan citations")
_PART: Final = name_set("type text thinking")
_USAGE: Final = name_set("billed_units tokens cached_tokens")
_QUIET: Final = ("content-end", "tool-call-end", "citation-end")


class CohereParser(ResponseParser):
    """Reads chat bodies and the events `message-start` ... `message-end`."""

    def __init__(self) -> None:
        super().__init__()
        self._tools = ToolAssembly(self.reading, self.reading)
        self._plan: list[str] = []

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        reading = self.reading
        message = value.get("message")
        if value.get("error") or not isinstance(message, dict):
            reading.error = find_error(value)
            return
        reading.is_recognised = True
        reading.note_unread("", value, _BODY)
        reading.response_id = reading.as_label(value.get("id"), "id")
        reading.is_null = message.get("content") is None
        self._read_message(message, is_whole=True)
        self._read_end(value)
        reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one event; its `type` counts, the name only repeats it."""
        reading = self.reading
        kind = value.get("type") or name
        if not _EVENT.issuperset(value):
            reading.note_unread("", value, _EVENT)
        if kind in _QUIET:
            return ()
        if kind in ("error", "stream-error") or value.get("error"):
            reading.error = find_error(value if value.get("error") else {"error": dict(value)})
            return ()
        delta = reading.as_object(value.get("delta"), "delta") or {}
        message = reading.as_object(delta.get("message"), "delta.message")
        if kind == "message-start":
            reading.is_recognised = True
            reading.response_id = reading.as_label(value.get("id"), "id")
        elif kind == "message-end":
            self._read_end(delta)
            reading.is_ended = True
        elif message is None:
            reading.note_unread("event.", {str(kind): dict(value)}, frozenset())
        return self._read_message(message, is_whole=False) if message is not None else ()

    def finish(self) -> Sequence[Piece]:
        """What the next turn needs: the plan that came with the tool calls."""
        reading = self.reading
        self._tools.check("message.tool_calls")
        if self._plan and reading.tools:
            reading.next_turn["tool_plan"] = "".join(self._plan)
        return ()

    def _read_message(self, message: Mapping[str, Any], *, is_whole: bool) -> list[Piece]:
        reading = self.reading
        pieces: list[Piece] = []
        if not _MESSAGE.issuperset(message):
            reading.note_unread("message.", message, _MESSAGE)
        if plan := reading.as_text(message.get("tool_plan"), "message.tool_plan"):
            self._plan.append(plan)
            pieces += self._add("reasoning", plan)
        pieces += self._read_content(message.get("content"))
        calls = message.get("tool_calls")
        if calls:
            calls = [calls] if isinstance(calls, dict) else calls
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict) and "function" not in call:
                    reading.flag_type("message.tool_calls[].function", None)
            add = self._tools.add_whole if is_whole else self._tools.add_deltas
            pieces += add(calls, "message.tool_calls")
        cited = message.get("citations")
        cited = [cited] if isinstance(cited, dict) else cited
        for citation in reading.as_list(cited, "message.citations"):
            if isinstance(citation, dict) and citation:
                reading.parts.append(_read_citation(citation))
        return pieces

    def _read_content(self, content: Any) -> list[Piece]:
        reading = self.reading
        pieces: list[Piece] = []
        parts = [content] if isinstance(content, dict) else content
        if isinstance(content, str) and content:
            reading.flag_type("message.content", content)
            parts = [{"text": content}]
        for item in reading.as_list(parts, "message.content"):
            part = reading.as_object(item, "message.content[]") or {}
            reading.note_unread("message.content[].", part, _PART)
            if not part.keys() & _PART:
                reading.flag_type("message.content[]", part)
            for name, kind in (("thinking", "reasoning"), ("text", "text")):
                if name not in part:
                    continue
                if type(part[name]) is str:
                    pieces += self._add(kind, part[name])
                else:
                    reading.refuse(f"message.content[].{name}", part[name])
        return pieces

    def _add(self, kind: str, text: str) -> list[Piece]:
        if not text:
            return []
        if kind == "text":
            self.reading.text.append(text)
            return [("text", text)]
        self.reading.reasoning.append(text)
        return [("reasoning", text)]

    def _read_end(self, value: Mapping[str, Any]) -> None:
        reading = self.reading
        if finish := reading.as_label(value.get("finish_reason"), "finish_reason"):
            reading.finish = finish
        if isinstance(value.get("error"), str):
            reading.finish_message = value["error"]
        usage = value.get("usage")
        if not isinstance(usage, dict):
            if usage:
                reading.flag_type("usage", usage)
            return
        reading.note_unread("usage.", usage, _USAGE)
        tokens, billed = usage.get("tokens"), usage.get("billed_units")
        if tokens and not isinstance(tokens, dict):
            reading.flag_type("usage.tokens", tokens)
        counts = tokens if isinstance(tokens, dict) and tokens else billed
        if isinstance(counts, dict):
            reading.count("input_tokens", counts.get("input_tokens"))
            reading.count("output_tokens", counts.get("output_tokens"))
            reading.count("reasoning_tokens", counts.get("reasoning_tokens"))
        reading.count("cached_input_tokens", usage.get("cached_tokens"))
        if isinstance(billed, dict):
            if counts is not billed:  # without the tokens that Cohere adds to a prompt
                reading.count("billed_input_tokens", billed.get("input_tokens"))
                reading.count("billed_output_tokens", billed.get("output_tokens"))
            reading.count("web_searches", billed.get("search_units"))


def _read_citation(value: Mapping[str, Any]) -> Part:
    text, sources = value.get("text"), value.get("sources")
    source = sources[0] if isinstance(sources, list) and sources else {}
    document = source.get("document") if isinstance(source, dict) else None
    document = document if isinstance(document, dict) else {}
    url, title = document.get("url"), document.get("title")
    return Part(
        type="citation",
        text=text if isinstance(text, str) else "",
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        raw=value,
    )
