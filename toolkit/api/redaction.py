"""Keeps the keys of providers out of what the gateway answers.

A provider can repeat the key that it was sent, in one event or divided among several. The texts of
a stream are redacted before they are written as events, so that a key is found across events;
every written event is searched once more, for what does not come in pieces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Literal

from toolkit.api.formats.model_request import StreamWriter
from toolkit.calls.parsers.parsed_response import ToolDraft
from toolkit.calls.parsers.stream_parser import Delta
from toolkit.errors import ToolkitError
from toolkit.records import Reply
from toolkit.secret import current_matcher
from toolkit.secret_streams import StreamRedactor


class RedactingWriter:
    """A stream's writer that is given texts without secrets, also where pieces divide them.

    Args:
        writer: writes the events of one format.
    """

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer
        self._texts = {"text": StreamRedactor(), "reasoning": StreamRedactor()}
        self._tools: dict[int, StreamRedactor] = {}
        self._drafts: dict[int, ToolDraft] = {}
        self._seen: dict[int, int] = {}  # how many parts of a call's arguments
        self._at_ms = 0.0

    def start(self) -> bytes:
        """What opens the stream."""
        return self._writer.start()

    def piece(self, delta: Delta, tools: Mapping[int, ToolDraft]) -> bytes:
        """The events for one piece of the answer; none is `b""`."""
        self._at_ms = delta.at_ms
        if delta.kind == "tool_call":
            held = self._rest("text") + self._rest("reasoning")
            self._take(tools)
            return held + self._writer.piece(delta, self._drafts)
        held = self._rest("reasoning" if delta.kind == "text" else "text")
        text = self._texts[delta.kind].feed(delta.text)
        if not text and delta.text:
            return held
        return held + self._writer.piece(delta._replace(text=text), self._drafts)

    def end(self, reply: Reply) -> bytes:
        """What closes a complete stream."""
        return self._rests() + self._writer.end(reply)

    def failed(self, error: ToolkitError) -> bytes:
        """The event that reports an interrupted stream to the client."""
        return self._rests() + self._writer.failed(error)

    def _take(self, tools: Mapping[int, ToolDraft]) -> None:
        """Copy what is new of the calls, without secrets."""
        matcher = current_matcher()
        for index, draft in tools.items():
            kept = self._drafts.get(index)
            arguments = [] if kept is None else kept.arguments
            new = "".join(draft.arguments[self._seen.get(index, 0) :])
            self._seen[index] = len(draft.arguments)
            if text := self._tools.setdefault(index, StreamRedactor()).feed(new):
                arguments.append(text)
            clean_id = None if draft.id is None else matcher.redact(draft.id)
            self._drafts[index] = replace(
                draft, id=clean_id, name=matcher.redact(draft.name), arguments=arguments
            )

    def _rests(self) -> bytes:
        """The events for all that was held back."""
        parts = [self._rest("reasoning"), self._rest("text")]
        news = {index: text for index, tool in self._tools.items() if (text := tool.finish())}
        for index, text in news.items():
            self._drafts[index].arguments.append(text)
        if news:
            delta = Delta("tool_call", "", self._at_ms)
            parts.append(self._writer.piece(delta, self._drafts))
        return b"".join(parts)

    def _rest(self, kind: Literal["text", "reasoning"]) -> bytes:
        text = self._texts[kind].finish()
        return self._writer.piece(Delta(kind, text, self._at_ms), self._drafts) if text else b""


async def without_keys(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events without keys of providers that stand in one event."""
    async for event in events:
        yield current_matcher().redact_bytes(event)
