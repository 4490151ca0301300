"""An HTTP client that takes next to nothing of the cores that are measured.

A thousand requests a second through a full client library fill a core by themselves, and what is
timed then is the client. This one sends prepared bytes over kept connections and reads no more of
an answer than its status and its end.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

LONGEST_IDLE_S = 5.0  # servers close what is idle; a request must not meet that


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._data = bytearray()
        self.used_at_s = time.monotonic()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body_at = 0
        self._length: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer (as it came: a chunked one with its marks)."""
        assert self.transport is not None
        self._data.clear()
        self._body_at, self._length = 0, None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._body_at:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            self._body_at = end + 4
            head = bytes(self._data[:end]).lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            self._length = int(rest.partition(b"\r\n")[0]) if found else None
        if self._length is None:
            is_whole = self._data.endswith(b"0\r\n\r\n")
        else:
            is_whole = len(self._data) >= self._body_at + self._length
        if is_whole and self._answer is not None and not self._answer.done():
            status = int(self._data[9:12])
            self._answer.set_result((status, bytes(self._data[self._body_at :])))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed by the server"))

    @property
    def is_fresh(self) -> bool:
        """Whether it may be used again; if not, it is closed."""
        if self.transport is None or self.transport.is_closing():
            return False
        if time.monotonic() - self.used_at_s < LONGEST_IDLE_S:
            return True
        self.transport.close()
        return False


class LightClient:
    """Keeps connections by address; as many as there are requests at once."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[Connection]] = {}

    async def post(self, url: str, headers: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body.

        Args:
            url: `http://host:port/path`.
            headers: prepared lines, each with its line end.
            body: JSON.
        """
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        idle = self._idle.setdefault(address, [])
        while idle and not idle[-1].is_fresh:
            idle.pop()
        if idle:
            connection = idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, *address)
        head = b"POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\n" % (
            parts.path.encode(),
            parts.netloc.encode(),
        )
        answer = await connection.exchange(
            head + headers + b"content-length: %d\r\n\r\n" % len(body) + body
        )
        connection.used_at_s = time.monotonic()
        idle.append(connection)
        return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for idle in self._idle.values():
            for connection in idle:
                if connection.transport is not None:
                    connection.transport.close()
