"""Receive timestamps, taken where the event loop hands over the data of a socket.

The coroutine that reads comes to its turn one or several rounds of the loop later: after
everything else that is ready, the pieces of other streams included. By then it is late to
look at the clock.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler


class TimestampedProtocol(ResponseHandler):
    """aiohttp's protocol of one connection, with the timestamps of data that was not read yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._received_ns: list[int] = []

    def data_received(self, data: bytes) -> None:
        """Stamp, then go on as aiohttp does."""
        self._received_ns.append(time.monotonic_ns())
        super().data_received(data)

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
        super().__init__(**options)
        # aiohttp has no public way to say which protocol is used; a test watches over this one.
        stamped = partial(TimestampedProtocol, loop=self._loop)
        self._factory = cast("partial[ResponseHandler]", stamped)
