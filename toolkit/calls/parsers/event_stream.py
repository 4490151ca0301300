"""AWS event stream: binary frames with headers, payload and checksums.

A frame is: total length, headers' length, CRC-32 of these 8 bytes, headers, payload, CRC-32 of
all before it (numbers big-endian, 32 bits). Source: AWS, "Amazon S3 Select event stream" and the
Smithy specification of `application/vnd.amazon.eventstream`.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from toolkit.calls.parsers.sse import Event, LineTooLong
from toolkit.calls.transport.exchange_record import MAX_LINE_BYTES

_PRELUDE: Final = struct.Struct(">III")
_MIN_FRAME: Final = 16
_TEXT: Final = 7
# Sizes of header values by type: booleans, byte, short, integer, long, timestamp, UUID.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class BadFrame(ValueError):
    """The bytes are not an event stream, or a checksum does not fit."""


class FrameSplitter:
    """Feed bytes, get events; has the form of `sse.EventSplitter`.

    Attributes:
        foreign: always empty: what is not a frame is an error.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.foreign: bytearray = bytearray()
        self.comments: int = 0
        self._held = bytearray()
        self.max_bytes = max_bytes

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes.

        Raises:
            BadFrame: a checksum or a length is wrong.
            LineTooLong: a frame is longer than the bound.
        """
        held = self._held
        held += chunk
        events: list[Event] = []
        at = 0
        while len(held) - at >= _PRELUDE.size:
            total, headers, crc = _PRELUDE.unpack_from(held, at)
            if zlib.crc32(held[at : at + 8]) != crc:
                raise BadFrame("the checksum of a frame's beginning is wrong")
            if not total >= _MIN_FRAME or headers > total - _MIN_FRAME:
                raise BadFrame("the length of a frame is wrong")
            if total > self.max_bytes:
                raise LineTooLong
            if len(held) - at < total:
                break
            events.append(_read_frame(bytes(held[at : at + total]), headers))
            at += total
        del held[:at]
        return events

    def finish(self) -> list[Event]:
        """At the end of the body: half a frame is a cut stream.

        Raises:
            BadFrame: a frame is not whole.
        """
        if self._held:
            raise BadFrame("the stream ends in the middle of a frame")
        return []


def _read_frame(frame: bytes, headers_size: int) -> Event:
    (crc,) = struct.unpack_from(">I", frame, len(frame) - 4)
    if zlib.crc32(frame[:-4]) != crc:
        raise BadFrame("the checksum of a frame is wrong")
    headers = _read_headers(frame[12 : 12 + headers_size])
    payload = frame[12 + headers_size : -4]
    kind = headers.get(":message-type", "event")
    if kind == "error":
        name = headers.get(":error-code", "error")
        return Event(f"{name}Exception", b'{"message": "%s"}' % _escape(headers))
    return Event(headers.get(":exception-type") or headers.get(":event-type"), payload or b"{}")


def _escape(headers: dict[str, str]) -> bytes:
    message = headers.get(":error-message", "")
    return message.replace("\\", " ").replace('"', "'").replace("\n", " ").encode()


def _read_headers(data: bytes) -> dict[str, str]:
    """The headers that hold text."""
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode()
            at += 1 + size
            kind = data[at]
            at += 1
            if kind in _SIZES:
                at += _SIZES[kind]
                continue
            (length,) = struct.unpack_from(">H", data, at)
            value = data[at + 2 : at + 2 + length]
            at += 2 + length
            if kind == _TEXT:
                headers[name] = value.decode("utf-8", "replace")
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BadFrame("the headers of a frame are broken") from None
    return headers
