"""Answers of Ollama's own chat API, whole and as one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import Piece, ResponseParser, name_set
from toolkit.calls.parsers.styles.think_tags import ThinkTags
from toolkit.calls.parsers.styles.tool_assembly import ToolAssembly
from toolkit.records import Part

_BODY: Final = name_set(
    "model created_at message done done_reason total_duration load_duration prompt_eval_count "
    "prompt_eval_duration eval_count eval_duration error remote_model remote_host logprobs "
    "context response"
)
_MESSAGE: Final = name_set("role content thinking tool_calls images tool_name")


class OllamaParser(ResponseParser):
    """Reads `/api/chat` bodies, of which a stream has many; the last one is `done`."""

    def __init__(self) -> None:
        super().__init__()
        self._tags = ThinkTags()
        self._tools = ToolAssembly(self.reading, self.reading)

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Read a whole body."""
        self._take(value)
        self.reading.is_ended = True

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Read one line."""
        return self._take(value)

    def finish(self) -> Sequence[Piece]:
        """Text that was kept back."""
        reading = self.reading
        pieces = self._tags.finish()
        self._add_pieces(pieces)
        if self._tags.was_tagged:
            reading.flags.add("think_tags")
        self._tools.check("message.tool_calls")
        return pieces

    def _take(self, value: Mapping[str, Any]) -> Sequence[Piece]:
        reading = self.reading
        if value.get("error"):
            reading.error = find_error(value)
            return ()
        if not _BODY.issuperset(value):
            reading.note_unread("", value, _BODY)
        if "done" not in value:
            return ()
        reading.is_recognised = True
        if reading.response_model is None:
            reading.response_model = reading.as_label(value.get("model"), "model")
        message = reading.as_object(value.get("message"), "message")
        pieces = self._read_message(message) if message is not None else []
        entries = value.get("logprobs")
        if isinstance(entries, list):
            reading.logprobs += [entry for entry in entries if isinstance(entry, dict)]
        elif entries:
            reading.flag_type("logprobs", entries)
        if type(value["done"]) is not bool:
            reading.flag_type("done", value["done"])
        if value["done"] is True:
            reading.is_ended = True
            reading.finish = reading.as_label(value.get("done_reason"), "done_reason")
            reading.count("input_tokens", value.get("prompt_eval_count"))
            reading.count("output_tokens", value.get("eval_count"))
        return pieces

    def _read_message(self, message: Mapping[str, Any]) -> list[Piece]:
        reading = self.reading
        pieces: list[Piece] = []
        if not _MESSAGE.issuperset(message):
            reading.note_unread("message.", message, _MESSAGE)
        if thought := reading.as_text(message.get("thinking"), "message.thinking"):
            reading.reasoning.append(thought)
            pieces.append(("reasoning", thought))
        if text := reading.as_text(message.get("content"), "message.content"):
            added = self._tags.feed(text)
            self._add_pieces(added)
            pieces += added or [("reasoning", "")]
        if calls := message.get("tool_calls"):
            pieces += self._tools.add_whole(calls, "message.tool_calls")
        for image in reading.as_list(message.get("images"), "message.images"):
            if isinstance(image, str):
                reading.parts.append(Part(type="image", data=image))
        return pieces

    def _add_pieces(self, pieces: Sequence[Piece]) -> None:
        for kind, text in pieces:
            (self.reading.reasoning if kind == "reasoning" else self.reading.text).append(text)
