"""The guarded transport: every call, listing and probe goes through it.

It stamps what happens with a monotonic clock, sends to one origin only, follows no redirect,
bounds headers, bodies and waits, and keeps what really came in the attempt's `WireRecord`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from toolkit.calls.transport.address_check import refuse_address
from toolkit.calls.transport.body import StreamBody, find_handler, read_whole
from toolkit.calls.transport.connection_errors import map_wire_errors
from toolkit.calls.transport.connections import Sessions
from toolkit.calls.transport.decompression import ACCEPTED
from toolkit.calls.transport.exchange_record import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    WireFailure,
    WireRecord,
)
from toolkit.errors import CassetteError
from toolkit.providers.provider import origin_of

if TYPE_CHECKING:
    import aiohttp

_HOP_HEADERS = ("connection", "transfer-encoding", "host", "content-length")


class Guard:
    """One guarded exchange over aiohttp, the fast transport at concurrency.

    Args:
        sessions: connections, by event loop.
        local: whether private and loopback addresses are allowed.
    """

    def __init__(self, sessions: Sessions, *, local: bool) -> None:
        self._sessions = sessions
        self._local = local

    async def exchange(
        self,
        record: WireRecord,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        method: str = "POST",
    ) -> None:
        """Send one request; the answer, whatever it is, is in the record afterwards.

        A body that is not a stream is read whole; a stream's body is left to be read.

        Args:
            record: the attempt's record.
            url, headers, body, method: the request; header names in lower case.

        Raises:
            WireFailure: the connection failed; the record holds this as well.
        """
        try:
            record.asked_ns = time.monotonic_ns()
            self._require_allowed(url, record)
            response = await self._send(record, url, headers, body, method)
            self._keep_head(response, record)
            if record.stream and response.status < 400:
                record.stream_body = StreamBody(response, record)
            else:
                record.body = await read_whole(response, record)
        except WireFailure as failure:
            record.failure = record.failure or failure
            raise
        except CassetteError as missing:
            record.not_recorded = missing
            raise

    def _require_allowed(self, url: str, record: WireRecord) -> None:
        """One request per attempt, to the provider's own origin, at an allowed address."""
        record.requests += 1
        if record.requests > 1:
            raise record.fail("second_request", "one attempt is one request")
        if (origin := origin_of(url)) != record.origin:
            raise record.fail("foreign_origin", f"{origin} is not {record.origin}")
        _refuse_literal_address(origin, local=self._local)

    async def _send(
        self,
        record: WireRecord,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        method: str,
    ) -> aiohttp.ClientResponse:
        import aiohttp
        from yarl import URL

        proxy = self._sessions.find_proxy(url, local=self._local)
        session = await self._sessions.require_session(local=self._local, proxied=proxy is not None)
        deadlines = record.deadlines
        wait_s = deadlines.left_s()
        if record.stream:
            wait_s = min(wait_s, deadlines.first_token_s + deadlines.connect_s)
        try:
            async with asyncio.timeout(wait_s):
                with map_wire_errors(record):
                    return await session.request(
                        method,
                        URL(url, encoded=True),
                        headers=_headers(headers, record),
                        data=body or None,
                        allow_redirects=False,
                        proxy=proxy,
                        timeout=aiohttp.ClientTimeout(
                            total=None, connect=min(deadlines.connect_s, wait_s)
                        ),
                        trace_request_ctx=record,
                    )
        except TimeoutError:
            raise record.fail("timeout_read", "no answer came in time") from None

    @staticmethod
    def _keep_head(response: aiohttp.ClientResponse, record: WireRecord) -> None:
        handler = find_handler(response)
        arrived_ns = handler.pop_arrival(record.asked_ns or 0) if handler else None
        record.headers_ns = arrived_ns or time.monotonic_ns()
        if record.sent_ns is None:  # a cassette answers without a wire
            record.sent_ns = record.asked_ns
        record.status = response.status
        record.headers = {name.lower(): value for name, value in response.headers.items()}
        size = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        if size > MAX_HEADER_BYTES or len(response.raw_headers) > MAX_HEADERS:
            response.close()
            raise record.fail("protocol", f"{size:,} bytes of headers")
        if 300 <= response.status < 400:
            response.close()
            raise record.fail("redirect_refused", f"status {response.status}")


@lru_cache(1024)
def _refuse_literal_address(origin: str, *, local: bool) -> None:
    """Check a host that is written as an address; a name is checked when it is resolved."""
    host = (urlsplit(origin).hostname or "").strip("[]")
    with contextlib.suppress(ValueError):
        refuse_address(str(ipaddress.ip_address(host)), host, local=local)


def _headers(given: Mapping[str, str], record: WireRecord) -> dict[str, str]:
    headers = {name: value for name, value in given.items() if name not in _HOP_HEADERS}
    # A compressed stream arrives in the rhythm of the server's buffers, not of the model.
    headers["accept-encoding"] = "identity" if record.stream else ACCEPTED
    return headers
