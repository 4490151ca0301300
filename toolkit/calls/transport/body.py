"""Bodies of answers, read under bounds and deadlines and stamped as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolkit.calls.transport.connection_errors import map_wire_errors
from toolkit.calls.transport.decompression import Decoder, choose_decoder
from toolkit.calls.transport.exchange_record import DRAIN_S, WireFailure, WireRecord

if TYPE_CHECKING:
    import aiohttp

    from toolkit.calls.transport.receive_timestamps import TimestampedProtocol


class StreamBody:
    """The body of a stream: `read` returns what has arrived, `drain` and `close` end it."""

    def __init__(self, response: aiohttp.ClientResponse, record: WireRecord) -> None:
        self._response = response
        self._record = record
        self._decoder: Decoder = choose_decoder(record)
        self._pending: Iterator[bytes] = iter(())
        self._at_end = False
        self._handler = find_handler(response)

    @property
    def at_end(self) -> bool:
        """Whether the HTTP body has ended as it should."""
        return self._at_end

    async def read(self, wait_s: float) -> bytes:
        """The next bytes of the body; `b""` at its end.

        Raises:
            TimeoutError: nothing came for `wait_s` seconds.
            WireFailure: the connection broke (`stream_cut`), or a bound was passed.
        """
        if self._at_end:
            return b""
        while (body := next(self._pending, None)) is None:
            data = await self._receive(wait_s)
            if not data:
                self._at_end = True
                self._decoder.finish()
                return b""
            self._pending = self._decoder.feed(data)
        return body

    async def _receive(self, wait_s: float) -> bytes:
        record = self._record
        async with asyncio.timeout(wait_s):
            with map_wire_errors(record, in_body=True):
                data = await self._response.content.readany()
        if data:
            arrived_ns = self._pop_arrival()
            record.bytes_in += len(data)
            record.last_byte_ns = arrived_ns
            if record.first_byte_ns is None:
                record.first_byte_ns = arrived_ns
        return data

    def _pop_arrival(self) -> int:
        """When what was just read came; without a stamp (it came with the head) that is now."""
        found = None
        if self._handler is not None:
            found = self._handler.pop_arrival(self._record.headers_ns or 0)
        return found or time.monotonic_ns()

    def close(self) -> None:
        """Close at once; a body that has ended has already given its connection back."""
        if self._record.closed_ns is None:
            self._record.closed_ns = time.monotonic_ns()
        self._response.close()

    async def drain(self) -> None:
        """Read on to the end of the HTTP body for at most `DRAIN_S`, then close.

        Real servers end the chunked body some milliseconds after the last event; only a
        body read to its end gives the connection back to the pool.
        """
        deadline = time.monotonic() + DRAIN_S
        with contextlib.suppress(TimeoutError, WireFailure):
            while not self._at_end and (left_s := deadline - time.monotonic()) > 0:
                await self.read(left_s)
        self.close()


def find_handler(response: aiohttp.ClientResponse) -> TimestampedProtocol | None:
    """Who stamps a response; None where it has come whole already, or from a cassette."""
    protocol = getattr(getattr(response, "connection", None), "protocol", None)
    return protocol if hasattr(protocol, "pop_arrival") else None


async def read_whole(response: aiohttp.ClientResponse, record: WireRecord) -> bytes:
    """Read a body that is not a stream.

    Raises:
        WireFailure: `deadline`, `timeout_read`, `too_large`, `bad_body`, `protocol`, ...
    """
    body = StreamBody(response, record)
    parts: list[bytes] = []
    deadlines = record.deadlines
    try:
        while True:
            left_s = deadlines.left_s()
            try:
                data = await body.read(min(deadlines.chunk_s, left_s))
            except TimeoutError:
                cause = "deadline" if deadlines.left_s() <= 0 else "timeout_read"
                raise record.fail(cause, "the body did not arrive in time") from None
            if not data:
                break
            parts.append(data)
    except BaseException:
        body.close()
        raise
    record.closed_ns = time.monotonic_ns()
    return b"".join(parts)
