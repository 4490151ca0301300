"""Bodies are decompressed in bounded steps, so that a small body cannot become a large one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from toolkit.calls.transport.exchange_record import WireRecord, describe_limit

# zlib itself distinguishes gzip and zlib headers; raw deflate has none.
_ANY_HEADER = zlib.MAX_WBITS | 32
_PIECE_BYTES = 128 * 1024
ACCEPTED = "gzip, deflate"


class Decoder(Protocol):
    """Turns bytes of the wire into bytes of the body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed bytes of `data`, in pieces of bounded size."""

    def finish(self) -> None:
        """The wire has ended; raise when the body has not."""


class Plain:
    """No compression; only the size is bounded."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Count and pass on."""
        self._size += len(data)
        _require_size(self._record, self._size, "is larger than")
        yield data

    def finish(self) -> None:
        """Nothing is held back."""


class Zlib:
    """gzip or deflate, at most `max_body_mib` of output."""

    def __init__(self, record: WireRecord) -> None:
        self._record = record
        self._stream = zlib.decompressobj(_ANY_HEADER)
        self._size = 0
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress what came, piece by piece, never more than the bound allows."""
        while data:
            body = self._decompress(data)
            self._began = True
            self._size += len(body)
            _require_size(self._record, self._size, "decompresses to over")
            data = self._stream.unconsumed_tail
            if body:
                yield body

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._stream.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            if self._began:
                raise self._record.fail("bad_body", f"broken compression ({error})") from None
            why = str(error)
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._stream.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise self._record.fail("bad_body", f"not the declared compression ({why})") from None

    def finish(self) -> None:
        """A compressed body must reach its own end."""
        if self._began and not self._stream.eof:
            raise self._record.fail("bad_body", "the compressed body ends too early")


def _require_size(record: WireRecord, size: int, verb: str) -> None:
    limits = record.limits
    if size > limits.body_bytes:
        detail = f"the body {verb} {limits.max_body_mib} MiB; {describe_limit('max_body_mib')}"
        raise record.fail("too_large", detail)


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
