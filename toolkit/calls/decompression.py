"""Bodies are decompressed in bounded steps, so that a small body cannot become a large one."""

from __future__ import annotations

import zlib
from typing import Protocol

from toolkit.calls.wire_record import MAX_BODY_BYTES, WireRecord

# gzip and zlib headers are told apart by zlib itself; raw deflate has none.
_ANY_HEADER = zlib.MAX_WBITS | 32
ACCEPTED = "gzip, deflate"


class Decoder(Protocol):
    """Turns bytes of the wire into bytes of the body."""

    def feed(self, data: bytes) -> bytes:
        """The body bytes that `data` stands for."""

    def finish(self) -> None:
        """The wire has ended; raise when the body has not."""


class Plain:
    """No compression; only the size is bounded."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Count and pass on."""
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            raise self._record.fail("too_large", f"the body passed {MAX_BODY_BYTES:,} bytes")
        return data

    def finish(self) -> None:
        """Nothing is held back."""


class Zlib:
    """gzip or deflate, at most `MAX_BODY_BYTES` of output."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._stream = zlib.decompressobj(_ANY_HEADER)
        self._size = 0
        self._began = False

    def feed(self, data: bytes) -> bytes:
        """Decompress what came, never more than the bound allows."""
        room = MAX_BODY_BYTES - self._size + 1
        try:
            body = self._stream.decompress(data, room)
        except zlib.error as error:
            if self._began:
                raise self._record.fail("bad_body", f"broken compression ({error})") from None
            body = self._raw_deflate(data, room, str(error))
        self._began = self._began or bool(data)
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            raise self._record.fail(
                "too_large", f"the body decompresses to over {MAX_BODY_BYTES:,} bytes"
            )
        return body

    def _raw_deflate(self, data: bytes, room: int, why: str) -> bytes:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._stream.decompress(data, room)
        except zlib.error:
            raise self._record.fail("bad_body", f"not the compression it says ({why})") from None

    def finish(self) -> None:
        """A compressed body must reach its own end."""
        if self._began and not self._stream.eof:
            raise self._record.fail("bad_body", "the compressed body ends too early")


def choose_decoder(record: WireRecord) -> Decoder:
    """The decoder for the answer's `content-encoding`.

    Raises:
        WireFailure: `unexpected_encoding`, an encoding that was never asked for.
    """
    encoding = record.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return Plain(record)
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Zlib(record)
    raise record.fail("unexpected_encoding", f"content-encoding {encoding[:40]!r}")
