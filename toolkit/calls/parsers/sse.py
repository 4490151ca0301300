"""Streams of events from bytes, however they are split, with every line bounded.

`EventSplitter` reads server-sent events, `LineSplitter` one JSON object a line. The third
framing, AWS event stream, is in `event_stream`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from toolkit.calls.transport.exchange_record import MAX_LINE_BYTES

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_OTHER_FIELDS = (b"event:", b"id:", b"retry:", b":")
_MAX_FOREIGN = 64 * 1024


class LineTooLong(Exception):
    """One line is longer than the bound."""


class Event(NamedTuple):
    """One event: its name (None when it has none) and its data, lines joined by a newline."""

    name: str | None
    data: bytes


class EventSplitter:
    """Feed bytes, get events.

    Args:
        max_bytes: the longest line that is accepted.

    Attributes:
        comments: comment lines seen (keep-alives).
        foreign: lines that are not of an event stream (an HTML page, a bare JSON error).
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.comments: int = 0
        self.foreign: bytearray = bytearray()
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
        if self._is_one_event(chunk):
            return [Event(None, chunk[6:-2])]
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
            if len(line) > self.max_bytes:
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

    def _is_one_event(self, chunk: bytes) -> bool:
        """Whether a chunk is one event with one line of data, as most chunks are."""
        return (
            chunk.endswith(b"\n\n")
            and chunk.startswith(b"data: ")
            and chunk.count(b"\n") == 2
            and not (self._tail or self._data or self._name is not None or b"\r" in chunk)
            and len(chunk) <= self.max_bytes
        )

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
            if self._tail_size > self.max_bytes:
                raise LineTooLong

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._name, b"\n".join(self._data)))
            self._name, self._data = None, []
        elif line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            if self._data and self._begins_another(data):
                events.append(Event(self._name, b"\n".join(self._data)))
                self._data = []
            self._data.append(data)
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ").decode("utf-8", "replace")
        elif line.startswith(b":"):
            self.comments += 1
        elif line.startswith(b"error:"):  # llama.cpp before 2024
            events.append(Event("error", line[6:].strip()))
        elif not line.startswith((b"id:", b"retry:")) and len(self.foreign) < _MAX_FOREIGN:
            self.foreign += line[:_MAX_FOREIGN] + b"\n"

    def _begins_another(self, data: bytes) -> bool:
        """Whether a line of data begins an event of its own, with no empty line before it.

        In one JSON text, no line that ends with a brace is followed by one that begins with a
        brace or a bracket. Some servers leave the empty lines out.
        """
        return self._data[-1].rstrip().endswith(b"}") and data.lstrip().startswith((b"{", b"["))


class LineSplitter:
    """Feed bytes, get one event for each line that is not empty (NDJSON).

    Attributes:
        foreign: always empty: every line is an event.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.foreign: bytearray = bytearray()
        self.comments: int = 0
        self.max_bytes = max_bytes
        self._tail: list[bytes] = []
        self._tail_size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes.

        Raises:
            LineTooLong: a line is longer than the bound.
        """
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._tail, lines[0]))
            self._tail.clear()
            self._tail_size = 0
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        if self._tail_size > self.max_bytes or any(len(line) > self.max_bytes for line in lines):
            raise LineTooLong
        return [_line_event(line) for line in lines if _has_data(line)]

    def finish(self) -> list[Event]:
        """What is left at the end of the body."""
        rest = b"".join(self._tail)
        self._tail.clear()
        return [_line_event(rest)] if _has_data(rest) else []


def _has_data(line: bytes) -> bool:
    """Whether a line holds an event: a proxy may have made server-sent events of the lines."""
    line = line.strip()
    return bool(line) and not line.startswith(_OTHER_FIELDS)


def _line_event(line: bytes) -> Event:
    line = line.strip().removeprefix(_BOM)
    return Event(None, line[5:] if line.startswith(b"data:") else line)
