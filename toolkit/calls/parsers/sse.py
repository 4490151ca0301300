"""Server-sent events from bytes, however they are split, with every line bounded."""

from __future__ import annotations

import re
from typing import NamedTuple

from toolkit.calls.transport.exchange_record import MAX_LINE_BYTES

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_MAX_FOREIGN = 64 * 1024


class LineTooLong(Exception):
    """One line passed `MAX_LINE_BYTES`."""


class Event(NamedTuple):
    """One event: its name (None when it has none) and its data, lines joined by a newline."""

    name: str | None
    data: bytes


class EventSplitter:
    """Feed bytes, get events.

    Attributes:
        comments: comment lines seen (keep-alives).
        foreign: what was no line of an event stream (an HTML page, a bare JSON error).
    """

    def __init__(self) -> None:
        self.comments = 0
        self.foreign = bytearray()
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._name: str | None = None
        self._data: list[bytes] = []
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes.

        Raises:
            LineTooLong: a line passed its bound.
        """
        if self._at_start and chunk:
            chunk = self._strip_bom(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return []
        if self._tail:
            chunk = b"".join((*self._tail, chunk))
            self._tail.clear()
            self._tail_size = 0
        if b"\r" in chunk:
            lines = self._split_any(chunk)
        else:
            lines = chunk.split(b"\n")
            self._keep(lines.pop())
        events: list[Event] = []
        for line in lines:
            if len(line) > MAX_LINE_BYTES:
                raise LineTooLong
            self._take(line, events)
        return events

    def finish(self) -> list[Event]:
        """What is left at the end of the body: servers forget the last empty line."""
        events: list[Event] = []
        rest = b"".join(self._tail)
        self._tail.clear()
        self._tail_size = 0
        for line in _LINE_END.split(rest) if rest else ():
            self._take(line, events)
        self._take(b"", events)
        return events

    def _strip_bom(self, chunk: bytes) -> bytes:
        # The mark itself may be split: wait until three bytes are there.
        chunk = b"".join((*self._tail, chunk))
        self._tail.clear()
        self._tail_size = 0
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._keep(chunk)
            return b""
        self._at_start = False
        return chunk.removeprefix(_BOM)

    def _split_any(self, chunk: bytes) -> list[bytes]:
        # A CR at the very end may be half of a CRLF.
        held = b"\r" if chunk.endswith(b"\r") else b""
        lines = _LINE_END.split(chunk[: len(chunk) - len(held)])
        self._keep(lines.pop() + held)
        return lines

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            if self._tail_size > MAX_LINE_BYTES:
                raise LineTooLong

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._name, b"\n".join(self._data)))
            self._name, self._data = None, []
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ").decode("utf-8", "replace")
        elif line.startswith(b":"):
            self.comments += 1
        elif not line.startswith((b"id:", b"retry:")) and len(self.foreign) < _MAX_FOREIGN:
            self.foreign += line[:_MAX_FOREIGN] + b"\n"
