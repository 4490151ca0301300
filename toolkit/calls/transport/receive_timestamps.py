"""Receive timestamps, taken as near to the network as the platform allows.

The coroutine that reads comes to its turn one or several rounds of the event loop later: after
everything else that is ready, the pieces of other streams included. By then it is late to look
at the clock. Where the kernel stamps what a TCP socket receives (Linux), its stamp is used: it is
right even while the whole event loop is busy. Elsewhere the clock is read where the event loop
hands over the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

# `SO_TIMESTAMPNS` of Linux, which Python 3.11 has no name for; other numbers on two architectures,
# where the option is refused or no stamp comes, and the clock is read instead.
_TIMESTAMP: Final = 35
_TIMESPEC: Final = struct.Struct("@ll")
_CAN_STAMP: Final = sys.platform == "linux" and hasattr(socket.socket, "recvmsg")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size) if _CAN_STAMP else 0

_READING_NS: Final = 50_000

_Ancillary = list[tuple[int, int, bytes]]


class TimestampedSocket(socket.socket):
    """A TCP socket that knows when the kernel received what was read last.

    Attributes:
        received_ns: that moment, `time.monotonic_ns`; None where the kernel does not say.
    """

    received_ns: int | None = None

    def request_timestamps(self) -> None:
        """Ask the kernel for a timestamp of what is received."""
        if _CAN_STAMP:
            with contextlib.suppress(OSError):
                self.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)

    if _CAN_STAMP:

        def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
            """Read as `socket.recv` does, and note the timestamp."""
            data, ancillary, _, _ = self.recvmsg(bufsize, _ANCILLARY_BYTES, flags)
            self.received_ns = _read_timestamp(ancillary)
            return data

        def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
            """Read as `socket.recv_into` does, and note the timestamp."""
            target = memoryview(buffer)[:nbytes] if nbytes else buffer
            size, ancillary, _, _ = self.recvmsg_into([target], _ANCILLARY_BYTES, flags)
            self.received_ns = _read_timestamp(ancillary)
            return size


def _read_timestamp(ancillary: _Ancillary) -> int | None:
    """The kernel's timestamp, which is of the wall clock, as one of the monotonic clock."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMP and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            stamped_ns: int = seconds * 1_000_000_000 + nanoseconds
            wall_ns, now_ns = _read_clocks()
            return now_ns - max(wall_ns - stamped_ns, 0)
    return None


def _read_clocks() -> tuple[int, int]:
    """The wall clock and the monotonic clock at one moment."""
    wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
    for _ in range(3):
        again_ns = time.time_ns()
        if again_ns - wall_ns < _READING_NS:
            break  # the thread was not interrupted between the two
        wall_ns, now_ns = again_ns, time.monotonic_ns()
    return wall_ns, now_ns


class TimestampedProtocol(ResponseHandler):
    """aiohttp's protocol of one connection, with the timestamps of data that was not read yet.

    Attributes:
        on_arrival: called when data or the end of the connection has come.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: weakref.WeakValueDictionary[int, TimestampedSocket] | None = None,
    ) -> None:
        super().__init__(loop)
        self.on_arrival: Callable[[], None] | None = None
        self._received_ns: list[int] = []
        self._newest_ns = 0
        self._sockets = sockets
        self._socket: TimestampedSocket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find the socket of the connection: TLS and proxies keep the one that was made."""
        super().connection_made(transport)
        found = transport.get_extra_info("socket")
        if found is not None and self._sockets is not None:
            self._socket = self._sockets.get(found.fileno())

    def data_received(self, data: bytes) -> None:
        """Stamp, then go on as aiohttp does, which passes no data where it resumes parsing."""
        if not data:
            super().data_received(data)
            return
        received_ns = self._socket.received_ns if self._socket is not None else None
        # A wall clock that was set meanwhile must not put data before what came earlier.
        self._newest_ns = max(received_ns or time.monotonic_ns(), self._newest_ns)
        self._received_ns.append(self._newest_ns)
        super().data_received(data)
        if self.on_arrival is not None:
            self.on_arrival()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume only what was paused: aiohttp calls this after each read, and parses again."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Go on as aiohttp does, then say that the end has come."""
        super().connection_lost(exc)
        self._socket = None
        if self.on_arrival is not None:
            self.on_arrival()

    def pop_arrival(self, since_ns: int) -> int | None:
        """When the oldest unread data came, `time.monotonic_ns`; what is older than `since_ns`
        belongs to an earlier answer. None where no data came.
        """
        found = next((stamp for stamp in self._received_ns if stamp >= since_ns), None)
        self._received_ns.clear()
        return found


class TimestampingConnector(aiohttp.TCPConnector):
    """A connector whose connections know when their data came."""

    def __init__(self, **options: Any) -> None:
        self._sockets: weakref.WeakValueDictionary[int, TimestampedSocket] = (
            weakref.WeakValueDictionary()
        )
        super().__init__(**options, socket_factory=self._make_socket)
        # aiohttp has no public way to say which protocol is used; a test watches over this one.
        stamped = partial(TimestampedProtocol, loop=self._loop, sockets=self._sockets)
        self._factory = cast("partial[ResponseHandler]", stamped)

    def _make_socket(self, address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = TimestampedSocket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.request_timestamps()
        self._sockets[made.fileno()] = made
        return made
